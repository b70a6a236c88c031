// The protocol, spoken to the real process over real sockets.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "conformance/peers.h"
#include "conformance/process.h"

namespace epochly::conformance {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

std::vector<uint64_t> range(uint64_t first, uint64_t last) {
  std::vector<uint64_t> numbers(last - first + 1);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

// ---- the handshake -------------------------------------------------------------------------------------------------

TEST(Handshake, TheSocketIsForItsOwnerOnly) {
  SchedulerProcess scheduler;
  struct stat facts;
  ASSERT_EQ(stat((scheduler.directory() + "/socket").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST(Handshake, AnotherProtocolIsRefusedNamingBothRanges) {
  SchedulerProcess scheduler;
  Loop loop;
  auto error =
      errorOf([&] { Client client(loop, scheduler.address(), HelloFields{.protocolMin = 700, .protocolMax = 702}); });
  EXPECT_EQ(codeOf(error), ErrorCode::PROTOCOL_MISMATCH);
  EXPECT_THAT(messageOf(error).cStr(), HasSubstr("700 to 702"));
  EXPECT_THAT(messageOf(error).cStr(), HasSubstr(kj::str(PROTOCOL_MIN, " to ", PROTOCOL_MAX).cStr()));
}

TEST(Handshake, WelcomeSaysWhereRestIs) {
  SchedulerProcess scheduler;
  Loop loop;
  Client client(loop, scheduler.tcpAddress());
  EXPECT_EQ(client.httpUrl, "http://127.0.0.1:" + std::to_string(scheduler.httpPort()));
  EXPECT_NE(client.space, 0u);
}

TEST(Handshake, WithATokenFileEveryConnectionNeedsTheToken) {
  TemporaryFile file("00112233445566778899aabbccddeeff\n");
  SchedulerProcess scheduler({"--token-file", file.path()});
  Loop loop;
  for (auto& address : {scheduler.address(), scheduler.tcpAddress()}) {
    for (const char* token : {"", "00112233445566778899aabbccddeefe", "00112233445566778899aabbccddeeff\n"}) {
      auto error = errorOf([&] { Client client(loop, address, HelloFields{.token = token}); });
      EXPECT_EQ(codeOf(error), ErrorCode::UNAUTHENTICATED) << address << " " << token;
    }
    EXPECT_NO_THROW(Client(loop, address, HelloFields{.token = "00112233445566778899aabbccddeeff"}));
    auto worker = errorOf([&] { Worker joined(loop, address); });
    EXPECT_EQ(codeOf(worker), ErrorCode::UNAUTHENTICATED);
  }
}

TEST(Handshake, SharedMemoryIsOfferedWhenAWorkerOfThisHostIsThere) {
  SchedulerProcess scheduler;
  Loop loop;
  HelloFields here{.host = thisHost().value};
  EXPECT_FALSE(Client(loop, scheduler.address(), here).sharedMemory) << "no worker yet";
  Worker worker(loop, scheduler.address(), Worker::Fields{.host = thisHost().value});
  EXPECT_TRUE(Client(loop, scheduler.address(), here).sharedMemory);
  EXPECT_FALSE(Client(loop, scheduler.address(), HelloFields{.host = 1}).sharedMemory) << "a client elsewhere";
  EXPECT_FALSE(Client(loop, scheduler.address(), HelloFields{.host = 0}).sharedMemory) << "a client that does not know";
}

TEST(Handshake, AConnectionHasOneSession) {
  SchedulerProcess scheduler;
  Loop loop;
  Wire wire(loop, scheduler.address());
  auto open = [&]() {
    auto request = wire.gateway.openClientRequest();
    write(HelloFields(), request.initHello());
    return request.send();
  };
  loop.wait(open().ignoreResult());
  EXPECT_EQ(codeOf(errorOf([&] { loop.wait(open().ignoreResult()); })), ErrorCode::INVALID_ARGUMENT);
}

// ---- tasks ---------------------------------------------------------------------------------------------------------

TEST(Tasks, GoToAWorkerAndTheirResultsComeBack) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address());
  Client client(loop, scheduler.tcpAddress());
  EXPECT_EQ(loop.wait(client.submit(1, 3)), 3u);
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 3; }));
  EXPECT_THAT(client.seqs(), UnorderedElementsAreArray(range(1, 3)));
  for (auto& result : client.results) {
    EXPECT_EQ(result.kind, ReceivedResult::Kind::VALUE);
    EXPECT_EQ(result.value, "args " + std::to_string(result.seq));
    EXPECT_EQ(result.worker, "fake");
    EXPECT_EQ(result.attempt, 1u);
  }
  EXPECT_THAT(worker.functionNames, ElementsAre("tests.identity")) << "a function travels once";
}

TEST(Tasks, TravelInBatchesAtEveryHop) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address(), Worker::Fields{.slots = {{0, 2000}}});
  Client client(loop, scheduler.address());
  EXPECT_EQ(loop.wait(client.submit(1, 1000)), 1000u);
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 1000; }));
  EXPECT_LE(worker.runCalls, 20u);
  EXPECT_LE(client.batches, 40u);
}

TEST(Tasks, WaitWhileThereIsNoWorker) {
  SchedulerProcess scheduler;
  Loop loop;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  auto explain = client.session().explainRequest();
  explain.setSeq(1);
  EXPECT_THAT(loop.wait(explain.send()).getText().cStr(), HasSubstr("no worker has joined"));
  Worker worker(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 1; }));
}

TEST(Tasks, SubmittedTwiceAreOneTask) {
  SchedulerProcess scheduler;
  Loop loop;
  Client client(loop, scheduler.address());
  EXPECT_EQ(loop.wait(client.submit(1, 5)), 5u);
  EXPECT_EQ(loop.wait(client.submit(3, 5)), 5u);  // 3, 4 and 5 again
  Worker worker(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return client.results.size() >= 7; }));
  loop.wait(worker.beat());
  EXPECT_THAT(client.seqs(), UnorderedElementsAreArray(range(1, 7)));
}

TEST(Tasks, FailuresCarryWhatTheWorkerSaid) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address());
  worker.holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  ASSERT_TRUE(loop.until([&] { return worker.held.size() == 1; }));
  loop.wait(worker.fail(worker.held[0], ErrorCode::USER_EXCEPTION, "ValueError: no"));
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 1; }));
  EXPECT_EQ(client.results[0].code, ErrorCode::USER_EXCEPTION);
  EXPECT_EQ(client.results[0].message, "ValueError: no");
}

TEST(Tasks, CancelledAtAWorkerTheyEndOnceTheWorkerSaysSo) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address());
  worker.holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  ASSERT_TRUE(loop.until([&] { return worker.held.size() == 1; }));
  auto cancel = client.session().cancelRequest();
  cancel.initSeqs(1).set(0, 1);
  loop.wait(cancel.send().ignoreResult());
  ASSERT_TRUE(loop.until([&] { return worker.cancelled.size() == 1; }));
  loop.wait(worker.fail(worker.held[0], ErrorCode::CANCELLED, ""));
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 1; }));
  EXPECT_EQ(client.results[0].kind, ReceivedResult::Kind::CANCELLED);
}

TEST(Tasks, OfALostWorkerGoToAnother) {
  SchedulerProcess scheduler;
  Loop loop;
  auto first = kj::heap<Worker>(loop, scheduler.address());
  first->holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 2));
  ASSERT_TRUE(loop.until([&] { return first->held.size() == 2; }));
  first->disconnect();
  Worker second(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 2; }));
  EXPECT_EQ(client.results[0].attempt, 2u);
}

TEST(Tasks, OfASilentWorkerGoToAnotherAndItsLateAnswerIsStale) {
  SchedulerProcess scheduler({"--heartbeat-ms", "50"});
  Loop loop;
  Worker silent(loop, scheduler.address(), Worker::Fields{.beats = false});
  silent.holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  ASSERT_TRUE(loop.until([&] { return silent.held.size() == 1; }));
  ASSERT_TRUE(scheduler.logSays("missed heartbeats"));
  Worker other(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 1; }));
  EXPECT_EQ(client.results[0].attempt, 2u);
  EXPECT_NE(codeOf(errorOf([&] { loop.wait(silent.answer({silent.held[0]})); })), ErrorCode::NONE)
      << "its connection was closed";
  EXPECT_EQ(client.results.size(), 1u);
}

TEST(Tasks, PastTheBoundAreNotAcceptedAndNothingIsLost) {
  SchedulerProcess scheduler({"--tasks-max", "10"});
  Loop loop;
  Client client(loop, scheduler.address());
  EXPECT_EQ(loop.wait(client.submit(1, 8)), 8u);
  EXPECT_EQ(loop.wait(client.submit(9, 8)), 2u) << "a prefix";
  EXPECT_EQ(loop.wait(client.submit(11, 6)), 0u);
  Worker worker(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 10; }));
  EXPECT_EQ(loop.wait(client.submit(11, 6)), 6u);
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 16; }));
  EXPECT_THAT(client.seqs(), UnorderedElementsAreArray(range(1, 16)));
}

TEST(Tasks, OfTheLargestPayloadTravelAndBeyondItTheyFail) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address());
  Client client(loop, scheduler.address());
  EXPECT_EQ(loop.wait(client.submit({TaskFields{.seq = 1, .pickle = std::string(PAYLOAD_BYTES_MAX, 'x')}})), 1u);
  EXPECT_EQ(loop.wait(client.submit({TaskFields{.seq = 2, .pickle = std::string(PAYLOAD_BYTES_MAX + 1, 'x')}})), 1u);
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 2; }));
  std::map<uint64_t, ReceivedResult> bySeq;
  for (auto& result : client.results) bySeq[result.seq] = result;
  EXPECT_EQ(bySeq[1].value.size(), PAYLOAD_BYTES_MAX);
  EXPECT_EQ(bySeq[2].code, ErrorCode::PAYLOAD_TOO_LARGE);
}

// ---- clients that come and go --------------------------------------------------------------------------------------

TEST(Clients, ResumeWithTheResultsThatWereNotAcknowledged) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address());
  auto first = kj::heap<Client>(loop, scheduler.address());
  first->answersResults = false;
  loop.wait(first->submit(1, 4));
  ASSERT_TRUE(loop.until([&] { return first->results.size() == 4; }));
  auto space = first->space;
  first->disconnect();
  Client again(loop, scheduler.address(), HelloFields(), space);
  EXPECT_EQ(again.space, space);
  ASSERT_TRUE(loop.until([&] { return again.results.size() == 4; }));
  EXPECT_THAT(again.seqs(), UnorderedElementsAreArray(range(1, 4)));
}

TEST(Clients, AnUnknownNamespaceIsAnsweredWithANewOne) {
  SchedulerProcess scheduler;
  Loop loop;
  Client client(loop, scheduler.address(), HelloFields(), 12345);
  EXPECT_NE(client.space, 12345u);
}

TEST(Clients, ASecondConnectionToANamespaceTakesItOver) {
  SchedulerProcess scheduler;
  Loop loop;
  Client first(loop, scheduler.address());
  loop.wait(first.submit(1, 1));
  Client second(loop, scheduler.address(), HelloFields(), first.space);
  Worker worker(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return second.results.size() == 1; }));
  EXPECT_THAT(first.results, IsEmpty());
  EXPECT_EQ(errorOf([&] { loop.wait(first.submit(2, 1)); }).getType(), kj::Exception::Type::DISCONNECTED);
}

TEST(Clients, ADisconnectInTheMiddleOfASubmissionLosesNothing) {
  SchedulerProcess scheduler;
  Loop loop;
  auto client = kj::heap<Client>(loop, scheduler.address());
  auto space = client->space;
  loop.wait(client->submit(1, 1));
  {
    auto unheard = client->submit(2, 500);
    kj::evalLast([]() {}).wait(loop.io.waitScope);  // written, not answered
    client->disconnect();
  }
  Client again(loop, scheduler.address(), HelloFields(), space);
  EXPECT_EQ(loop.wait(again.submit(2, 500)), 500u);  // as the SDK does: what has no receipt is sent again
  Worker worker(loop, scheduler.address(), Worker::Fields{.slots = {{0, 1000}}});
  ASSERT_TRUE(loop.until([&] { return again.results.size() >= 501; }));
  EXPECT_THAT(again.seqs(), UnorderedElementsAreArray(range(1, 501)));
}

TEST(Clients, ThatCloseHaveTheirTasksCancelled) {
  SchedulerProcess scheduler;
  Loop loop;
  Client client(loop, scheduler.address());
  Client observer(loop, scheduler.address());
  loop.wait(client.submit(1, 10));
  loop.wait(client.session().closeRequest().send().ignoreResult());
  auto totals = loop.wait(observer.session().totalsRequest().send());
  EXPECT_EQ(totals.getTotals().getQueued(), 0u);
  EXPECT_EQ(totals.getTotals().getCancelled(), 10u);
}

TEST(Clients, ThatDoNotReadHaveBoundedResultsInFlight) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address(), Worker::Fields{.slots = {{0, 100}}});
  Client client(loop, scheduler.address());
  client.answersResults = false;
  std::vector<TaskFields> tasks;
  for (uint64_t seq = 1; seq <= 24; seq++) tasks.push_back({.seq = seq, .pickle = std::string(1 << 20, 'x')});
  EXPECT_EQ(loop.wait(client.submit(std::move(tasks))), 24u);
  Client observer(loop, scheduler.address());
  ASSERT_TRUE(
      loop.until([&] { return loop.wait(observer.session().totalsRequest().send()).getTotals().getSucceeded() == 24; }));
  EXPECT_LE(client.results.size(), 5u) << "4 MiB and the batch that passes it";
  EXPECT_GE(client.results.size(), 4u);
}

TEST(Clients, SeeWorkersFunctionsAndTotals) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address(), Worker::Fields{.name = "box", .slots = {{0, 3}, {1, 8}}});
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 2));
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 2; }));
  auto workers = loop.wait(client.session().workersRequest().send());
  ASSERT_EQ(workers.getWorkers().size(), 1u);
  auto status = workers.getWorkers()[0];
  EXPECT_STREQ(status.getInfo().getName().cStr(), "box");
  EXPECT_EQ(status.getInfo().getCapabilities().size(), 2u);
  EXPECT_EQ(status.getCompleted(), 2u);
  EXPECT_EQ(status.getWindow(), 11u);
  auto functions = loop.wait(client.session().functionsRequest().send());
  ASSERT_EQ(functions.getFunctions().size(), 1u);
  EXPECT_EQ(functions.getFunctions()[0].getCalls(), 2u);
  EXPECT_NEAR(functions.getFunctions()[0].getRunSecondsMean(), 5e-6, 1e-9);
  auto totals = loop.wait(client.session().totalsRequest().send());
  EXPECT_EQ(totals.getTotals().getSucceeded(), 2u);
  EXPECT_EQ(totals.getTotals().getWorkers(), 1u);
}

// ---- the end -------------------------------------------------------------------------------------------------------

TEST(Drain, FinishesWhatRunsDeliversItAndExitsZero) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address());
  worker.holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 2));
  ASSERT_TRUE(loop.until([&] { return worker.held.size() == 2; }));
  scheduler.signal(SIGTERM);
  ASSERT_TRUE(scheduler.logSays("draining: 2 tasks"));
  EXPECT_EQ(codeOf(errorOf([&] { loop.wait(client.submit(3, 1)); })), ErrorCode::SHUTTING_DOWN);
  EXPECT_TRUE(scheduler.isRunning());
  loop.wait(worker.answer({worker.held[0], worker.held[1]}));
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 2; }));
  ASSERT_TRUE(loop.until([&] { return !scheduler.isRunning(); }));
  EXPECT_EQ(scheduler.wait(), 0);
}

TEST(Drain, EndsWhenItsTimeIsOver) {
  SchedulerProcess scheduler({"--drain-seconds", "0"});
  Loop loop;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  scheduler.signal(SIGINT);
  EXPECT_EQ(scheduler.wait(), 0);
  EXPECT_THAT(scheduler.log(), HasSubstr("1 tasks did not end"));
}

TEST(Drain, ASecondSignalEndsAtOnce) {
  SchedulerProcess scheduler;
  Loop loop;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  scheduler.signal(SIGTERM);
  ASSERT_TRUE(scheduler.logSays("draining"));
  scheduler.signal(SIGTERM);
  EXPECT_EQ(scheduler.wait(), 1);
}

TEST(Parent, ItsEndEndsTheScheduler) {
  pid_t parent = fork();
  if (parent == 0) {
    for (;;) pause();
  }
  SchedulerProcess scheduler({"--parent-pid", std::to_string(parent)});
  EXPECT_TRUE(scheduler.isRunning());
  kill(parent, SIGKILL);
  EXPECT_EQ(scheduler.wait(), 0);
}

}  // namespace
}  // namespace epochly::conformance

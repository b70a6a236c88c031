// What no honest peer sends, sent to the real process: it closes that connection, says why, and serves the next.
#include <random>

#include <capnp/message.h>
#include <capnp/rpc.capnp.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "conformance/peers.h"
#include "conformance/process.h"

namespace epochly::conformance {
namespace {

using testing::HasSubstr;

using Bytes = std::vector<byte>;

Bytes bytesOf(capnp::MessageBuilder& message) {
  auto words = capnp::messageToFlatArray(message);
  auto bytes = words.asBytes();
  return Bytes(bytes.begin(), bytes.end());
}

Bytes bootstrapCall() {
  capnp::MallocMessageBuilder message;
  message.initRoot<capnp::rpc::Message>().initBootstrap().setQuestionId(0);
  return bytesOf(message);
}

// One process for all of it: that is the point.
class Malformed : public testing::Test {
 public:
  ~Malformed() noexcept override {}

 protected:
  SchedulerProcess scheduler;
  Loop loop;

  // Sends them, then reads until the scheduler closes, at most 10 s.
  void send(const Bytes& bytes) {
    auto stream = loop.connect(scheduler.address());
    byte sink[4096];
    auto sent = bytes.empty() ? kj::Promise<void>(kj::READY_NOW) : stream->write(bytes.data(), bytes.size());
    // A peer that closes early resets the connection: both ends are as good.
    KJ_IF_MAYBE(reset, kj::runCatchingExceptions([&]() {
                  loop.wait(kj::mv(sent));
                  stream->shutdownWrite();
                  while (loop.wait(stream->tryRead(sink, 1, sizeof(sink))) > 0) {
                  }
                })) {
      EXPECT_EQ(reset->getType(), kj::Exception::Type::DISCONNECTED) << kj::str(*reset).cStr();
    }
  }

  void expectItServes() {
    ASSERT_TRUE(scheduler.isRunning()) << scheduler.log();
    Client client(loop, scheduler.address());
    EXPECT_EQ(loop.wait(client.submit(1, 1)), 1u);
    loop.wait(client.session().closeRequest().send().ignoreResult());
  }
};

TEST_F(Malformed, RandomBytes) {
  std::mt19937 random(42);
  for (int round = 0; round < 200; round++) {
    Bytes bytes(random() % 2000);
    for (auto& b : bytes) b = random();
    if (round % 2 == 0 && bytes.size() > 8) {  // a table that is believed, and noise behind it
      bytes[0] = bytes[1] = bytes[2] = bytes[3] = 0;
      uint32_t words = (bytes.size() - 8) / 8;
      memcpy(bytes.data() + 4, &words, 4);
    }
    send(bytes);
  }
  expectItServes();
  EXPECT_THAT(scheduler.log(), HasSubstr("ended before a hello was accepted"));
}

TEST_F(Malformed, MessagesCutAnywhere) {
  auto whole = bootstrapCall();
  for (size_t length = 0; length < whole.size(); length++) send(Bytes(whole.begin(), whole.begin() + length));
  expectItServes();
  EXPECT_THAT(scheduler.log(), HasSubstr("the stream ended within a message"));
}

TEST_F(Malformed, MessagesWithOneByteChanged) {
  std::mt19937 random(7);
  capnp::MallocMessageBuilder message;
  auto call = message.initRoot<capnp::rpc::Message>().initCall();
  call.setInterfaceId(capnp::typeId<schema::Gateway>());
  call.initTarget().initPromisedAnswer().setQuestionId(0);
  call.setQuestionId(1);
  write(HelloFields(), call.initParams().initContent().initAs<schema::Gateway::OpenClientParams>().initHello());
  auto first = bootstrapCall();
  auto second = bytesOf(message);
  for (int round = 0; round < 300; round++) {
    auto bytes = first;
    bytes.insert(bytes.end(), second.begin(), second.end());
    bytes[random() % bytes.size()] = random();
    send(bytes);
  }
  expectItServes();
}

TEST_F(Malformed, ATableThatClaimsMoreThanAStrangerMaySend) {
  Bytes table{0, 0, 0, 0, 0, 0, 0, 1};  // one segment of 2^24 words
  send(table);
  expectItServes();
  EXPECT_THAT(scheduler.log(), HasSubstr("over the limit of 65536 before a Hello is accepted"));
}

TEST_F(Malformed, ATableOfAMillionSegments) {
  send({0xff, 0xff, 0x0f, 0x00, 0, 0, 0, 0});
  expectItServes();
  EXPECT_THAT(scheduler.log(), HasSubstr("segments, over 512"));
}

TEST_F(Malformed, AnInterfaceThatNobodyImplements) {
  Wire wire(loop, scheduler.address());
  auto stranger = wire.rpc.bootstrap().castAs<schema::ClientSession>();
  auto error = errorOf([&] { loop.wait(stranger.totalsRequest().send().ignoreResult()); });
  EXPECT_EQ(error.getType(), kj::Exception::Type::UNIMPLEMENTED);
  auto request = wire.gateway.openClientRequest();  // the connection is as good as before
  write(HelloFields(), request.initHello());
  EXPECT_NO_THROW(loop.wait(request.send().ignoreResult()));
}

TEST_F(Malformed, AClientWithoutASink) {
  Wire wire(loop, scheduler.address());
  auto request = wire.gateway.openClientRequest();
  write(HelloFields(), request.initHello());
  auto session = loop.wait(request.send()).getSession();
  auto submit = session.submitRequest();
  auto batch = submit.initBatch();
  batch.initFunctions(1)[0].setHashLow(1);
  batch.initTasks(1)[0].setSeq(1);
  loop.wait(submit.send().ignoreResult());
  Worker worker(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return scheduler.log().find("it refused its results") != std::string::npos; }));
  expectItServes();
}

TEST_F(Malformed, TasksOutOfRangeEndInTypedErrors) {
  Client client(loop, scheduler.address());
  std::vector<TaskFields> tasks{{.seq = 1, .level = 99}, {.seq = 2, .level = -2}, {.seq = 3, .retries = 65535}};
  EXPECT_EQ(loop.wait(client.submit(std::move(tasks))), 3u);
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 3; }));
  for (auto& result : client.results) EXPECT_EQ(result.code, ErrorCode::INVALID_ARGUMENT) << result.seq;
}

TEST_F(Malformed, SubmissionsThatMakeNoSenseAreRefusedWhole) {
  Client client(loop, scheduler.address());
  auto refusal = [&](std::vector<TaskFields> tasks) {
    return codeOf(errorOf([&] { loop.wait(client.submit(std::move(tasks))); }));
  };
  loop.wait(client.submit(1, 1));
  EXPECT_EQ(refusal({{.seq = 0}}), ErrorCode::INVALID_ARGUMENT) << "numbers start at 1";
  EXPECT_EQ(refusal({{.seq = 5}, {.seq = 5}}), ErrorCode::INVALID_ARGUMENT) << "numbers ascend";
  EXPECT_EQ(refusal({{.seq = 5}, {.seq = 4}}), ErrorCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal({{.seq = 2, .function = 77}}), ErrorCode::INVALID_ARGUMENT) << "a function that was not sent";
  std::vector<TaskFields> tooMany(BATCH_TASKS_MAX + 1);
  for (size_t i = 0; i < tooMany.size(); i++) tooMany[i].seq = i + 2;
  EXPECT_EQ(refusal(tooMany), ErrorCode::INVALID_ARGUMENT);
  tooMany.pop_back();
  EXPECT_EQ(loop.wait(client.submit(std::move(tooMany))), BATCH_TASKS_MAX) << "the bound itself is fine";
}

TEST_F(Malformed, ListsThatClaimToBeHuge) {
  // A list of a million empty structs takes a word on the wire.
  capnp::MallocMessageBuilder message;
  auto call = message.initRoot<capnp::rpc::Message>().initCall();
  call.setInterfaceId(capnp::typeId<schema::Gateway>());
  call.setMethodId(1);  // joinWorker
  call.initTarget().initPromisedAnswer().setQuestionId(0);
  call.setQuestionId(1);
  auto params = call.initParams().initContent().initAs<schema::Gateway::JoinWorkerParams>();
  write(HelloFields(), params.initHello());
  params.initInfo().initFacts(2000);
  auto bytes = bootstrapCall();
  auto join = bytesOf(message);
  bytes.insert(bytes.end(), join.begin(), join.end());
  send(bytes);
  expectItServes();
}

TEST_F(Malformed, WorkersThatTellNonsenseDoNotJoin) {
  auto refusal = [&](Worker::Fields fields) {
    return codeOf(errorOf([&] { Worker worker(loop, scheduler.address(), fields); }));
  };
  EXPECT_EQ(refusal({.slots = {{9, 1}}}), ErrorCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal({.slots = {{0, 1u << 30}}}), ErrorCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal({.slots = {{0, 1}}}), ErrorCode::NONE);
}

TEST_F(Malformed, AWorkerThatAnswersForAnImpossibleLevelFailsThatAttemptOnly) {
  Worker worker(loop, scheduler.address());
  worker.holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  ASSERT_TRUE(loop.until([&] { return worker.held.size() == 1; }));
  worker.held[0].level = 200;
  loop.wait(worker.answer({worker.held[0]}));
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 1; }));
  EXPECT_EQ(client.results[0].code, ErrorCode::INTERNAL);
  EXPECT_THAT(client.results[0].message, HasSubstr("level 200"));
}

TEST_F(Malformed, AWorkerWhoseResultsCannotBeReadLosesItsTasks) {
  Worker worker(loop, scheduler.address());
  worker.holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  ASSERT_TRUE(loop.until([&] { return worker.held.size() == 1; }));
  std::vector<Assigned> tooMany(BATCH_TASKS_MAX + 1, worker.held[0]);
  EXPECT_NE(codeOf(errorOf([&] { loop.wait(worker.answer(tooMany)); })), ErrorCode::NONE);
  Worker other(loop, scheduler.address());
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 1; }));
  EXPECT_EQ(client.results[0].attempt, 2u);
}

TEST_F(Malformed, StaleResultsAreCountedAndDropped) {
  Worker worker(loop, scheduler.address());
  worker.holds = true;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  ASSERT_TRUE(loop.until([&] { return worker.held.size() == 1; }));
  auto stale = worker.held[0];
  stale.attempt = 7;
  loop.wait(worker.answer({stale}));
  stale = worker.held[0];
  stale.task.seq = 99;
  loop.wait(worker.answer({stale}));
  auto totals = loop.wait(client.session().totalsRequest().send());
  EXPECT_EQ(totals.getTotals().getStaleResults(), 2u);
  EXPECT_EQ(client.results.size(), 0u);
}

}  // namespace
}  // namespace epochly::conformance

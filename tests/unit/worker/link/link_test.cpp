#include "link/link.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "objects/name.h"
#include "run/scratch.h"
#include "support/fake_gateway.h"

namespace epochly::link {
namespace {

using testing::HasSubstr;

// A crashed process under a sanitizer on a loaded machine takes seconds; a hang is found all the same.
constexpr kj::Duration PATIENCE = 60 * kj::SECONDS;

struct LinkEnv final : public LinkObserver {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::Timer& timer = io.provider->getTimer();
  FakeGateway gateway{io};
  run::Scratch scratch = run::Scratch::create("/tmp");
  run::Observer observer;
  run::ResultObjects objects;
  kj::Own<run::Supervisor> supervisor;
  kj::Own<SocketDialer> dialer;
  kj::Own<Link> link;
  kj::Maybe<kj::Maybe<Refused>> end;
  kj::Promise<void> running = nullptr;
  std::vector<uint64_t> joined;
  std::vector<std::string> lost;

  explicit LinkEnv(size_t functionsMax = run::FUNCTIONS_MAX) {
    run::DispatchLimits limits;
    limits.functionsMax = functionsMax;
    limits.cpuSlots = 2;
    limits.ioThreads = 8;
    run::ExecutorCommand command;
    command.program = kj::str(FAKE_EXECUTOR_PATH);
    command.ioThreads = 8;
    command.scratch = kj::str(scratch.path());
    supervisor = kj::heap<run::Supervisor>(io.unixEventPort, limits, kj::mv(command), objects, observer);
    supervisor->start().wait(io.waitScope);
    auto introduction = kj::heap<Introduction>();
    introduction->token = kj::heapArray<kj::byte>(kj::StringPtr("secret").asBytes());
    introduction->info.initRoot<schema::WorkerInfo>().setName("box");
    auto address = KJ_ASSERT_NONNULL(rt::parseAddress(kj::str("unix:", gateway.path.c_str())));
    dialer = kj::heap<SocketDialer>(io, address);
    link = kj::heap<Link>(timer, *dialer, kj::mv(introduction), *supervisor, *this);
  }
  ~LinkEnv() noexcept override {}

  void run() {
    running = link->run()
                  .then([this](kj::Maybe<Refused> refused) { end = kj::mv(refused); })
                  .eagerlyEvaluate([](kj::Exception&& e) { ADD_FAILURE() << kj::str(e).cStr(); });
  }
  void join() {
    gateway.listen();
    run();
    until([&] { return joined.size() == 1; });
  }
  template <typename Fn>
  void until(Fn&& condition) {
    auto deadline = timer.now() + PATIENCE;
    while (!condition() && timer.now() < deadline) timer.afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
    ASSERT_TRUE(condition()) << "did not happen in time";
  }
  void untilResults(size_t count) {
    until([&] { return gateway.results.size() >= count; });
  }
  std::string refusal() {
    until([&] { return end != nullptr; });
    KJ_IF_MAYBE(refused, KJ_ASSERT_NONNULL(end)) return refused->why.cStr();
    return "not refused";
  }
  bool drained() { return end != nullptr && KJ_ASSERT_NONNULL(end) == nullptr; }

  void onJoined(WorkerId id) override { joined.push_back(id.value); }
  void onLost(kj::StringPtr why) override { lost.push_back(why.cStr()); }
};

TEST(Link, IntroducesItselfAndBeats) {
  LinkEnv env;
  env.join();
  EXPECT_EQ(env.gateway.token, "secret");
  EXPECT_EQ(env.gateway.name, "box");
  EXPECT_EQ(env.gateway.protocolMax, PROTOCOL_MAX);
  EXPECT_EQ(env.joined, std::vector<uint64_t>{1});
  env.until([&] { return env.gateway.heartbeats >= 3; });
}

TEST(Link, RunsWhatItIsSentAndReturnsTheResults) {
  LinkEnv env;
  env.join();
  env.gateway.run(1, "echo one").wait(env.io.waitScope);
  env.gateway.run(2, "segv").wait(env.io.waitScope);
  env.untilResults(2);
  bool inOrder = env.gateway.results[0].seq == 1;
  EXPECT_EQ(env.gateway.results[inOrder ? 0 : 1].value, "one");
  EXPECT_EQ(env.gateway.results[inOrder ? 1 : 0].failure, static_cast<uint16_t>(ErrorCode::EXECUTOR_DIED));
}

TEST(Link, CancelsWhatItIsToldTo) {
  LinkEnv env;
  env.join();
  env.gateway.run(1, "hang").wait(env.io.waitScope);
  env.gateway.cancel(1).wait(env.io.waitScope);
  env.untilResults(1);
  EXPECT_EQ(env.gateway.results[0].failure, static_cast<uint16_t>(ErrorCode::CANCELLED));
}

TEST(Link, GivesBackWhatIsRecalledAndHasNotBegun) {
  LinkEnv env;
  env.join();
  for (uint64_t seq = 1; seq <= 3; seq++) env.gateway.run(seq, "hang").wait(env.io.waitScope);
  env.until([&] { return env.supervisor->load().running == 2; });
  env.gateway.recall(3).wait(env.io.waitScope);
  env.untilResults(1);
  EXPECT_EQ(env.gateway.results[0].seq, 3u);
  EXPECT_TRUE(env.gateway.results[0].notRun);
}

// How many shared memory objects carry the mark of attempt 1 of this task.
size_t sharedResults(uint64_t seq) {
  uint32_t mark = run::markOf({TaskId{SpaceId(), seq}, Attempt(1)});
  size_t count = 0;
  for (auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    KJ_IF_MAYBE(name, objects::parseName(kj::str("/", entry.path().filename().c_str()))) count += name->number == mark;
  }
  return count;
}

TEST(Link, RemovesTheSharedResultsItIsToldToDiscard) {
  constexpr uint64_t SEQ = 0x5eed5eed;  // no other test's
  LinkEnv env;
  env.join();
  env.gateway.run(SEQ, "share 0").wait(env.io.waitScope);
  env.untilResults(1);
  EXPECT_EQ(sharedResults(SEQ), 1u);
  env.gateway.discard(SEQ).wait(env.io.waitScope);
  EXPECT_EQ(sharedResults(SEQ), 0u);
}

TEST(Link, KeepsAtMostTwoCallsOfResultsInFlightAndPutsTheRestIntoTheNext) {
  LinkEnv env;
  env.join();
  env.gateway.holdResults = true;
  for (uint64_t seq = 1; seq <= RESULT_CALLS_MAX; seq++) {
    env.gateway.run(seq, "echo x").wait(env.io.waitScope);
    env.untilResults(seq);
  }
  for (uint64_t seq = 11; seq <= 13; seq++) env.gateway.run(seq, "echo x").wait(env.io.waitScope);
  env.until([&] { return env.supervisor->outbox().size() == 3; });
  EXPECT_EQ(env.gateway.resultCalls, RESULT_CALLS_MAX);
}

TEST(Link, SendsResultsAgainThatTheSchedulerDidNotTake) {
  LinkEnv env;
  env.join();
  env.gateway.resultsRefusal = makeError(ErrorCode::OVERLOADED, "try later");
  env.gateway.run(1, "echo one").wait(env.io.waitScope);
  env.until([&] { return env.supervisor->load().running + env.supervisor->load().queued == 0; });
  env.timer.afterDelay(2 * RESULTS_RETRY).wait(env.io.waitScope);
  EXPECT_TRUE(env.gateway.results.empty());
  env.gateway.resultsRefusal = nullptr;
  env.untilResults(1);
  EXPECT_EQ(env.gateway.results[0].value, "one");
  EXPECT_EQ(env.joined.size(), 1u) << "on the same connection";
}

TEST(Link, JoinsAnewAfterALossAndForgetsWhatItHeld) {
  LinkEnv env;
  env.join();
  env.gateway.run(1, "hang").wait(env.io.waitScope);
  env.gateway.run(2, "hang", Level::THREADS).wait(env.io.waitScope);
  env.gateway.dropConnections();
  env.until([&] { return env.joined.size() == 2; });
  EXPECT_EQ(env.lost.size(), 1u);
  EXPECT_EQ(env.supervisor->load().running + env.supervisor->load().queued, 0u);
  env.gateway.run(3, "echo again").wait(env.io.waitScope);
  env.untilResults(1);
  EXPECT_EQ(env.gateway.results[0].seq, 3u);
  EXPECT_EQ(env.gateway.results.size(), 1u) << "nothing of the old connection";
}

TEST(Link, WaitsForASchedulerThatIsNotThereYet) {
  LinkEnv env;
  env.run();
  env.timer.afterDelay(3 * RETRY_DELAY_MIN).wait(env.io.waitScope);
  EXPECT_EQ(env.joined.size(), 0u);
  env.gateway.listen();
  env.until([&] { return env.joined.size() == 1; });
}

TEST(Link, JoinsAgainAndAgain) {
  LinkEnv env;
  env.join();
  for (size_t i = 2; i <= 4; i++) {
    env.gateway.stopListening();
    env.gateway.dropConnections();
    env.timer.afterDelay(20 * kj::MILLISECONDS).wait(env.io.waitScope);
    env.gateway.listen();
    env.until([&] { return env.joined.size() == i; });
    env.gateway.run(i, "echo alive").wait(env.io.waitScope);
    env.untilResults(i - 1);
  }
}

TEST(Link, TakesASchedulerThatDoesNotAnswerForLost) {
  LinkEnv env;
  env.join();
  env.gateway.holdHeartbeats = true;
  env.until([&] { return env.lost.size() == 1; });
  EXPECT_THAT(env.lost[0], HasSubstr("has not answered 3 heartbeats"));
  env.gateway.holdHeartbeats = false;
  env.until([&] { return env.joined.size() == 2; });
}

TEST(Link, GivesUpWhenItIsRefusedForGood) {
  for (auto code : {ErrorCode::UNAUTHENTICATED, ErrorCode::PROTOCOL_MISMATCH, ErrorCode::INVALID_ARGUMENT}) {
    LinkEnv env;
    env.gateway.refusal = makeError(code, "the reason");
    env.gateway.listen();
    env.run();
    EXPECT_EQ(env.refusal(), "the reason");
    EXPECT_EQ(env.gateway.joins, 1u) << "asked once";
  }
}

TEST(Link, TriesAgainWhenItIsRefusedForNow) {
  for (auto code : {ErrorCode::OVERLOADED, ErrorCode::SHUTTING_DOWN}) {
    LinkEnv env;
    env.gateway.refusal = makeError(code, "not now");
    env.gateway.listen();
    env.run();
    env.until([&] { return env.gateway.joins >= 2; });
    env.gateway.refusal = nullptr;
    env.until([&] { return env.joined.size() == 1; });
  }
}

TEST(Link, DrainGivesBackFinishesAndLeaves) {
  LinkEnv env;
  env.join();
  env.gateway.run(1, "sleep 100").wait(env.io.waitScope);
  env.gateway.run(2, "sleep 100").wait(env.io.waitScope);
  env.gateway.run(3, "echo queued").wait(env.io.waitScope);
  env.until([&] { return env.supervisor->load().running == 2; });
  env.link->drain();
  env.until([&] { return env.drained(); });
  EXPECT_TRUE(env.gateway.left);
  ASSERT_EQ(env.gateway.results.size(), 3u) << "each is answered before it leaves";
  for (auto& result : env.gateway.results) EXPECT_TRUE(result.notRun || result.value == "slept");
}

TEST(Link, DrainsWhenTheSchedulerAsks) {
  LinkEnv env;
  env.join();
  env.gateway.drain().wait(env.io.waitScope);
  env.until([&] { return env.drained(); });
  EXPECT_TRUE(env.gateway.left);
}

TEST(Link, JoinsAnewWithAnEmptyTableWhenItKnowsTooManyFunctions) {
  LinkEnv env(3);
  env.join();
  for (uint32_t function = 1; function <= 3; function++) {
    env.gateway.run(function, "echo x", Level::MONITOR, function).wait(env.io.waitScope);
  }
  env.until([&] { return env.joined.size() == 2; });
  EXPECT_TRUE(env.gateway.left);
  ASSERT_EQ(env.gateway.results.size(), 3u) << "each is answered before it leaves";
  EXPECT_TRUE(env.lost.empty()) << "on purpose, with nothing lost";
  EXPECT_FALSE(env.supervisor->functionTableFull());
  env.gateway.run(11, "echo again", Level::MONITOR, 1).wait(env.io.waitScope);
  env.untilResults(4);
  EXPECT_EQ(env.gateway.results[3].value, "again");
}

TEST(Link, DrainEndsAtOnceWhileThereIsNoScheduler) {
  LinkEnv env;
  env.run();
  env.link->drain();
  env.until([&] { return env.drained(); });
}

TEST(Link, DrainEndsWhenTheSchedulerGoesAway) {
  LinkEnv env;
  env.join();
  env.gateway.run(1, "hang").wait(env.io.waitScope);
  env.until([&] { return env.supervisor->load().running == 1; });
  env.link->drain();
  env.until([&] { return env.gateway.left; });
  env.gateway.dropConnections();
  env.until([&] { return env.drained(); });
}

}  // namespace
}  // namespace epochly::link

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <capnp/serialize.h>

#include "ext/client_thread.h"
#include "unit/client/fake_scheduler.h"

namespace epochly::client {
namespace {

using ::testing::ElementsAre;

class NoRegions final : public RegionOpener {
 public:
  std::shared_ptr<Region> open(const SharedBuffer&) override { KJ_FAIL_REQUIRE("no shared memory in this test"); }
  void unlink(const SharedBuffer&) override {}
};

// A client of the fake scheduler, with small bounds and short patience.
struct LinkTest : ::testing::Test {
  FakeScheduler scheduler;
  std::unique_ptr<ClientThread> client;
  std::shared_ptr<const Function> function = functionNamed("f");
  Patience patience;

  LinkTest() {
    patience.connect = 10 * kj::SECONDS;
    patience.reconnect = 20 * kj::SECONDS;
  }

  ClientThread& connect() {
    LinkOptions options{KJ_ASSERT_NONNULL(rt::parseAddress(scheduler.address())), nullptr, kj::str("test"), patience};
    client = std::make_unique<ClientThread>(kj::mv(options), WindowBounds{}, std::make_unique<NoRegions>());
    EXPECT_TRUE(client->status.awaitSettled(soon()));
    return *client;
  }

  std::shared_ptr<Entry> submit(std::shared_ptr<const Function> called = nullptr) {
    auto& thread = *client;
    auto spec = taskOf(called ? called : function);
    auto entry = spec.entry;
    bool wake = false;
    EXPECT_EQ(thread.ledger.enqueue(spec, wake), Admission::TAKEN);
    if (wake) thread.wake();
    return entry;
  }

  // Polls: the loss shows only in the client's facts.
  bool noticesTheLoss() {
    for (auto deadline = soon(); std::chrono::steady_clock::now() < deadline; std::this_thread::yield()) {
      if (!client->status.facts().connected) return true;
    }
    return false;
  }
  bool ends(Entry& entry) { return client->ledger.await(entry, soon()); }
  bool endsWithOwnValue(Entry& entry) {
    return ends(entry) && entry.ending == Ending::VALUE && entry.outcome.value.pickle == bytesOf(kj::str(entry.seq));
  }
  void expectFailure(Entry& entry, ErrorCode code) {
    ASSERT_TRUE(ends(entry));
    EXPECT_EQ(entry.ending.load(), Ending::FAILURE);
    EXPECT_EQ(entry.outcome.failure.code, code) << entry.outcome.failure.message.cStr();
  }
};

TEST_F(LinkTest, EveryTaskComesBackWithItsOwnValue) {
  connect();
  std::vector<std::shared_ptr<Entry>> entries;
  for (int i = 0; i < 3000; i++) entries.push_back(submit());
  for (auto& entry : entries) ASSERT_TRUE(endsWithOwnValue(*entry));
  EXPECT_THAT(scheduler.functionNames(), ElementsAre("f")) << "sent once";
  EXPECT_EQ(entries[0]->outcome.placement->why, "test");
}

TEST_F(LinkTest, WhatAFullQueueRefusedIsSentAgainInOrder) {
  uint calls = 0;
  scheduler.admit([&calls](uint32_t tasks) { return ++calls % 2 == 1 ? tasks / 2 : tasks; });
  connect();
  std::vector<std::shared_ptr<Entry>> entries;
  for (int i = 0; i < 500; i++) entries.push_back(submit());
  for (auto& entry : entries) ASSERT_TRUE(endsWithOwnValue(*entry));
  auto taken = scheduler.taken();
  ASSERT_EQ(taken.size(), 500u) << "each once";
  for (size_t i = 0; i < taken.size(); i++) EXPECT_EQ(taken[i].seq, i + 1);
  EXPECT_GT(client->status.facts().refusals, 0u);
}

TEST_F(LinkTest, AnOverloadedSchedulerIsAskedAgain) {
  uint calls = 0;
  scheduler.admit([&calls](uint32_t tasks) {
    if (++calls <= 2) kj::throwFatalException(makeError(ErrorCode::OVERLOADED, "too many functions"));
    return tasks;
  });
  connect();
  EXPECT_TRUE(endsWithOwnValue(*submit()));
  EXPECT_THAT(scheduler.functionNames(), ElementsAre("f")) << "told again with the message that was taken";
}

TEST_F(LinkTest, ATaskThatIsRefusedForGoodEndsAloneAndTheOthersGoOn) {
  scheduler.hold(true);
  connect();
  auto first = submit();
  ASSERT_TRUE(scheduler.awaitTaken(1));
  scheduler.admit([](uint32_t tasks) {
    if (tasks > 1) kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, "one of these is wrong"));
    static uint alone = 0;
    if (++alone == 2) kj::throwFatalException(makeError(ErrorCode::PAYLOAD_TOO_LARGE, "this one is wrong"));
    return tasks;
  });
  std::vector<std::shared_ptr<Entry>> entries;
  {
    // All in one submission: the loop cannot run while we hold its ledger's tasks back ... so queue them before waking it.
    auto& thread = *client;
    bool wake = false;
    for (int i = 0; i < 3; i++) {
      auto spec = taskOf(function);
      entries.push_back(spec.entry);
      thread.ledger.enqueue(spec, wake);
    }
    thread.wake();
  }
  scheduler.release();
  EXPECT_TRUE(endsWithOwnValue(*first));
  uint failed = 0;
  for (auto& entry : entries) {
    ASSERT_TRUE(ends(*entry));
    failed += entry->ending == Ending::FAILURE;
  }
  EXPECT_EQ(failed, 1u);
}

TEST_F(LinkTest, ALostConnectionIsResumedAndNoResultIsLostOrSeenTwice) {
  scheduler.hold(true);
  connect();
  std::vector<std::shared_ptr<Entry>> entries;
  for (int i = 0; i < 100; i++) entries.push_back(submit());
  ASSERT_TRUE(scheduler.awaitTaken(1));
  scheduler.drop();
  for (int i = 0; i < 100; i++) entries.push_back(submit());
  ASSERT_TRUE(scheduler.awaitTaken(200));
  scheduler.release();
  for (auto& entry : entries) ASSERT_TRUE(endsWithOwnValue(*entry));
  EXPECT_EQ(scheduler.taken().size(), 200u);
  auto facts = client->status.facts();
  EXPECT_EQ(facts.reconnects, 1u);
  EXPECT_TRUE(facts.connected);
}

TEST_F(LinkTest, FunctionsAreToldAgainOnANewConnection) {
  connect();
  ASSERT_TRUE(endsWithOwnValue(*submit()));
  scheduler.drop();
  ASSERT_TRUE(endsWithOwnValue(*submit()));
  EXPECT_THAT(scheduler.functionNames(), ElementsAre("f", "f"));
}

TEST_F(LinkTest, ASchedulerThatForgotUsEndsWhatItHadAcceptedAndTakesTheRest) {
  scheduler.hold(true);
  connect();
  auto lost = submit();
  ASSERT_TRUE(scheduler.awaitTaken(1));
  scheduler.stop();
  // Sent into the dying connection, it too might have been accepted.
  ASSERT_TRUE(noticesTheLoss());
  auto kept = submit();
  scheduler.hold(false);
  scheduler.start();
  expectFailure(*lost, ErrorCode::DISCONNECTED);
  EXPECT_TRUE(endsWithOwnValue(*kept));
}

TEST_F(LinkTest, ASchedulerThatStaysAwayEndsEveryTask) {
  patience.reconnect = 50 * kj::MILLISECONDS;
  scheduler.hold(true);
  connect();
  auto sent = submit();
  ASSERT_TRUE(scheduler.awaitTaken(1));
  scheduler.stop();
  expectFailure(*sent, ErrorCode::DISCONNECTED);
  auto spec = taskOf(function);
  bool wake = false;
  EXPECT_EQ(client->ledger.enqueue(spec, wake), Admission::CLOSED);
}

TEST_F(LinkTest, ASchedulerThatComesBackLateIsUsedAgain) {
  patience.reconnect = 50 * kj::MILLISECONDS;
  scheduler.hold(true);
  auto& thread = connect();
  auto sent = submit();
  scheduler.stop();
  expectFailure(*sent, ErrorCode::DISCONNECTED);
  scheduler.hold(false);
  scheduler.start();
  while (!thread.status.facts().connected) std::this_thread::yield();
  EXPECT_TRUE(endsWithOwnValue(*submit()));
}

TEST_F(LinkTest, ASilentSchedulerIsTakenForGoneAndTheTaskGoesToItsSuccessor) {
  patience.silence = 20 * kj::MILLISECONDS;
  patience.signOfLife = 50 * kj::MILLISECONDS;
  connect();
  scheduler.stall();
  auto entry = submit();
  EXPECT_TRUE(endsWithOwnValue(*entry));
  EXPECT_GE(scheduler.connectionsSeen(), 2u);
}

TEST_F(LinkTest, ASchedulerThatWillNotHaveUsIsNotAskedAgain) {
  scheduler.refuseClients(ErrorCode::UNAUTHENTICATED);
  auto facts = connect().status.facts();
  EXPECT_TRUE(facts.failed);
  EXPECT_EQ(facts.failure.code, ErrorCode::UNAUTHENTICATED);
  EXPECT_EQ(facts.failure.message, "refused by the test");
  EXPECT_EQ(scheduler.connectionsSeen(), 1u);
}

TEST_F(LinkTest, ASchedulerOfAnotherProtocolIsNotAskedAgain) {
  scheduler.refuseClients(ErrorCode::PROTOCOL_MISMATCH);
  auto facts = connect().status.facts();
  EXPECT_TRUE(facts.failed);
  EXPECT_EQ(facts.failure.code, ErrorCode::PROTOCOL_MISMATCH);
  EXPECT_EQ(scheduler.connectionsSeen(), 1u);
}

TEST_F(LinkTest, AWrongAddressFailsAfterPatience) {
  patience.connect = 0 * kj::SECONDS;
  scheduler.stop();
  auto facts = connect().status.facts();
  EXPECT_TRUE(facts.failed);
  EXPECT_EQ(facts.failure.code, ErrorCode::DISCONNECTED);
}

TEST_F(LinkTest, ACancellationReachesTheScheduler) {
  scheduler.hold(true);
  auto& thread = connect();
  auto entry = submit();
  ASSERT_TRUE(scheduler.awaitTaken(1));
  bool wake = false;
  EXPECT_TRUE(thread.ledger.cancel(*entry, wake));
  if (wake) thread.wake();
  ASSERT_TRUE(scheduler.awaitCancelled(1));
  EXPECT_THAT(scheduler.cancellations(), ElementsAre(1));
}

TEST_F(LinkTest, QuestionsAreAnswered) {
  auto& thread = connect();
  auto question = std::make_shared<Question>(Question::About::TOTALS, 0);
  thread.ask(question);
  ASSERT_TRUE(question->await(soon()));
  auto words = question->take();
  capnp::FlatArrayMessageReader message(words);
  EXPECT_EQ(message.getRoot<schema::ClientSession::TotalsResults>().getTotals().getQueued(), 7u);
}

TEST_F(LinkTest, StoppingEndsWhatIsPending) {
  scheduler.hold(true);
  auto& thread = connect();
  auto entry = submit();
  thread.stop(Failure::of(ErrorCode::CANCELLED, kj::str("closed")));
  EXPECT_EQ(entry->ending.load(), Ending::CANCELLED);
  EXPECT_EQ(thread.status.facts().reconnects, 0u);
}

}  // namespace
}  // namespace epochly::client

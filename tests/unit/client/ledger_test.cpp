#include "ext/client_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "unit/client/client_env.h"
#include "wire/task_spec.h"

namespace epochly::client {
namespace {

using ::testing::ElementsAre;

struct LedgerTest : ::testing::Test {
  Ledger ledger{WindowBounds{4, 1u << 20}};
  std::shared_ptr<const Function> function = functionNamed("f");
  bool wake = false;

  std::shared_ptr<Entry> submit() {
    auto spec = taskOf(function);
    auto entry = spec.entry;
    EXPECT_EQ(ledger.enqueue(spec, wake), Admission::TAKEN);
    return entry;
  }
  std::vector<TaskSpec> take() {
    std::vector<TaskSpec> batch;
    ledger.takeQueued(batch, BATCH_TASKS_MAX, BATCH_BYTES_TARGET);
    return batch;
  }
  void end(uint64_t seq, Outcome outcome) {
    std::vector<Ledger::Arrival> arrivals;
    arrivals.push_back({seq, kj::mv(outcome)});
    ledger.end(kj::mv(arrivals));
  }
};

TEST_F(LedgerTest, WakesTheLoopOncePerBatch) {
  submit();
  EXPECT_TRUE(wake);
  submit();
  EXPECT_FALSE(wake) << "it is awake already";
  EXPECT_EQ(take().size(), 2u);
  submit();
  EXPECT_FALSE(wake) << "it comes again when the batch was accepted";
  EXPECT_EQ(take().size(), 1u);
  EXPECT_EQ(take().size(), 0u);
  submit();
  EXPECT_TRUE(wake) << "it found nothing and sleeps";
}

TEST_F(LedgerTest, SequenceNumbersAscendInTheOrderOfTheQueue) {
  for (int i = 0; i < 3; i++) submit();
  auto batch = take();
  EXPECT_EQ(batch[0].entry->seq, 1u);
  EXPECT_EQ(batch[2].entry->seq, 3u);
}

TEST_F(LedgerTest, RefusesPastTheWindowUntilTasksAreAccepted) {
  for (int i = 0; i < 4; i++) submit();
  auto spec = taskOf(function);
  EXPECT_EQ(ledger.enqueue(spec, wake), Admission::FULL);
  EXPECT_FALSE(ledger.awaitRoom(atOnce()));
  auto batch = take();
  EXPECT_FALSE(ledger.awaitRoom(atOnce())) << "what is under way counts";
  ledger.accepted(1, batch[0].bytes());
  EXPECT_TRUE(ledger.awaitRoom(atOnce()));
  EXPECT_EQ(ledger.enqueue(spec, wake), Admission::TAKEN);
}

TEST_F(LedgerTest, TheWindowCountsBytesToo) {
  auto spec = largeTask(function, 1u << 20);
  EXPECT_EQ(ledger.enqueue(spec, wake), Admission::TAKEN) << "one is always taken";
  auto next = taskOf(function);
  EXPECT_EQ(ledger.enqueue(next, wake), Admission::FULL);
}

TEST_F(LedgerTest, AWaiterWakesWhenItsTaskEnds) {
  auto entry = submit();
  EXPECT_FALSE(ledger.await(*entry, atOnce()));
  std::thread loop([&] { end(entry->seq, valueOf("v")); });
  EXPECT_TRUE(ledger.await(*entry, soon()));
  loop.join();
  EXPECT_EQ(entry->ending.load(), Ending::VALUE);
  EXPECT_TRUE(entry->outcome.value.pickle == bytesOf("v"));
}

TEST_F(LedgerTest, AResultThatComesTwiceIsTakenOnce) {
  auto entry = submit();
  end(entry->seq, valueOf("first"));
  end(entry->seq, valueOf("second"));
  EXPECT_TRUE(entry->outcome.value.pickle == bytesOf("first"));
}

TEST_F(LedgerTest, ACancelledTaskThatWasNotSentIsNeverSent) {
  auto first = submit();
  submit();
  EXPECT_TRUE(ledger.cancel(*first, wake));
  EXPECT_EQ(first->ending.load(), Ending::CANCELLED);
  auto batch = take();
  ASSERT_EQ(batch.size(), 1u);
  EXPECT_EQ(batch[0].entry->seq, 2u);
  EXPECT_TRUE(ledger.takeCancelled().empty());
}

TEST_F(LedgerTest, ACancelledTaskThatWasSentIsToldToTheScheduler) {
  auto entry = submit();
  auto batch = take();
  EXPECT_TRUE(ledger.cancel(*entry, wake));
  EXPECT_THAT(ledger.takeCancelled(), ElementsAre(1));
  end(entry->seq, valueOf("too late"));
  EXPECT_EQ(entry->ending.load(), Ending::CANCELLED);
  EXPECT_FALSE(ledger.cancel(*entry, wake));
}

TEST_F(LedgerTest, TellsOfCompletionsInTheOrderInWhichTheyHappen) {
  auto a = submit(), b = submit(), c = submit();
  end(b->seq, valueOf("b"));
  auto completions = std::make_shared<Completions>();
  ledger.watch(*a, completions, 0);
  ledger.watch(*b, completions, 1);
  ledger.watch(*c, completions, 2);
  end(c->seq, valueOf("c"));
  EXPECT_THAT(ledger.awaitCompletions(*completions, soon()), ElementsAre(1, 2));
  EXPECT_TRUE(ledger.awaitCompletions(*completions, atOnce()).empty());
  end(a->seq, valueOf("a"));
  EXPECT_THAT(ledger.awaitCompletions(*completions, soon()), ElementsAre(0));
}

TEST_F(LedgerTest, TheNotifierHearsOfObservedTasksOnly) {
  auto a = submit(), b = submit();
  EXPECT_TRUE(ledger.observe(b));
  end(a->seq, valueOf("a"));
  end(b->seq, valueOf("b"));
  auto ended = ledger.awaitEnded(soon());
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0], b);
  EXPECT_FALSE(ledger.observe(a)) << "it has ended: nobody will be told";
}

TEST_F(LedgerTest, WhatTheSchedulerMayHaveAcceptedEndsWhenItForgetsUsTheRestIsStillOurs) {
  auto sent = submit();
  auto batch = take();
  auto queued = submit();
  ledger.endAll(Failure::of(ErrorCode::DISCONNECTED, kj::str("gone")), true);
  EXPECT_EQ(sent->ending.load(), Ending::FAILURE);
  EXPECT_EQ(sent->outcome.failure.code, ErrorCode::DISCONNECTED);
  EXPECT_EQ(queued->ending.load(), Ending::PENDING);
  EXPECT_EQ(take().size(), 1u);
}

TEST_F(LedgerTest, NothingStaysPendingWhenEverythingIsEnded) {
  auto sent = submit();
  auto batch = take();
  auto queued = submit();
  ledger.endAll(Failure::of(ErrorCode::DISCONNECTED, kj::str("gone")), false);
  EXPECT_TRUE(sent->done() && queued->done());
  EXPECT_TRUE(ledger.awaitIdle(atOnce()));
  EXPECT_TRUE(take().empty());
}

TEST_F(LedgerTest, AClosedLedgerRefusesAndSaysWhy) {
  ledger.close(Failure::of(ErrorCode::DISCONNECTED, kj::str("gone")));
  auto spec = taskOf(function);
  EXPECT_EQ(ledger.enqueue(spec, wake), Admission::CLOSED);
  EXPECT_EQ(ledger.closedWhy().code, ErrorCode::DISCONNECTED);
  EXPECT_TRUE(ledger.awaitRoom(atOnce())) << "who waits for room must learn of it";
  ledger.reopen();
  EXPECT_EQ(ledger.enqueue(spec, wake), Admission::TAKEN);
}

TEST_F(LedgerTest, GivesTheArgumentsMemoryBackWhenTheTaskEnds) {
  auto spec = taskOf(function);
  auto memory = std::make_shared<int>(1);
  std::weak_ptr<int> watched = memory;
  spec.entry->keepsake = kj::mv(memory);
  auto entry = spec.entry;
  ledger.enqueue(spec, wake);
  auto batch = take();
  EXPECT_FALSE(watched.expired());
  end(entry->seq, valueOf("v"));
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace epochly::client

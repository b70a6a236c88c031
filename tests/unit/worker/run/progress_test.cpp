#include "run/progress.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace epochly::run {
namespace {

std::unique_ptr<Progress> newPage() { return std::make_unique<Progress>(); }

TEST(Progress, CountsWhatHasBegunAndWhen) {
  auto page = newPage();
  EXPECT_EQ(page->last().end, 0u);
  uint64_t before = monotonicNs();
  EXPECT_TRUE(page->begin(0));
  EXPECT_TRUE(page->begin(1));
  EXPECT_EQ(page->last().end, 2u);
  EXPECT_GE(page->last().atNs, before);
  EXPECT_LE(page->last().atNs, monotonicNs());
}

TEST(Progress, TakesBackWhatHasNotBegunAndOnlyThat) {
  auto page = newPage();
  EXPECT_TRUE(page->begin(0));
  EXPECT_EQ(page->recall(3), 1u) << "0 has begun; 1 and 2 are taken back";
  EXPECT_FALSE(page->begin(1));
  EXPECT_FALSE(page->begin(2));
  EXPECT_TRUE(page->begin(3)) << "given after the recall";
  EXPECT_EQ(page->last().end, 4u);
  EXPECT_EQ(page->recall(4), 4u) << "nothing left to take";
  EXPECT_TRUE(page->begin(4));
}

TEST(Progress, GoesOnWhereIndicesWrap) {
  // A billion at a time stands for the attempts in between: begin() only ever sees distances below 2^31.
  auto page = newPage();
  for (uint32_t at : {1'000'000'000u, 2'000'000'000u, 3'000'000'000u, 4'000'000'000u, 0xffff'ffffu}) ASSERT_TRUE(page->begin(at));
  EXPECT_EQ(page->last().end, 0u);
  EXPECT_EQ(page->recall(2), 0u);
  EXPECT_FALSE(page->begin(0));
  EXPECT_FALSE(page->begin(1));
  EXPECT_TRUE(page->begin(2));
}

// Each index either begins or is taken back, never both, whatever the timing.
TEST(Progress, DecidesEveryRaceBetweenBeginningAndTakingBack) {
  constexpr uint32_t ATTEMPTS = 20'000, STEP = 10;
  auto page = newPage();
  std::vector<std::atomic<int>> begun(ATTEMPTS);
  std::atomic<uint32_t> delivered{0};
  std::thread executor([&] {
    for (uint32_t i = 0; i < ATTEMPTS; i++) {
      while (delivered.load() <= i) std::this_thread::yield();
      if (page->begin(i)) begun[i]++;
    }
  });
  std::vector<bool> takenBack(ATTEMPTS);
  uint32_t settled = 0;  // below it the fate of every index is known
  for (uint32_t end = STEP; end <= ATTEMPTS; end += STEP) {
    delivered.store(end);
    uint32_t begunEnd = page->recall(end);
    for (uint32_t i = std::max(begunEnd, settled); i < end; i++) takenBack[i] = true;
    settled = end;
  }
  executor.join();
  for (uint32_t i = 0; i < ATTEMPTS; i++) ASSERT_NE(begun[i] == 1, takenBack[i]) << i;
}

TEST(Progress, ListsTheAttemptsThatThreadsAreIn) {
  auto page = newPage();
  EXPECT_TRUE(page->enter(5));
  EXPECT_TRUE(page->enter(5 + IO_THREADS_MAX));  // the same slot at first sight
  EXPECT_EQ(page->entered().size(), 2u);
  page->leave(5);
  auto left = page->entered();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].index, 5 + IO_THREADS_MAX);
  EXPECT_LE(left[0].atNs, monotonicNs());
  EXPECT_GT(left[0].atNs, 0u);
  page->leave(77);  // never entered
  EXPECT_EQ(page->entered().size(), 1u);
}

TEST(Progress, HasASlotForEveryThreadAndNoMore) {
  auto page = newPage();
  for (uint32_t i = 0; i < IO_THREADS_MAX; i++) ASSERT_TRUE(page->enter(i * 3));
  EXPECT_FALSE(page->enter(1));
  page->leave(3);
  EXPECT_TRUE(page->enter(1));
}

TEST(Progress, KeepsThreadsApartWhileTheDaemonLooks) {
  constexpr int THREADS = 8;
  constexpr uint32_t ROUNDS = 2'000;
  auto page = newPage();
  std::vector<std::thread> threads;
  for (int t = 0; t < THREADS; t++) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < ROUNDS; i++) {
        ASSERT_TRUE(page->enter(i * THREADS + t));
        page->leave(i * THREADS + t);
      }
    });
  }
  // Not a snapshot while threads come and go (a dead executor's is), but it must not trip over them.
  for (uint32_t i = 0; i < ROUNDS; i++) {
    for (auto& begun : page->entered()) EXPECT_LT(begun.index, ROUNDS * THREADS);
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(page->entered().size(), 0u);
}

}  // namespace
}  // namespace epochly::run

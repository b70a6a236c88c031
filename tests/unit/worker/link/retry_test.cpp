#include "link/retry.h"

#include <gtest/gtest.h>

namespace epochly::link {
namespace {

constexpr uint64_t LATEST = ~0ull, EARLIEST = 0;

bool about(kj::Duration a, kj::Duration b) { return a > b - 1 * kj::MICROSECONDS && a < b + 1 * kj::MICROSECONDS; }

TEST(RetryDelay, DoublesFromItsLeastToItsMost) {
  RetryDelay delay;
  for (auto expected = RETRY_DELAY_MIN; expected < RETRY_DELAY_MAX; expected = expected * 2) {
    EXPECT_TRUE(about(delay.next(LATEST), expected)) << expected / kj::MILLISECONDS;
  }
  for (int i = 0; i < 100; i++) EXPECT_TRUE(about(delay.next(LATEST), RETRY_DELAY_MAX));
}

TEST(RetryDelay, IsShortenedByUpToAHalf) {
  RetryDelay late, early;
  for (int i = 0; i < 10; i++) EXPECT_TRUE(about(early.next(EARLIEST), late.next(LATEST) / 2));
}

TEST(RetryDelay, BeginsAnewAfterAGoodConnectionOnly) {
  RetryDelay delay;
  for (int i = 0; i < 10; i++) delay.next(LATEST);
  delay.connectionLasted(GOOD_CONNECTION - 1 * kj::NANOSECONDS);
  EXPECT_TRUE(about(delay.next(LATEST), RETRY_DELAY_MAX));
  delay.connectionLasted(GOOD_CONNECTION);
  EXPECT_TRUE(about(delay.next(LATEST), RETRY_DELAY_MIN));
}

}  // namespace
}  // namespace epochly::link

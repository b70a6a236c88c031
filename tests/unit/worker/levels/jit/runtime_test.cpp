#include "levels/jit/runtime.h"

#include <gtest/gtest.h>

namespace epochly::jit {
namespace {

TEST(Runtime, AListGrowsAndKeepsItsElements) {
  Context context;
  auto* list = context.newList(1, 2);
  for (uint64_t i = 0; i < 100; i++) {
    if (list->length == list->capacity) ASSERT_TRUE(context.grow(*list, 2));
    list->data[2 * i] = i;
    list->data[2 * i + 1] = i + 1000;
    list->length++;
  }
  for (uint64_t i = 0; i < 100; i++) EXPECT_EQ(list->data[2 * i] + 1000, list->data[2 * i + 1]);
}

TEST(Runtime, TheArenaGivesItsBoundAndNotAByteMore) {
  Context context;
  context.bytes = ARENA_BYTES_MAX - 64;
  EXPECT_NE(context.allocate(64), nullptr);
  EXPECT_EQ(context.allocate(1), nullptr);
}

TEST(Runtime, AListBeyondTheArenaIsRefused) {
  Context context;
  EXPECT_EQ(context.newList(INT64_MAX, 1), nullptr);
  EXPECT_EQ(context.newList(INT64_MAX / 8, 8), nullptr);
}

}  // namespace
}  // namespace epochly::jit

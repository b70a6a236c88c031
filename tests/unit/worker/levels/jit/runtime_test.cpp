#include "levels/jit/runtime.h"

#include <gtest/gtest.h>

namespace epochly::jit {
namespace {

TEST(Runtime, AListGrowsAndKeepsItsElements) {
  Context context;
  auto* list = context.newList(1, 2);
  for (uint64_t i = 0; i < 100; i++) {
    if (list->length == list->capacity) {
      ASSERT_TRUE(context.grow(*list, 2));
    }
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

TEST(Runtime, ManySmallListsShareBlocksAndDoNotOverlap) {
  Context context;
  std::vector<List*> lists;
  for (int i = 0; i < 10'000; i++) {
    lists.push_back(context.newList(3, 1));
    for (int k = 0; k < 3; k++) lists.back()->data[k] = i;
    lists.back()->length = 3;
  }
  EXPECT_LT(context.blocks.size(), 30u);
  for (int i = 0; i < 10'000; i++) EXPECT_EQ(lists[i]->data[0] + lists[i]->data[2], 2u * i);
}

TEST(Runtime, EndedCallsLeaveTheirMemoryForTheNextUpToTheBound) {
  void* first;
  {
    Context context;
    first = context.allocate(8 << 20);
  }
  EXPECT_GE(pooledBytes(), size_t(8) << 20);
  {
    Context context;
    EXPECT_EQ(context.allocate(8 << 20), first);
  }
  for (int i = 0; i < 40; i++) returnMemory(takeMemory((1 << 20) + i * (200 << 10)));
  std::vector<Memory> many;
  for (int i = 0; i < 40; i++) many.push_back(takeMemory(3 << 20));
  for (auto& one : many) returnMemory(one);
  EXPECT_LE(pooledBytes(), POOL_BYTES_MAX);
  returnMemory(takeMemory(POOL_BYTES_MAX + 1));
  EXPECT_LE(pooledBytes(), POOL_BYTES_MAX);
}

TEST(Runtime, AListBeyondTheArenaIsRefused) {
  Context context;
  EXPECT_EQ(context.newList(INT64_MAX, 1), nullptr);
  EXPECT_EQ(context.newList(INT64_MAX / 8, 8), nullptr);
}

}  // namespace
}  // namespace epochly::jit

#include "run/functions.h"

#include <gtest/gtest.h>

namespace epochly::run {
namespace {

void add(Functions& functions, uint32_t connectionId, uint64_t hash, size_t codeBytes = 10) {
  capnp::MallocMessageBuilder message;
  auto definition = message.initRoot<schema::Function>();
  definition.setId(connectionId);
  definition.setHashHigh(hash);
  definition.initCode(codeBytes);
  functions.add(definition.asReader());
}

TEST(Functions, KeepTheirNumberOverReconnections) {
  Functions functions;
  add(functions, 1, 100);
  uint32_t id = functions.find(1)->id;
  functions.forgetConnection();
  EXPECT_EQ(functions.find(1), nullptr) << "the id meant something on the lost connection only";
  add(functions, 7, 100);
  EXPECT_EQ(functions.find(7)->id, id) << "executors that have seen it need not see it again";
  EXPECT_EQ(functions.size(), 1u);
}

TEST(Functions, GiveTheSameConnectionIdToAnotherFunctionWhenTold) {
  Functions functions;
  add(functions, 1, 100);
  auto first = functions.find(1);
  add(functions, 1, 200);
  EXPECT_NE(functions.find(1), first);
  EXPECT_NE(functions.find(1)->id, first->id);
}

TEST(Functions, AreFullAtTheirCountAndNeverReuseANumber) {
  Functions functions(3);
  add(functions, 1, 1);
  add(functions, 2, 2);
  add(functions, 2, 2);
  EXPECT_FALSE(functions.full());
  add(functions, 3, 3);
  EXPECT_TRUE(functions.full());
  uint32_t last = functions.find(3)->id;
  functions.clear();
  EXPECT_FALSE(functions.full());
  add(functions, 1, 1);
  EXPECT_GT(functions.find(1)->id, last);
}

TEST(Functions, AreFullAtTheirBytes) {
  Functions functions(1000, 100'000);
  for (uint64_t i = 1; i <= 9; i++) add(functions, i, i, 10'000);
  EXPECT_FALSE(functions.full());
  add(functions, 10, 10, 10'000);
  EXPECT_TRUE(functions.full());
}

TEST(Function, LearnsLongTimesAtOnceAndShortOnesSlowly) {
  Functions functions;
  add(functions, 1, 1);
  auto& function = *functions.find(1);
  EXPECT_TRUE(function.runTime == nullptr);
  function.learn(8 * kj::MICROSECONDS);
  EXPECT_TRUE(KJ_ASSERT_NONNULL(function.runTime) == 8 * kj::MICROSECONDS);
  function.learn(1008 * kj::MICROSECONDS);
  EXPECT_TRUE(KJ_ASSERT_NONNULL(function.runTime) == 508 * kj::MICROSECONDS);
  function.learn(28 * kj::MICROSECONDS);
  EXPECT_TRUE(KJ_ASSERT_NONNULL(function.runTime) == 448 * kj::MICROSECONDS);
}

}  // namespace
}  // namespace epochly::run

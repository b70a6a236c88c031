// A fixed set of drawn worlds, in every run of the tests. `epochly_sim --seconds 30` adds fresh ones.
#include <gtest/gtest.h>

#include "sim/world.h"

namespace epochly::sim {
namespace {

// Drawn from the small worlds up; 300 of them take about a second, and ten under a sanitizer.
constexpr uint64_t FIXED_SEEDS = 300;

const Stats& statsOfFixedSeeds() {
  static const Stats all = [] {
    Stats sum;
    for (uint64_t seed = 1; seed <= FIXED_SEEDS; seed++) {
      auto verdict = simulate(Plan::draw(seed));
      KJ_IF_MAYBE(violation, verdict.violation) {
        ADD_FAILURE() << violation->cStr() << "\nreplay: ./dev sim --seed " << seed << " --verbose";
      }
      sum += verdict.stats;
    }
    return sum;
  }();
  return all;
}

TEST(Seeds, EveryRuleHoldsInTheFixedWorlds) { EXPECT_GT(statsOfFixedSeeds().tasks, FIXED_SEEDS); }

TEST(Seeds, EveryKindOfFaultHappensInThem) {
  for (uint i = 0; i < FAULT_COUNT; i++) {
    EXPECT_GT(statsOfFixedSeeds().faults[i], 0u) << faultName(static_cast<Fault>(i));
  }
}

TEST(Seeds, EveryWayForATaskToEndHappensInThem) {
  auto& stats = statsOfFixedSeeds();
  EXPECT_GT(stats.succeeded, 0u);
  EXPECT_GT(stats.cancelled, 0u);
  for (auto code : {ErrorCode::USER_EXCEPTION, ErrorCode::INVALID_ARGUMENT, ErrorCode::FUNCTION_UNAVAILABLE,
                    ErrorCode::ARGUMENTS_UNPICKLABLE, ErrorCode::EXECUTOR_DIED, ErrorCode::TIMEOUT, ErrorCode::WORKER_LOST,
                    ErrorCode::NO_FITTING_WORKER}) {
    EXPECT_GT(stats.failures[static_cast<uint>(code)], 0u) << errorRow(code).name;
  }
}

// What depends on addresses, on the iteration order of a hash table or on the real clock shows here.
TEST(Seeds, ASeedTellsTheSameStoryEachTime) {
  std::vector<kj::Array<byte>> clutter;  // so that the second world lives at other addresses
  for (uint64_t seed = 1; seed <= 60; seed++) {
    auto first = simulate(Plan::draw(seed));
    clutter.push_back(kj::heapArray<byte>(1000 + seed * 77));
    auto second = simulate(Plan::draw(seed));
    ASSERT_EQ(first.logHash, second.logHash) << "seed " << seed;
    ASSERT_EQ(first.stats.steps, second.stats.steps) << "seed " << seed;
  }
}

TEST(Seeds, AnotherSeedTellsAnotherStory) { EXPECT_NE(simulate(Plan::draw(1)).logHash, simulate(Plan::draw(2)).logHash); }

TEST(Seeds, AWorldWithoutFaultsHasNone) {
  Plan calm;
  calm.seed = 7;
  calm.tasks = 100;
  auto verdict = simulate(calm);
  EXPECT_TRUE(verdict.violation == nullptr);
  EXPECT_EQ(verdict.stats.succeeded, verdict.stats.tasks);
  EXPECT_EQ(verdict.stats.attempts, verdict.stats.tasks);
  for (uint i = 0; i < FAULT_COUNT; i++) EXPECT_EQ(verdict.stats.faults[i], 0u) << faultName(static_cast<Fault>(i));
}

}  // namespace
}  // namespace epochly::sim

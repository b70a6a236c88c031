#include "metrics/metrics.h"

#include <gtest/gtest.h>

#include "support/sched_env.h"

namespace epochly::metrics {
namespace {

core::Function functionNamed(uint64_t hash, const std::string& name) {
  core::Function function;
  function.hash = FunctionHash{0, hash};
  function.name = kj::str(name.c_str());
  return function;
}

// A task of `function` that ended well at `level`.
void end(Metrics& metrics, core::Function& function, Level level = Level::MONITOR, core::Timings timings = {}) {
  core::Task task;
  task.function = &function;
  core::Result result;
  result.placement.levelRan = level;
  result.timings = timings;
  metrics.ended(task, result, 3 * kj::MILLISECONDS);
}

TEST(Histogram, ABoundBelongsToItsBucket) {
  Histogram histogram;
  histogram.observe(10'000);
  histogram.observe(10'001);
  histogram.observe(UINT64_MAX / 2);
  EXPECT_EQ(histogram.counts[0], 1u);
  EXPECT_EQ(histogram.counts[1], 1u);
  EXPECT_EQ(histogram.counts[BUCKET_BOUNDS.size()], 1u);
  EXPECT_EQ(histogram.count(), 3u);
}

TEST(Histogram, QuantilesLieWithinTheBucketThatHoldsThem) {
  Histogram histogram;
  EXPECT_TRUE(std::isnan(quantileSeconds(histogram, 0.5)));
  EXPECT_TRUE(std::isnan(meanSeconds(histogram)));
  for (int i = 0; i < 99; i++) histogram.observe(20'000);
  histogram.observe(40'000'000'000);
  EXPECT_GT(quantileSeconds(histogram, 0.5), 10e-6);
  EXPECT_LE(quantileSeconds(histogram, 0.5), 25e-6);
  EXPECT_GT(quantileSeconds(histogram, 0.999), 25.0);
  EXPECT_LE(quantileSeconds(histogram, 0.999), 60.0);
  EXPECT_NEAR(meanSeconds(histogram), 0.4, 0.01);
}

TEST(Metrics, PhasesThatWereNotMeasuredAreLeftOut) {
  Metrics metrics;
  auto function = functionNamed(1, "f");
  end(metrics, function, Level::THREADS, core::Timings{.queue = 1'000'000, .run = 5'000'000, .cpu = 2'000'000});
  auto& phases = metrics.counts().phases[1];
  EXPECT_EQ(phases[static_cast<uint>(Phase::QUEUE)].count(), 1u);
  EXPECT_EQ(phases[static_cast<uint>(Phase::RUN)].count(), 1u);
  EXPECT_EQ(phases[static_cast<uint>(Phase::TRANSFER)].count(), 0u);
  EXPECT_EQ(phases[static_cast<uint>(Phase::COMPILE)].count(), 0u);
  EXPECT_EQ(metrics.counts().endToEnd[1].count(), 1u);
  EXPECT_DOUBLE_EQ(metrics.counts().cpuSeconds[1], 0.002);
}

TEST(Metrics, TheFirstFunctionsAreNamedAndTheRestAreOther) {
  Metrics metrics;
  for (uint i = 0; i < FUNCTION_GROUPS_MAX + 5; i++) {
    auto function = functionNamed(i, "f" + std::to_string(i));
    end(metrics, function);
  }
  EXPECT_EQ(metrics.counts().groups.size(), FUNCTION_GROUPS_MAX);
  EXPECT_EQ(metrics.counts().finished[0][0][0], 1u);
  EXPECT_EQ(metrics.counts().finished[FUNCTION_GROUPS_MAX][0][0], 5u);
  EXPECT_EQ(metrics.counts().finishedAt(Level::MONITOR, core::Outcome::SUCCEEDED), FUNCTION_GROUPS_MAX + 5u);
}

TEST(Metrics, FunctionsOfOneNameShareItsGroup) {
  Metrics metrics;
  constexpr uint FUNCTIONS = 2 * GROUP_CACHE_MAX + 5;
  size_t cachedMost = 0;
  for (uint i = 0; i < FUNCTIONS; i++) {  // a lambda in a loop: a new hash each time, more than the cache holds
    auto function = functionNamed(i, "__main__.<lambda>");
    end(metrics, function);
    cachedMost = std::max(cachedMost, metrics.functionsCached());
  }
  EXPECT_EQ(metrics.counts().groups.size(), 1u);
  EXPECT_EQ(metrics.counts().finished[0][0][0], FUNCTIONS);
  EXPECT_EQ(cachedMost, GROUP_CACHE_MAX);
}

TEST(Metrics, WorkersGoneAreCountedByReason) {
  Metrics metrics;
  core::Worker worker;
  metrics.workerGone(worker, "left");
  metrics.workerGone(worker, "missed heartbeats");
  metrics.workerGone(worker, "it refused a call: something of its own");
  auto& gone = metrics.counts().workersGone;
  EXPECT_EQ(gone[static_cast<uint>(Gone::LEFT)], 1u);
  EXPECT_EQ(gone[static_cast<uint>(Gone::MISSED_HEARTBEATS)], 1u);
  EXPECT_EQ(gone[static_cast<uint>(Gone::OTHER)], 1u);
}

}  // namespace
}  // namespace epochly::metrics

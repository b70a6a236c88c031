#include "classify/classify.h"

#include <gtest/gtest.h>

namespace epochly::classify {
namespace {

using core::Reason;

// The guide's "Code-Based Decision", transcribed: the oracle.
int guide(double ioRatio, double loopIters, double dataSize, bool gpu) {
  if (ioRatio > 0.5) return 1;
  if (loopIters > 10000) {
    if (dataSize > 10'000'000 && gpu) return 4;
    if (dataSize > 100'000) return 3;
    return 2;
  }
  if (dataSize > 100'000) return 3;
  return 0;
}

TEST(Classify, AgreesWithTheGuideOnBothSidesOfEveryThreshold) {
  for (double io : {0.0, 0.3, 0.5, 0.500001, 0.9, 1.0}) {
    for (double loops : {0.0, 1.0, 9999.0, 10000.0, 10001.0, 1e9}) {
      for (double size : {0.0, 100'000.0, 100'001.0, 1e6, 10'000'000.0, 10'000'001.0, 1e12}) {
        for (bool gpu : {false, true}) {
          auto choice = classify({io, loops, size, 1}, {}, gpu, {});
          EXPECT_EQ(static_cast<int>(choice.level), guide(io, loops, size, gpu))
              << io << " " << loops << " " << size << " " << gpu;
        }
      }
    }
  }
}

TEST(Classify, AFigureThatWasNotMeasuredCountsAsZeroAsInTheGuide) {
  EXPECT_EQ(classify({core::UNKNOWN, 20'000, core::UNKNOWN, 1}, {}, false, {}).level, Level::JIT);
  EXPECT_EQ(classify({core::UNKNOWN, core::UNKNOWN, 200'000, 1}, {}, false, {}).level, Level::MULTICORE);
  EXPECT_EQ(classify({0.1, core::UNKNOWN, core::UNKNOWN, 1}, {}, false, {}).reason, Reason::NOT_ENOUGH_WORK);
}

TEST(Classify, HintsSpeakOnlyWhileNothingIsMeasured) {
  core::Hints waits{.waits = true};
  EXPECT_EQ(classify({}, waits, false, {}).level, Level::THREADS);
  EXPECT_EQ(classify({}, waits, false, {}).reason, Reason::WAITS_HINT);
  EXPECT_EQ(classify({0.1, 20'000, 0, 1}, waits, false, {}).level, Level::JIT);
  EXPECT_EQ(classify({}, {}, true, {}).reason, Reason::NOT_MEASURED);
}

TEST(Classify, ThresholdsAreConfigurable) {
  Thresholds low{.ioWaitRatio = 0.1, .loopIterations = 10, .dataSizeGpu = 100, .dataSizeParallel = 50};
  EXPECT_EQ(classify({0.2, 0, 0, 1}, {}, false, low).level, Level::THREADS);
  EXPECT_EQ(classify({0, 11, 101, 1}, {}, true, low).level, Level::GPU);
  EXPECT_EQ(classify({0, 0, 51, 1}, {}, true, low).level, Level::MULTICORE);
}

TEST(Classify, DescriptionsCarryTheNumbersAndSayWhatWasNotMeasured) {
  core::Workload workload{0.92, core::UNKNOWN, 5, 3};
  auto text = describe(classify(workload, {}, false, {}), workload, {});
  EXPECT_NE(text.findFirst('('), nullptr);
  EXPECT_NE(std::string(text.cStr()).find("0.92"), std::string::npos);
  EXPECT_NE(std::string(text.cStr()).find("avg_loop_iterations not measured"), std::string::npos);
}

TEST(Classify, EveryLevelFallsAtLastToMonitorAndNeverToIoOrBack) {
  for (uint i = 1; i < LEVEL_COUNT; i++) {
    auto next = fallbacks(static_cast<Level>(i));
    ASSERT_GT(next.size(), 0u);
    EXPECT_EQ(next.back(), Level::MONITOR);
    for (auto level : next) EXPECT_TRUE(level < static_cast<Level>(i) && level != Level::THREADS);
  }
  EXPECT_EQ(fallbacks(Level::MONITOR).size(), 0u);
}

}  // namespace
}  // namespace epochly::classify

#include "core/workload.h"

#include <gtest/gtest.h>

#include "core/function.h"

namespace epochly::core {
namespace {

TEST(Average, IsUnknownUntilTheFirstSampleAndIgnoresUnknownSamples) {
  Average average;
  EXPECT_TRUE(std::isnan(average.mean()));
  average.add(UNKNOWN);
  EXPECT_TRUE(std::isnan(average.mean()));
  average.add(3);
  EXPECT_EQ(average.mean(), 3);
  EXPECT_TRUE(std::isnan(average.deviation())) << "one sample has no spread";
}

TEST(Average, FirstSamplesCountAlikeThenTheNewestWeighsATenth) {
  Average average;
  for (double sample : {1.0, 2.0, 3.0}) average.add(sample);
  EXPECT_DOUBLE_EQ(average.mean(), 2);
  for (int i = 0; i < 200; i++) average.add(10);
  EXPECT_NEAR(average.mean(), 10, 1e-6);
  average.add(20);
  EXPECT_NEAR(average.mean(), 11, 1e-6);
}

TEST(FunctionHistory, MeasuredFiguresWinOnceTheyRestOnAsManySamples) {
  Function function;
  function.reported = {0.9, 5, UNKNOWN, 2};
  EXPECT_EQ(function.workload().ioWaitRatio, 0.9);
  function.ioWaitRatio.add(0.1);
  EXPECT_EQ(function.workload().ioWaitRatio, 0.9);
  function.ioWaitRatio.add(0.1);
  EXPECT_DOUBLE_EQ(function.workload().ioWaitRatio, 0.1);
  function.dataSize.add(7);
  EXPECT_EQ(function.workload().avgDataSize, 7) << "a known figure beats an unknown one at once";
}

}  // namespace
}  // namespace epochly::core

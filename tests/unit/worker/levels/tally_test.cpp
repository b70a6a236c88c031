#include "levels/monitor/tally.h"

#include <gtest/gtest.h>

namespace epochly::monitor {
namespace {

constexpr Nanos MS = 1'000'000;

Totals totalsOf(const Tally& tally) {
  Totals totals;
  accumulate(totals, tally);
  return totals;
}

TEST(Figures, WhatWasNotMeasuredIsNotANumberAndNeverZero) {
  Figures f = figuresOf(Totals());
  for (double figure : {f.totalTimeMs, f.minTimeMs, f.maxTimeMs, f.avgTimeMs, f.ioWaitRatio, f.cpuTimeMs, f.waitTimeMs,
                        f.avgLoopIterations, f.avgDataSize}) {
    EXPECT_TRUE(std::isnan(figure));
  }
  EXPECT_EQ(f.totalCalls, 0u);
}

TEST(Figures, TimesAreThoseOfTheTimedCalls) {
  Tally tally;
  addTimedCall(tally, Level::MONITOR, 4 * MS);
  addTimedCall(tally, Level::MONITOR, 2 * MS);
  addTimedCall(tally, Level::JIT, 9 * MS);
  Figures f = figuresOf(totalsOf(tally));
  EXPECT_DOUBLE_EQ(f.totalTimeMs, 15);
  EXPECT_DOUBLE_EQ(f.minTimeMs, 2);
  EXPECT_DOUBLE_EQ(f.maxTimeMs, 9);
  EXPECT_DOUBLE_EQ(f.avgTimeMs, 5);
  EXPECT_EQ(totalsOf(tally).levels[2].calls.get(), 1u);
  EXPECT_EQ(totalsOf(tally).levels[0].wallNs.get(), 6 * MS);
}

TEST(Figures, TotalTimeIsDividedAsTheCpuSamplesWere) {
  Tally tally;
  for (int i = 0; i < 4; ++i) addTimedCall(tally, Level::MONITOR, 10 * MS);
  addCpuSample(tally, 10 * MS, 2 * MS, true);
  Figures f = figuresOf(totalsOf(tally));
  EXPECT_DOUBLE_EQ(f.ioWaitRatio, 0.8);
  EXPECT_DOUBLE_EQ(f.waitTimeMs, 32);
  EXPECT_DOUBLE_EQ(f.cpuTimeMs, 8);
  EXPECT_EQ(f.cpuSamples, 1u);
}

TEST(Figures, CallThatNeverGaveUpItsCpuDidNotWait) {
  Tally tally;
  addTimedCall(tally, Level::MONITOR, 100 * MS);
  addCpuSample(tally, 100 * MS, 5 * MS, false);  // other programs had the CPU for 95 ms
  EXPECT_DOUBLE_EQ(figuresOf(totalsOf(tally)).ioWaitRatio, 0);
}

TEST(Figures, CpuClockThatRunsAheadOfTheWallClockIsNoNegativeWait) {
  Tally tally;
  addTimedCall(tally, Level::MONITOR, 100);
  addCpuSample(tally, 100, 900, true);
  Figures f = figuresOf(totalsOf(tally));
  EXPECT_DOUBLE_EQ(f.ioWaitRatio, 0);
  EXPECT_DOUBLE_EQ(f.waitTimeMs, 0);
}

TEST(Figures, LoopsAreThoseOfCallsCountedToTheEnd) {
  Tally tally;
  addLoops(tally, 100, true);
  addLoops(tally, 300, true);
  addLoops(tally, 5, false);
  Figures f = figuresOf(totalsOf(tally));
  EXPECT_DOUBLE_EQ(f.avgLoopIterations, 200);
  EXPECT_EQ(f.loopSamples, 2u);
  EXPECT_EQ(f.loopSamplesCut, 1u);
}

TEST(Figures, CutCountIsALowerBoundWhereThereIsNoOther) {
  Tally tally;
  addLoops(tally, 50'000, false);
  EXPECT_DOUBLE_EQ(figuresOf(totalsOf(tally)).avgLoopIterations, 50'000);
  EXPECT_EQ(figuresOf(totalsOf(tally)).loopSamples, 0u);
}

TEST(Figures, CallsWithoutDataDoNotCountInTheDataSize) {
  Tally tally;
  tally.calls.add(10);
  addSize(tally, 30);
  addSize(tally, 50);
  Figures f = figuresOf(totalsOf(tally));
  EXPECT_DOUBLE_EQ(f.avgDataSize, 40);
  EXPECT_EQ(f.dataSamples, 2u);
}

TEST(Tally, ClearForgetsEverything) {
  Tally tally;
  tally.calls.add(3);
  tally.errors.add(1);
  addTimedCall(tally, Level::GPU, 4 * MS);
  addCpuSample(tally, MS, MS / 2, true);
  addLoops(tally, 7, true);
  addLoops(tally, 7, false);
  addSize(tally, 30);
  clear(tally);
  Totals t = totalsOf(tally);
  EXPECT_EQ(t.calls.get() + t.errors.get() + t.timedCalls.get() + t.wallNs.get() + t.cpuSamples.get() + t.cpuNs.get() +
                t.waitNs.get() + t.loopSamples.get() + t.loopIterations.get() + t.loopSamplesCut.get() +
                t.loopIterationsCut.get() + t.sizedCalls.get() + t.levels[4].calls.get() + t.levels[4].wallNs.get(),
            0u);
  addTimedCall(tally, Level::MONITOR, 2 * MS);
  EXPECT_DOUBLE_EQ(figuresOf(totalsOf(tally)).maxTimeMs, 2);
}

TEST(Tally, SumsOfThreadsAddUpWithTheLeastAndTheMost) {
  Tally one, other;
  addTimedCall(one, Level::MONITOR, 5 * MS);
  addTimedCall(other, Level::MONITOR, 3 * MS);
  addTimedCall(other, Level::MONITOR, 8 * MS);
  Totals sum;
  accumulate(sum, one);
  accumulate(sum, Tally());  // a thread that never finished a call has no shortest one
  accumulate(sum, other);
  Figures f = figuresOf(sum);
  EXPECT_DOUBLE_EQ(f.minTimeMs, 3);
  EXPECT_DOUBLE_EQ(f.maxTimeMs, 8);
  EXPECT_DOUBLE_EQ(f.totalTimeMs, 16);
}

TEST(Blend, FunctionsWeighByTheirCallsAndTheirTime) {
  Tally waits, works;
  for (int i = 0; i < 10; ++i) {
    waits.calls.add(1);
    addTimedCall(waits, Level::MONITOR, 9 * MS);
  }
  addCpuSample(waits, 9 * MS, 0, true);
  addLoops(waits, 0, true);
  for (int i = 0; i < 30; ++i) {
    works.calls.add(1);
    addTimedCall(works, Level::MONITOR, 1 * MS);
  }
  addCpuSample(works, 1 * MS, 1 * MS, false);
  addLoops(works, 100, true);

  Blend blend;
  blend.add(totalsOf(waits));
  blend.add(totalsOf(works));
  Figures f = blend.figures();
  EXPECT_EQ(f.totalCalls, 40u);
  EXPECT_DOUBLE_EQ(f.ioWaitRatio, 90.0 / 120.0);
  EXPECT_DOUBLE_EQ(f.avgLoopIterations, 75);
  EXPECT_DOUBLE_EQ(f.waitTimeMs, 90);
}

TEST(Blend, FunctionWithoutAFigureDoesNotWeighInIt) {
  Tally counted, never;
  counted.calls.add(1);
  addLoops(counted, 12, true);
  never.calls.add(1000);
  Blend blend;
  blend.add(totalsOf(counted));
  blend.add(totalsOf(never));
  EXPECT_DOUBLE_EQ(blend.figures().avgLoopIterations, 12);
  EXPECT_TRUE(std::isnan(blend.figures().ioWaitRatio));
}

}  // namespace
}  // namespace epochly::monitor

#include "levels/monitor/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace epochly::monitor {
namespace {

using testing::ElementsAre;

constexpr Nanos US = 1'000;
constexpr Nanos MS = 1'000'000;
constexpr Nanos SECOND = 1'000'000'000;
constexpr Nanos READING = 900;

// A function called again and again on one thread, `duration` each; a counted call takes `slowdown` times as long.
struct Program {
  explicit Program(Nanos duration, double slowdown = 3, Nanos sessionCost = 0)
      : sampler(LOOP_COUNTING_INITIAL_NS, sessionCost), duration(duration), slowdown(slowdown) {}

  // True if the call's loops were counted to their end.
  bool call() {
    Nanos limit = sampler.beginCall();
    ++calls;
    if (limit != NEVER) return count(limit);
    bool read = sampler.beginStretch(now, ration);
    cpuReadings += read;
    if (read) readOf.push_back(calls);
    now += duration;
    plain += duration;
    sampler.endStretch(duration);
    return false;
  }
  void call(int times) {
    for (int i = 0; i < times; ++i) call();
  }

  CallSampler sampler;
  CpuRation ration{READING};
  Nanos duration;
  double slowdown;
  Nanos now = SECOND;
  Nanos plain = 0;     // time of the calls that were not counted
  Nanos counting = 0;  // time of those that were
  int calls = 0;
  int cpuReadings = 0;
  std::vector<int> readOf;
  std::vector<int> countedCalls;
  std::vector<int> cutCalls;

 private:
  bool count(Nanos limit) {
    Nanos needed = static_cast<Nanos>(double(duration) * slowdown);
    bool complete = needed <= limit;
    Nanos taken = complete ? needed : limit;
    now += taken;
    counting += taken;
    sampler.endCounted(taken, complete);
    (complete ? countedCalls : cutCalls).push_back(calls);
    return complete;
  }
};

TEST(CallSampler, FirstCallIsTimedWithItsCpuAndNotCounted) {
  Program program(10 * US);
  program.call();
  EXPECT_EQ(program.cpuReadings, 1);
  EXPECT_TRUE(program.countedCalls.empty());
}

TEST(CallSampler, SecondCallIsCountedAndThenEverFartherOnes) {
  Program program(10 * US);
  program.call(300);
  EXPECT_THAT(program.countedCalls, ElementsAre(2, 4, 8, 16, 32, 64, 128, 256));
}

TEST(CallSampler, CountedCallsAreNeverFartherApartThanTheSpacingsBound) {
  Program program(1 * MS, 1.5);
  program.call(20'000);
  auto& at = program.countedCalls;
  ASSERT_GT(at.size(), 12u);
  EXPECT_EQ(at.back() - at[at.size() - 2], static_cast<int>(LOOP_COUNTING_SPACING_MAX));
}

TEST(CallSampler, CountingNeverCostsMoreThanItsShareAndTheInitialAllowance) {
  for (Nanos duration : {Nanos(100), 5 * US, 300 * US, 4 * MS, 700 * MS}) {
    Program program(duration, 40, 100 * US);
    for (int i = 0; i < 3000; ++i) {
      program.call();
      Nanos allowed = LOOP_COUNTING_INITIAL_NS + program.plain / LOOP_COUNTING_SHARE;
      ASSERT_LE(program.counting, allowed) << "call " << i << " of " << duration << " ns";
    }
  }
}

TEST(CallSampler, CallTooLongToCountIsCutOnceAndCountedWhenEnoughIsEarned) {
  Program program(100 * MS);  // counted: 300 ms, six times the initial allowance
  program.call(10);
  EXPECT_THAT(program.cutCalls, ElementsAre(2));
  EXPECT_TRUE(program.countedCalls.empty());
  program.call(600);
  EXPECT_FALSE(program.countedCalls.empty());
  EXPECT_THAT(program.cutCalls, testing::SizeIs(1));
}

TEST(CallSampler, CostOfASessionIsChargedToTheCountedCall) {
  Program cheap(1 * US, 3, 0), dear(1 * US, 3, 10 * MS);
  cheap.call(5000);
  dear.call(5000);
  EXPECT_GT(cheap.countedCalls.size(), 10u);
  EXPECT_LT(dear.countedCalls.size(), 6u);
}

TEST(CallSampler, RefusedCountingIsTriedAgainLaterAndCostsNothing) {
  CallSampler sampler(LOOP_COUNTING_INITIAL_NS, 0);
  std::vector<int> asked;
  for (int call = 1; call <= 40; ++call) {
    if (sampler.beginCall() == NEVER) continue;
    asked.push_back(call);
    sampler.refusedCounting();
  }
  EXPECT_THAT(asked, ElementsAre(2, 4, 8, 16, 32));
}

TEST(CallSampler, WithoutAnInitialAllowanceCountingMustBeEarnedFirst) {
  CallSampler sampler(0, 0);
  CpuRation ration(READING);
  Nanos now = SECOND;
  bool asked = false;
  int call = 0;
  while (!asked && ++call < 1000) {
    asked = sampler.beginCall() != NEVER;
    if (asked) break;
    sampler.beginStretch(now, ration);
    now += MS;
    sampler.endStretch(MS);
  }
  EXPECT_TRUE(asked);
  EXPECT_GE(call, 2);
}

TEST(CallSampler, EveryLongCallHasItsCpuRead) {
  Program program(LONG_CALL_NS, 1);
  program.call(100);
  int counted = static_cast<int>(program.countedCalls.size() + program.cutCalls.size());
  EXPECT_EQ(program.cpuReadings, 100 - counted);
}

TEST(CallSampler, ShortCallsSpendAtMostTheirShareOnCpuReadings) {
  Program program(500, 1);
  program.call(200'000);
  double spent = double(program.cpuReadings) * 2 * READING;
  EXPECT_LT(spent, 1.1 * double(program.plain) / CPU_READING_SHARE + 20 * 2 * READING);
  EXPECT_GT(program.cpuReadings, 100);
}

TEST(CallSampler, FunctionThatBecomesLongIsReadFromThenOn) {
  Program program(1 * US, 1);
  program.call(1000);
  program.duration = 20 * MS;
  program.call(1);
  int before = program.cpuReadings;
  int counted = static_cast<int>(program.countedCalls.size());
  program.call(10);
  EXPECT_EQ(program.cpuReadings - before, 10 - (static_cast<int>(program.countedCalls.size()) - counted));
}

TEST(CpuRation, GivesOneReadingPerIntervalHoweverOftenItIsAsked) {
  CpuRation ration(READING);
  Nanos interval = 2 * READING * CPU_READING_SHARE;
  EXPECT_TRUE(ration.take(SECOND));
  EXPECT_FALSE(ration.take(SECOND + 1));
  EXPECT_FALSE(ration.take(SECOND + interval - 1));
  EXPECT_TRUE(ration.take(SECOND + interval));
}

TEST(CpuRation, IsSharedByTheFunctionsOfAThread) {
  CpuRation ration(READING);
  CallSampler first(0, 0), second(0, 0);
  Nanos now = SECOND;
  int read = 0;
  for (int i = 0; i < 10'000; ++i) {
    for (CallSampler* sampler : {&first, &second}) {
      sampler->beginCall();
      read += sampler->beginStretch(now, ration);
      now += 200;
      sampler->endStretch(200);
    }
  }
  double share = double(read) * 2 * READING / double(now - SECOND);
  EXPECT_LT(share, 1.3 / CPU_READING_SHARE + 2 * 14 * 2 * READING / double(now - SECOND));
}

TEST(CpuAnchor, StandsForAStartShortlyAfterIt) {
  CpuAnchor anchor;
  anchor.set(SECOND, 7 * MS, 3);
  Nanos wall = 10 * MS;
  EXPECT_TRUE(anchor.standsFor(SECOND + wall / ANCHOR_GAP_SHARE, wall));
  EXPECT_FALSE(anchor.standsFor(SECOND + wall / ANCHOR_GAP_SHARE + 1, wall));
  EXPECT_EQ(anchor.cpuAt(SECOND + 5), 7 * MS + 5);
  EXPECT_EQ(anchor.waits(), 3);
}

TEST(CpuAnchor, StandsForNothingBeforeTheFirstReading) { EXPECT_FALSE(CpuAnchor().standsFor(SECOND, SECOND)); }

}  // namespace
}  // namespace epochly::monitor

#include "levels/choice/choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace epochly::choice {
namespace {

using testing::HasSubstr;

constexpr Nanos MS = 1'000'000;
constexpr Nanos PLAIN = 5 * MS;

struct Watched {
  Choice choice;
  Shape& shape = *choice.find(1, []() { return kj::str("(int)"); });

  // Calls as the host makes them: plain ones take `plain`, those at the level `atLevel`, the first of a trial `made` more.
  void call(Nanos plain, Nanos atLevel, Nanos made = 0) {
    if (choice.isDue(shape)) {
      choice.propose(shape, Level::JIT, Level::MONITOR, kj::str("hot loops"));
      firstOfTrial = true;
    }
    auto asked = choice.next(shape);
    if (asked == Level::MONITOR) {
      plainCalls++;
      choice.note(shape, asked, plain, 0);
    } else {
      levelCalls++;
      choice.note(shape, asked, atLevel + (firstOfTrial ? made : 0), firstOfTrial ? made : 0);
      firstOfTrial = false;
    }
  }
  void calls(uint count, Nanos plain, Nanos atLevel, Nanos made = 0) {
    for (uint i = 0; i < count; i++) call(plain, atLevel, made);
  }

  uint plainCalls = 0, levelCalls = 0;
  bool firstOfTrial = false;
};

TEST(Choice, IsWatchedBeforeAnythingIsTried) {
  Watched it;
  for (Nanos spent = 0; spent < WATCH_NS; spent += PLAIN) {
    EXPECT_FALSE(it.choice.isDue(it.shape));
    it.call(PLAIN, MS);
  }
  EXPECT_TRUE(it.choice.isDue(it.shape));
  EXPECT_EQ(it.levelCalls, 0);
}

TEST(Choice, KeepsWhatMeasuredFaster) {
  Watched it;
  it.calls(2 + TRIAL_CALLS_MIN, PLAIN, MS);
  EXPECT_EQ(it.shape.stage, Stage::KEPT);
  EXPECT_EQ(it.choice.next(it.shape), Level::JIT);
  EXPECT_THAT(it.shape.why.cStr(), HasSubstr("1 ms a call at level 2, 5 ms at level 0"));
}

TEST(Choice, DoesNotHoldCompilingAgainstTheLevel) {
  Watched it;
  it.calls(2 + 1 + TRIAL_CALLS_MIN, PLAIN, MS, 100 * PLAIN);
  EXPECT_EQ(it.shape.stage, Stage::KEPT);
}

TEST(Choice, EndsATrialAtTheFirstCallThatIsFarSlower) {
  Watched it;
  it.calls(2 + 10, PLAIN, 2 * PLAIN);
  EXPECT_EQ(it.shape.stage, Stage::REFUSED);
  EXPECT_EQ(it.levelCalls, 1);
  EXPECT_THAT(it.shape.why.cStr(), HasSubstr("did not pay"));
}

TEST(Choice, TriesLongerWhereTheResultIsClose) {
  Watched it;
  it.calls(2 + TRIAL_CALLS_MAX - 1, PLAIN, PLAIN * 8 / 10);
  EXPECT_EQ(it.shape.stage, Stage::TRIED);
  it.call(PLAIN, PLAIN * 8 / 10);
  EXPECT_EQ(it.shape.stage, Stage::KEPT);
  Watched close;
  close.calls(2 + TRIAL_CALLS_MAX, PLAIN, PLAIN * 95 / 100);
  EXPECT_EQ(close.shape.stage, Stage::REFUSED);
}

TEST(Choice, LooksAtAHundredthOfTheTimeWhetherItStillPays) {
  Watched it;
  it.calls(2 + TRIAL_CALLS_MIN, PLAIN, MS);
  it.plainCalls = it.levelCalls = 0;
  it.calls(10 * (CHECK_SHARE * PLAIN / MS + 1), PLAIN, MS);
  EXPECT_EQ(it.plainCalls, 10);
  EXPECT_EQ(it.shape.stage, Stage::KEPT);
}

TEST(Choice, GoesBackWhenItStopsPaying) {
  Watched it;
  it.calls(2 + TRIAL_CALLS_MIN, PLAIN, MS);
  it.calls(CHECK_SHARE / 3 + 2, PLAIN, 3 * PLAIN);
  EXPECT_EQ(it.choice.next(it.shape), Level::MONITOR);
  EXPECT_THAT(it.shape.why.cStr(), HasSubstr("no longer pays"));
}

TEST(Choice, TriesAgainAfterTenTimesTheTimeAndNotForEver) {
  Watched it;
  it.calls(2 + 1, PLAIN, 2 * PLAIN);
  ASSERT_EQ(it.shape.stage, Stage::REFUSED);
  it.calls(2 * (RETRY_FACTOR - 1) - 1, PLAIN, MS);
  EXPECT_EQ(it.levelCalls, 1);
  it.calls(2 + TRIAL_CALLS_MIN, PLAIN, MS);
  EXPECT_EQ(it.shape.stage, Stage::KEPT);

  Watched never;
  never.calls(100'000, PLAIN, 2 * PLAIN);
  EXPECT_EQ(never.levelCalls, TRIALS_MAX);
}

// Calls until the shape is kept or refused; `timeAt` says what one takes at a level.
template <typename TimeAt>
Shape& tried(Choice& choice, TimeAt&& timeAt) {
  auto& shape = *choice.find(1, []() { return kj::str("(list)"); });
  while (!choice.isDue(shape)) choice.note(shape, Level::MONITOR, PLAIN, 0);
  choice.propose(shape, Level::MULTICORE, Level::JIT, kj::str("large data"));
  for (uint i = 0; i < 3 * TRIAL_CALLS_MAX && shape.stage == Stage::TRIED; i++) {
    auto asked = choice.next(shape);
    choice.note(shape, asked, timeAt(asked), 0);
  }
  return shape;
}

TEST(Choice, TriesARivalTooAndKeepsTheFasterOfTheTwo) {
  Choice first, second, third;
  auto& multicore = tried(first, [](Level level) { return level == Level::MULTICORE ? MS : 2 * MS; });
  EXPECT_EQ(multicore.stage, Stage::KEPT);
  EXPECT_EQ(multicore.level, Level::MULTICORE);
  EXPECT_NEAR(multicore.atLevel.get(), MS, 1);
  auto& jit = tried(second, [](Level level) { return level == Level::MULTICORE ? 2 * MS : MS; });
  EXPECT_EQ(jit.level, Level::JIT);
  auto& onlyJit = tried(third, [](Level level) { return level == Level::MULTICORE ? 9 * PLAIN : MS; });
  EXPECT_EQ(onlyJit.stage, Stage::KEPT);
  EXPECT_EQ(onlyJit.level, Level::JIT);
}

TEST(Choice, DoesNotTryTwiceWhatTookTheCallOfAnother) {
  Choice choice;
  auto& shape = *choice.find(1, []() { return kj::str("(list)"); });
  while (!choice.isDue(shape)) choice.note(shape, Level::MONITOR, PLAIN, 0);
  choice.propose(shape, Level::MULTICORE, Level::JIT, kj::str("large data"));
  choice.took(shape, Level::JIT);  // level 3 declined
  for (uint i = 0; i < TRIAL_CALLS_MIN; i++) choice.note(shape, Level::JIT, MS, 0);
  EXPECT_EQ(shape.stage, Stage::KEPT);
  EXPECT_EQ(shape.level, Level::JIT);
}

TEST(Choice, ALateCallOfATrialThatIsOverChangesNothing) {
  Watched it;
  it.calls(2 + TRIAL_CALLS_MIN, PLAIN, MS);
  it.choice.note(it.shape, Level::MULTICORE, 1000 * PLAIN, 0);
  EXPECT_EQ(it.shape.stage, Stage::KEPT);
  EXPECT_NEAR(it.shape.atLevel.get(), MS, 1);
}

TEST(Choice, TellsABoundedNumberOfShapesApart) {
  Choice choice;
  for (uint64_t key = 0; key < SHAPES_MAX; key++) EXPECT_NE(choice.find(key, []() { return kj::str("x"); }), nullptr);
  EXPECT_EQ(choice.find(SHAPES_MAX, []() { return kj::str("x"); }), nullptr);
  EXPECT_EQ(choice.find(3, []() { return kj::str("not asked for"); })->text, "x");
}

}  // namespace
}  // namespace epochly::choice

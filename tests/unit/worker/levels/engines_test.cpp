#include "levels/registry/engines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#ifdef EPOCHLY_HAS_CLASSIFY
#include "classify/classify.h"
#endif

namespace epochly::levels {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct FakeCall final : run::Invocation {
  bool callPlain() override { return ++plainCalls, true; }
  double dataSize() override { return std::numeric_limits<double>::quiet_NaN(); }
  int plainCalls = 0;
};

// Takes every call, or refuses every one with `reason`.
struct FakeEngine final : run::LevelEngine {
  explicit FakeEngine(Level level, kj::Maybe<kj::StringPtr> reason = nullptr) : number(level), reason(reason) {}
  Level level() const override { return number; }
  kj::Maybe<kj::String> declines(run::Invocation&) const override {
    ++asked;
    return reason.map([](kj::StringPtr text) { return kj::str(text); });
  }
  bool run(run::Invocation&) override { return true; }
  Level number;
  kj::Maybe<kj::StringPtr> reason;
  mutable int asked = 0;
};

std::vector<Level> fallbackList(Level level) {
  auto list = fallbacks(level);
  return {list.begin(), list.end()};
}

const run::Outcome& outcomeOf(const Engines::Pick& pick) { return pick.standing != nullptr ? *pick.standing : *pick.fresh; }

std::vector<Level> declinedBy(const Engines::Pick& pick) {
  std::vector<Level> levels;
  for (auto& d : outcomeOf(pick).declined) levels.push_back(d.level);
  return levels;
}

TEST(Engines, FallBackInTheGuidesOrder) {
  EXPECT_THAT(fallbackList(Level::GPU), ElementsAre(Level::MULTICORE, Level::JIT, Level::MONITOR));
  EXPECT_THAT(fallbackList(Level::MULTICORE), ElementsAre(Level::JIT, Level::MONITOR));
  EXPECT_THAT(fallbackList(Level::JIT), ElementsAre(Level::MONITOR));
  EXPECT_THAT(fallbackList(Level::THREADS), ElementsAre(Level::MONITOR));
  EXPECT_THAT(fallbackList(Level::MONITOR), ElementsAre());
}

#ifdef EPOCHLY_HAS_CLASSIFY
TEST(Engines, FallBackInTheSchedulersOrder) {
  for (uint number = 0; number < LEVEL_COUNT; ++number) {
    auto level = static_cast<Level>(number);
    auto theirs = classify::fallbacks(level);
    EXPECT_EQ(fallbackList(level), std::vector<Level>(theirs.begin(), theirs.end())) << number;
  }
}
#endif

TEST(Engines, LevelZeroRunsTheCallAsItIs) {
  Engines engines;
  FakeCall call;
  auto pick = engines.pick(Level::MONITOR, call);
  EXPECT_EQ(pick.engine.level(), Level::MONITOR);
  EXPECT_TRUE(outcomeOf(pick).declined.size() == 0);
  EXPECT_TRUE(pick.engine.run(call));
  EXPECT_EQ(call.plainCalls, 1);
}

TEST(Engines, LevelWithoutAnEngineDeclinesWithWhatToDo) {
  Engines engines;
  FakeCall call;
  auto pick = engines.pick(Level::GPU, call);
  EXPECT_EQ(pick.engine.level(), Level::MONITOR);
  EXPECT_EQ(outcomeOf(pick).asked, Level::GPU);
  EXPECT_EQ(outcomeOf(pick).ran, Level::MONITOR);
  EXPECT_THAT(declinedBy(pick), ElementsAre(Level::GPU, Level::MULTICORE, Level::JIT));
  EXPECT_THAT(outcomeOf(pick).declined[2].reason.cStr(), HasSubstr("no JIT engine is built into this version of epochly"));
  EXPECT_THAT(outcomeOf(pick).declined[2].reason.cStr(), HasSubstr("ask for level 0"));
}

TEST(Engines, OutcomeWithoutAnyEngineAskedIsTheSameObjectEachTime) {
  Engines engines;
  FakeCall call;
  EXPECT_EQ(engines.pick(Level::JIT, call).standing, engines.pick(Level::JIT, call).standing);
}

TEST(Engines, FirstThatFitsRunsAndTheOthersAreNotAsked) {
  Engines engines;
  auto jit = kj::heap<FakeEngine>(Level::JIT);
  auto multicore = kj::heap<FakeEngine>(Level::MULTICORE);
  auto &jitRef = *jit, &multicoreRef = *multicore;
  engines.add(kj::mv(jit), "a fake");
  engines.add(kj::mv(multicore), "a fake");
  FakeCall call;
  auto pick = engines.pick(Level::GPU, call);
  EXPECT_EQ(pick.engine.level(), Level::MULTICORE);
  EXPECT_THAT(declinedBy(pick), ElementsAre(Level::GPU));
  EXPECT_EQ(multicoreRef.asked, 1);
  EXPECT_EQ(jitRef.asked, 0);
}

TEST(Engines, RefusalOfACallIsKeptWithItsReason) {
  Engines engines;
  engines.add(kj::heap<FakeEngine>(Level::JIT, "it calls print()"_kj), "a fake");
  FakeCall call;
  auto pick = engines.pick(Level::MULTICORE, call);
  EXPECT_EQ(pick.engine.level(), Level::MONITOR);
  EXPECT_EQ(pick.standing, nullptr);
  EXPECT_THAT(declinedBy(pick), ElementsAre(Level::MULTICORE, Level::JIT));
  EXPECT_STREQ(pick.fresh->declined[1].reason.cStr(), "it calls print()");
}

TEST(Engines, SeveralOfALevelAreAskedInTheirOrderAndEachRefusalIsKept) {
  Engines engines;
  engines.add(kj::heap<FakeEngine>(Level::MULTICORE, "no loop splits"_kj), "a fake");
  auto second = kj::heap<FakeEngine>(Level::MULTICORE);
  auto third = kj::heap<FakeEngine>(Level::MULTICORE);
  auto &secondRef = *second, &thirdRef = *third;
  engines.add(kj::mv(second), "oneTBB");
  engines.add(kj::mv(third), "processes");
  EXPECT_EQ(engines.means(Level::MULTICORE), (std::vector<kj::StringPtr>{"a fake", "oneTBB", "processes"}));
  EXPECT_TRUE(engines.means(Level::GPU).empty());
  FakeCall call;
  auto pick = engines.pick(Level::MULTICORE, call);
  EXPECT_EQ(&pick.engine, &secondRef);
  EXPECT_EQ(thirdRef.asked, 0);
  EXPECT_THAT(declinedBy(pick), ElementsAre(Level::MULTICORE));
  EXPECT_STREQ(pick.fresh->declined[0].reason.cStr(), "no loop splits");
}

TEST(Engines, RefusalWithoutAReasonLeavesNothingBehind) {
  Engines engines;
  engines.add(kj::heap<FakeEngine>(Level::MULTICORE, ""_kj), "");
  auto second = kj::heap<FakeEngine>(Level::MULTICORE);
  auto& secondRef = *second;
  engines.add(kj::mv(second), "a fake");
  FakeCall call;
  auto pick = engines.pick(Level::MULTICORE, call);
  EXPECT_EQ(&pick.engine, &secondRef);
  EXPECT_THAT(declinedBy(pick), ElementsAre());
  EXPECT_THAT(engines.means(Level::MULTICORE), ElementsAre("a fake"_kj));
}

TEST(Engines, ThreadsAreNotOfferedWhatWasMeantForACompiler) {
  Engines engines;
  auto threads = kj::heap<FakeEngine>(Level::THREADS);
  auto& threadsRef = *threads;
  engines.add(kj::mv(threads), "a fake");
  FakeCall call;
  EXPECT_EQ(engines.pick(Level::GPU, call).engine.level(), Level::MONITOR);
  EXPECT_EQ(threadsRef.asked, 0);
  EXPECT_EQ(engines.pick(Level::THREADS, call).engine.level(), Level::THREADS);
}

TEST(Engines, AbsenceMayHaveItsOwnReason) {
  Engines engines;
  engines.setAbsent(Level::GPU, kj::str("no NVIDIA driver was found"));
  FakeCall call;
  EXPECT_STREQ(outcomeOf(engines.pick(Level::GPU, call)).declined[0].reason.cStr(), "no NVIDIA driver was found");
  EXPECT_STREQ(engines.whyAbsent(Level::GPU).cStr(), "no NVIDIA driver was found");
}

}  // namespace
}  // namespace epochly::levels

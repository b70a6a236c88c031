#include "support/dispatch_env.h"

namespace epochly::run {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// What the dispatcher does about executors that start, die and leave.

// ---- starting ------------------------------------------------------------------------------------------------------

TEST(Lives, KeepsAnExecutorPerSlotAndOneForIo) {
  DispatchEnv env(3);
  env.begin();
  EXPECT_THAT(env.alive(Role::CPU), SizeIs(3));
  EXPECT_THAT(env.alive(Role::IO), SizeIs(1));
  EXPECT_THAT(env.alive(Role::ALONE), IsEmpty());
}

TEST(Lives, GivesNothingToAnExecutorThatIsNotReady) {
  DispatchEnv env;
  env.begin();
  env.assignNow(1);
  EXPECT_THAT(env.delivered(CPU_A), IsEmpty());
  env.readyAll();
  EXPECT_THAT(env.delivered(CPU_A), ElementsAre(1));
}

TEST(Lives, StartsAnotherInPlaceOfOneThatDied) {
  DispatchEnv env;
  env.beginReady();
  env.assignNow(1);
  env.resultNow(CPU_A, 1);
  env.dies(CPU_A);
  EXPECT_THAT(env.alive(Role::CPU), ElementsAre(CPU_B, 4));
  EXPECT_EQ(env.restarts, 1u);
  EXPECT_EQ(env.dispatcher->restartCount(), 1u);
}

TEST(Lives, WaitsLongerAfterEachFailureToStartAndGivesUpAtTheLimit) {
  DispatchEnv env(1);
  env.begin();
  env.dispatcher->onReady(ExecutorId(env.last(Role::IO)), env.now);
  auto delay = env.limits.startDelay;
  for (uint i = 1; i < env.limits.startFailuresMax; i++, delay = delay * 2) {
    env.dies(env.last(Role::CPU), "exited with status 1");
    EXPECT_THAT(env.alive(Role::CPU), IsEmpty());
    EXPECT_TRUE(KJ_ASSERT_NONNULL(env.wake) == env.now + delay);
    env.after(delay - 1 * kj::NANOSECONDS);
    EXPECT_THAT(env.alive(Role::CPU), IsEmpty());
    env.after(1 * kj::NANOSECONDS);
    ASSERT_THAT(env.alive(Role::CPU), SizeIs(1));
  }
  EXPECT_TRUE(env.dispatcher->fatal() == nullptr);
  env.dies(env.last(Role::CPU), "exited with status 1; its standard error:\nno module named epochly");
  EXPECT_THAT(KJ_ASSERT_NONNULL(env.dispatcher->fatal()).cStr(), HasSubstr("no module named epochly"));
  env.after(1 * kj::HOURS);
  EXPECT_THAT(env.alive(Role::CPU), IsEmpty());
}

TEST(Lives, CountsAFirstWaveThatFailsTogetherOnce) {
  DispatchEnv env(16);
  env.begin();
  for (auto id : env.alive(Role::CPU)) {
    env.now += 1 * kj::MILLISECONDS;
    env.dies(id);
  }
  EXPECT_TRUE(env.dispatcher->fatal() == nullptr);
}

TEST(Lives, ForgetsFailuresOnceOneHasGivenAResult) {
  DispatchEnv env(1);
  env.begin();
  for (uint64_t i = 1; i <= 3 * env.limits.startFailuresMax; i++) {
    env.dies(env.last(Role::CPU));
    env.after(10 * kj::SECONDS);
    env.readyAll();
    EXPECT_TRUE(env.dispatcher->fatal() == nullptr);
    env.assignNow(i);
    env.result(env.last(Role::CPU), i);
    env.dies(env.last(Role::CPU));  // user code's doing
  }
}

TEST(Lives, GivesUpOnExecutorsThatDieIdleAsSoonAsTheyAreReady) {
  DispatchEnv env(1);
  env.begin();
  for (uint i = 0; i < env.limits.startFailuresMax; i++) {
    EXPECT_TRUE(env.dispatcher->fatal() == nullptr);
    env.after(5 * kj::SECONDS);
    env.readyAll();
    env.dies(env.last(Role::CPU));
  }
  EXPECT_FALSE(env.dispatcher->fatal() == nullptr);
}

TEST(Lives, ReplacesAnExecutorThatDiesAfterALongIdleLifeAtOnce) {
  DispatchEnv env(1);
  env.beginReady();
  for (int i = 0; i < 20; i++) {
    env.after(env.limits.goodLife);
    env.dies(env.last(Role::CPU));
    EXPECT_THAT(env.alive(Role::CPU), SizeIs(1));
    env.readyAll();
  }
}

TEST(Lives, KillsAnExecutorThatIsNotReadyInTime) {
  DispatchEnv env;
  env.begin();
  env.after(env.limits.readyDeadline - 1 * kj::NANOSECONDS);
  EXPECT_FALSE(env.fakes.at(CPU_A).killed);
  env.after(1 * kj::NANOSECONDS);
  EXPECT_TRUE(env.fakes.at(CPU_A).killed);
}

// ---- dying ---------------------------------------------------------------------------------------------------------

TEST(Lives, ChargesACrashToTheAttemptThatRanAndToNoOther) {
  DispatchEnv env(1);
  env.beginKnowing(10 * kj::MICROSECONDS, 4);
  ASSERT_THAT(env.delivered(1), ElementsAre(1, 2, 3, 4));
  env.result(1, 1);  // in the ring before it died
  env.begins(1, 2);  // 2 was running (learn() gave index 0)
  env.dies(1);
  auto answers = env.takeAnswers();
  ASSERT_THAT(answers, ElementsAre(answered(2, ErrorCode::EXECUTOR_DIED)));
  EXPECT_EQ(answers[0].message, "the executor running it was killed by SIGSEGV (signal 11)");
  env.readyAll();
  EXPECT_THAT(env.delivered(env.last(Role::CPU)), ElementsAre(3, 4));
  EXPECT_THAT(env.answers, IsEmpty());
}

TEST(Lives, RunsAnAttemptElsewhereWhenItsExecutorDiedBeforeItBegan) {
  DispatchEnv env(1);
  env.beginReady();
  env.assignNow(1);
  for (uint i = 1; i < env.limits.lossesMax; i++) {
    env.dies(env.last(Role::CPU));
    EXPECT_THAT(env.answers, IsEmpty());
    env.readyAll();
    EXPECT_THAT(env.delivered(env.last(Role::CPU)), ElementsAre(1));
  }
  env.dies(env.last(Role::CPU));
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(1, ErrorCode::EXECUTOR_DIED))) << "that often is no coincidence";
  EXPECT_TRUE(env.dispatcher->idle());
}

TEST(Lives, ChargesTheOnlyIoAttemptThatRan) {
  DispatchEnv env;
  env.beginReady();
  env.assign(1, Level::THREADS);
  env.assign(2, Level::THREADS);
  env.settle();
  env.enters(IO, 1);
  env.dies(IO);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(2, ErrorCode::EXECUTOR_DIED)));
  env.readyAll();
  EXPECT_THAT(env.delivered(env.last(Role::IO)), ElementsAre(1));
}

TEST(Lives, RunsIoAttemptsThatDiedTogetherAgainAloneToFindTheCause) {
  DispatchEnv env;
  env.beginReady();
  for (uint64_t seq = 1; seq <= 4; seq++) env.assign(seq, Level::THREADS);
  env.settle();
  for (uint32_t index : {0, 1, 2}) env.enters(IO, index);  // 4 had not begun
  env.result(IO, 1);
  env.dies(IO);
  EXPECT_THAT(env.answers, IsEmpty());
  EXPECT_EQ(env.suspected, 2u);
  ASSERT_THAT(env.alive(Role::ALONE), SizeIs(2));
  env.readyAll();
  EXPECT_THAT(env.delivered(env.last(Role::IO)), ElementsAre(4));
  auto alone = env.alive(Role::ALONE);
  ASSERT_THAT(env.delivered(alone[0]), ElementsAre(2));
  ASSERT_THAT(env.delivered(alone[1]), ElementsAre(3));

  env.enters(alone[0], 0);
  env.dies(alone[0], "exited with status 3");
  auto answers = env.takeAnswers();
  ASSERT_THAT(answers, ElementsAre(answered(2, ErrorCode::EXECUTOR_DIED)));
  EXPECT_THAT(answers[0].message, HasSubstr("exited with status 3"));
  EXPECT_TRUE(env.resultNow(alone[1], 3)) << "innocent";
  EXPECT_TRUE(env.fakes.at(alone[1]).stopped) << "no suspects left";
}

TEST(Lives, StartsNoMoreThanAFewExecutorsForSuspectsAndUsesThemAgain) {
  DispatchEnv env(1, 100);
  env.limits.aloneMax = 3;
  env.beginReady();
  for (uint64_t seq = 1; seq <= 50; seq++) env.assign(seq, Level::THREADS);
  env.settle();
  uint32_t io = env.last(Role::IO);
  for (uint32_t index = 0; index < 50; index++) env.enters(io, index);
  env.dies(io);
  EXPECT_THAT(env.alive(Role::ALONE), SizeIs(3));
  env.readyAll();
  uint32_t first = env.alive(Role::ALONE)[0];
  EXPECT_THAT(env.delivered(first), ElementsAre(1));
  env.resultNow(first, 1);
  EXPECT_THAT(env.delivered(first), ElementsAre(1, 4));
  EXPECT_THAT(env.alive(Role::ALONE), SizeIs(3));
}

TEST(Lives, SuspectsALoneIoAttemptWhenAbandonedThreadsRanBesideIt) {
  DispatchEnv env(1, 8);
  env.beginReady();
  uint32_t io = env.last(Role::IO);
  env.assign(1, Level::THREADS);
  env.assign(2, Level::THREADS);
  env.settle();
  env.enters(io, 0);
  env.enters(io, 1);
  env.cancel(1);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(1, ErrorCode::CANCELLED)));
  env.dies(io);
  EXPECT_THAT(env.answers, IsEmpty());
  EXPECT_EQ(env.suspected, 1u);
}

TEST(Lives, DiscardsWhatADeadExecutorMayHaveMadeForResultsItDidNotTell) {
  DispatchEnv env(1);
  env.beginKnowing(900 * kj::MICROSECONDS, 2);
  ASSERT_THAT(env.delivered(1), ElementsAre(1, 2));
  env.resultNow(1, 1);
  env.begins(1, 2);
  env.cancel(2);  // which kills it
  EXPECT_TRUE(env.discarded.empty()) << "it may still be making it";
  env.dies(1, "was killed by the worker");
  EXPECT_THAT(env.discarded, ElementsAre(std::pair(1u, uint64_t(2)))) << "1 has been told of";
}

TEST(Lives, DiscardsWhatWasInHandWhenTheConnectionWasLost) {
  DispatchEnv env(1);
  env.beginReady();
  uint32_t io = env.last(Role::IO);
  env.assign(1);
  env.assign(2, Level::THREADS);
  env.settle();
  env.begins(1, 1);
  env.dispatcher->onConnectionLost(env.now);
  env.settle();
  env.dies(1, "was killed by the worker");
  env.dies(io, "was killed by the worker");
  EXPECT_THAT(env.discarded, ElementsAre(std::pair(1u, uint64_t(1)), std::pair(io, uint64_t(2))));
}

// ---- leaving -------------------------------------------------------------------------------------------------------

TEST(Lives, ShutdownStopsIdleExecutorsAndKillsThoseThatDoNotListen) {
  DispatchEnv env;
  env.beginReady();
  env.dispatcher->onShutdown(env.now);
  env.settle();
  for (auto& [id, fake] : env.fakes) EXPECT_TRUE(fake.stopped && !fake.killed);
  env.dies(CPU_A, "exited with status 0");
  env.dies(CPU_B, "exited with status 0");
  EXPECT_TRUE(KJ_ASSERT_NONNULL(env.wake) == env.now + env.limits.stopDeadline);
  env.after(env.limits.stopDeadline);
  EXPECT_TRUE(env.fakes.at(IO).killed);
  env.dies(IO);
  EXPECT_FALSE(env.dispatcher->anyExecutors());
}

TEST(Lives, ReplacesAnExecutorThatHasSeenTooManyFunctionsOneAtATime) {
  DispatchEnv env;
  env.limits.functionsPerExecutorMax = 2;
  env.beginReady();
  for (uint64_t seq = 1; seq <= 4; seq++) {
    env.assign(seq, Level::MONITOR, 0, seq);
    env.settle();
    if (seq % 2 == 0) {
      env.result(CPU_A, seq - 1);
      env.result(CPU_B, seq);
      env.settle();
    }
  }
  EXPECT_TRUE(env.fakes.at(CPU_A).stopped);
  EXPECT_FALSE(env.fakes.at(CPU_B).stopped) << "until the other is replaced";
  env.dies(CPU_A, "exited with status 0");
  env.readyAll();
  EXPECT_TRUE(env.fakes.at(CPU_B).stopped);
}

TEST(Lives, ReplacesAnExecutorThatHoldsTooManyBytesOfFunctions) {
  DispatchEnv env(1);
  env.limits.functionBytesPerExecutorMax = 10'000;
  env.beginReady();
  auto executor = env.last(Role::CPU);
  env.function(1, 9'000);
  for (uint64_t seq = 1; seq <= 3; seq++) {  // the same again costs nothing
    env.assignNow(seq, Level::MONITOR, 0, 1);
    env.resultNow(executor, seq);
  }
  EXPECT_FALSE(env.fakes.at(executor).stopped);
  env.function(2, 1'000);
  env.assignNow(4, Level::MONITOR, 0, 2);
  EXPECT_FALSE(env.fakes.at(executor).stopped) << "it has something to do";
  env.resultNow(executor, 4);
  EXPECT_TRUE(env.fakes.at(executor).stopped);
}

}  // namespace
}  // namespace epochly::run

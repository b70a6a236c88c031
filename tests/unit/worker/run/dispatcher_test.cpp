#include "run/dispatcher.h"

#include "support/dispatch_env.h"

namespace epochly::run {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Seqs = std::vector<uint64_t>;

// Executors of beginReady() with two CPU slots: the dispatcher numbers them as it starts them.
constexpr uint32_t CPU_A = 1, CPU_B = 2, IO = 3;

auto answered(uint64_t seq, ErrorCode code) {
  return AllOf(Field(&DispatchEnv::Answered::seq, seq), Field(&DispatchEnv::Answered::code, code));
}

// ---- starting ------------------------------------------------------------------------------------------------------

TEST(Dispatcher, KeepsAnExecutorPerSlotAndOneForIo) {
  DispatchEnv env(3);
  env.begin();
  EXPECT_THAT(env.alive(Role::CPU), SizeIs(3));
  EXPECT_THAT(env.alive(Role::IO), SizeIs(1));
  EXPECT_THAT(env.alive(Role::ALONE), IsEmpty());
}

TEST(Dispatcher, GivesNothingToAnExecutorThatIsNotReady) {
  DispatchEnv env;
  env.begin();
  env.assignNow(1);
  EXPECT_THAT(env.delivered(CPU_A), IsEmpty());
  env.readyAll();
  EXPECT_THAT(env.delivered(CPU_A), ElementsAre(1));
}

TEST(Dispatcher, StartsAnotherInPlaceOfOneThatDied) {
  DispatchEnv env;
  env.beginReady();
  env.assignNow(1);
  env.resultNow(CPU_A, 1);
  env.dies(CPU_A);
  EXPECT_THAT(env.alive(Role::CPU), ElementsAre(CPU_B, 4));
  EXPECT_EQ(env.restarts, 1u);
  EXPECT_EQ(env.dispatcher->restartCount(), 1u);
}

TEST(Dispatcher, WaitsLongerAfterEachFailureToStartAndGivesUpAtTheLimit) {
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

TEST(Dispatcher, CountsAFirstWaveThatFailsTogetherOnce) {
  DispatchEnv env(16);
  env.begin();
  for (auto id : env.alive(Role::CPU)) {
    env.now += 1 * kj::MILLISECONDS;
    env.dies(id);
  }
  EXPECT_TRUE(env.dispatcher->fatal() == nullptr);
}

TEST(Dispatcher, ForgetsFailuresOnceOneHasGivenAResult) {
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

TEST(Dispatcher, GivesUpOnExecutorsThatDieIdleAsSoonAsTheyAreReady) {
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

TEST(Dispatcher, ReplacesAnExecutorThatDiesAfterALongIdleLifeAtOnce) {
  DispatchEnv env(1);
  env.beginReady();
  for (int i = 0; i < 20; i++) {
    env.after(env.limits.goodLife);
    env.dies(env.last(Role::CPU));
    EXPECT_THAT(env.alive(Role::CPU), SizeIs(1));
    env.readyAll();
  }
}

TEST(Dispatcher, KillsAnExecutorThatIsNotReadyInTime) {
  DispatchEnv env;
  env.begin();
  env.after(env.limits.readyDeadline - 1 * kj::NANOSECONDS);
  EXPECT_FALSE(env.fakes.at(CPU_A).killed);
  env.after(1 * kj::NANOSECONDS);
  EXPECT_TRUE(env.fakes.at(CPU_A).killed);
}

// ---- placing -------------------------------------------------------------------------------------------------------

TEST(Dispatcher, GivesAnUnknownFunctionToOneExecutorAtATime) {
  DispatchEnv env;
  env.beginReady();
  for (uint64_t seq : {1, 2, 3}) env.assign(seq);
  env.settle();
  EXPECT_THAT(env.delivered(CPU_A), ElementsAre(1));
  EXPECT_THAT(env.delivered(CPU_B), ElementsAre(2));
  env.resultNow(CPU_B, 2, 1 * kj::SECONDS);
  EXPECT_THAT(env.delivered(CPU_B), ElementsAre(2, 3));
}

TEST(Dispatcher, SendsAFunctionOnceToEachExecutorThatNeedsIt) {
  DispatchEnv env;
  env.beginReady();
  env.assign(1);
  env.assign(2);
  env.settle();
  env.resultNow(CPU_A, 1);
  env.assignNow(3);
  EXPECT_THAT(env.fakes.at(CPU_A).functionsSent, ElementsAre(1));
  EXPECT_THAT(env.fakes.at(CPU_B).functionsSent, ElementsAre(2));
}

TEST(Dispatcher, GivesShortWorkAheadUpToItsTimesWorth) {
  DispatchEnv env(1);
  env.beginReady();
  env.limits.overhead = 0 * kj::SECONDS;
  DispatchEnv exact(1);
  exact.limits.overhead = 0 * kj::SECONDS;
  exact.beginReady();
  exact.learn(1, 100 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 100; seq++) exact.assign(seq);
  exact.settle();
  EXPECT_THAT(exact.delivered(1), SizeIs(20)) << "2 ms of 0.1 ms each";
}

TEST(Dispatcher, GivesAheadNoMoreThanItsCount) {
  DispatchEnv env(1);
  env.limits.overhead = 0 * kj::SECONDS;
  env.beginReady();
  env.learn(1, 10 * kj::NANOSECONDS);
  for (uint64_t seq = 1; seq <= 2 * env.limits.aheadMax; seq++) env.assign(seq);
  env.settle();
  EXPECT_THAT(env.delivered(1), SizeIs(env.limits.aheadMax));
}

TEST(Dispatcher, GivesLongWorkOneByOne) {
  DispatchEnv env;
  env.beginReady();
  env.learn(1, 3 * kj::MILLISECONDS);
  for (uint64_t seq = 1; seq <= 6; seq++) env.assign(seq);
  env.settle();
  EXPECT_THAT(env.delivered(CPU_A), SizeIs(1));
  EXPECT_THAT(env.delivered(CPU_B), SizeIs(1));
}

TEST(Dispatcher, SharesWorkEvenly) {
  DispatchEnv env;
  env.beginReady();
  env.learn(1, 10 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 40; seq++) env.assign(seq);
  env.settle();
  EXPECT_THAT(env.delivered(CPU_A), SizeIs(20));
  EXPECT_THAT(env.delivered(CPU_B), SizeIs(20));
}

TEST(Dispatcher, PutsNothingBehindAnAttemptThatTakesLongerThanItUsedTo) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 10 * kj::MICROSECONDS);
  env.assignNow(1);
  env.begins(1, 1);
  env.after(env.limits.ahead);
  env.assignNow(2);
  EXPECT_THAT(env.delivered(1), ElementsAre(1));
  env.resultNow(1, 1, 5 * kj::MILLISECONDS);
  EXPECT_THAT(env.delivered(1), ElementsAre(1, 2));
}

TEST(Dispatcher, TakesBackWhatIsStuckBehindALongAttemptWhenAnotherExecutorIsIdle) {
  DispatchEnv env;
  env.beginReady();
  env.learn(1, 10 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 6; seq++) env.assign(seq);
  env.settle();
  ASSERT_THAT(env.delivered(CPU_A), ElementsAre(1, 3, 5));
  env.begins(CPU_A, env.fakes.at(CPU_A).begunEnd + 1);  // learn() gave it index 0
  for (uint64_t seq : {2, 4, 6}) env.result(CPU_B, seq, 10 * kj::MICROSECONDS);
  env.settle();
  EXPECT_EQ(env.recalled, 0u) << "too early to say";
  EXPECT_TRUE(KJ_ASSERT_NONNULL(env.wake) <= env.now + env.limits.ahead);
  env.after(env.limits.ahead);
  EXPECT_EQ(env.recalled, 2u);
  EXPECT_THAT(env.delivered(CPU_B), ElementsAre(2, 4, 6, 3, 5));
  EXPECT_TRUE(env.resultNow(CPU_B, 3));
  EXPECT_TRUE(env.resultNow(CPU_A, 1));
  EXPECT_TRUE(env.resultNow(CPU_B, 5));
  EXPECT_TRUE(env.dispatcher->idle());
  EXPECT_THAT(env.answers, IsEmpty());
}

TEST(Dispatcher, LeavesStuckWorkWhereItIsWhenNobodyIsIdle) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 10 * kj::MICROSECONDS);
  env.assign(1);
  env.assign(2);
  env.settle();
  env.begins(1, 1);
  env.after(env.limits.ahead * 10);
  EXPECT_EQ(env.recalled, 0u);
  EXPECT_TRUE(env.wake == nullptr) << "nothing to do until something happens: no ticking";
}

TEST(Dispatcher, GivesIoAttemptsToThreadsAsFarAsTheyGo) {
  DispatchEnv env(2, 4);
  env.beginReady();
  for (uint64_t seq = 1; seq <= 6; seq++) env.assign(seq, Level::THREADS);
  env.settle();
  EXPECT_THAT(env.delivered(IO), ElementsAre(1, 2, 3, 4));
  env.resultNow(IO, 3);
  EXPECT_THAT(env.delivered(IO), ElementsAre(1, 2, 3, 4, 5));
}

TEST(Dispatcher, SendsTheLevelsThatComputeToCpuExecutors) {
  DispatchEnv env(4);
  env.beginReady();
  uint64_t seq = 0;
  for (Level level : {Level::MONITOR, Level::JIT, Level::MULTICORE, Level::GPU}) env.assignNow(++seq, level);
  for (uint32_t executor : {1, 2, 3, 4}) EXPECT_THAT(env.delivered(executor), SizeIs(1));
}

TEST(Dispatcher, RefusesALevelThatDoesNotExistAndAFunctionItWasNeverSent) {
  DispatchEnv env;
  env.beginReady();
  env.assignNow(1, static_cast<Level>(9));
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(1, ErrorCode::INVALID_ARGUMENT)));
  env.dispatcher->onConnectionLost(env.now);
  capnp::MallocMessageBuilder message;
  auto assignment = message.initRoot<schema::Assignment>();
  writeTaskId(DispatchEnv::name(2).task, assignment.initTask());
  assignment.setAttempt(1);
  assignment.setFunction(77);
  env.dispatcher->onAssigned(assignment.asReader());
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(2, ErrorCode::INTERNAL)));
  EXPECT_TRUE(env.dispatcher->idle());
}

TEST(Dispatcher, AnswersAnAttemptSentTwiceOnce) {
  DispatchEnv env;
  env.beginReady();
  env.assign(1);
  env.assign(1);
  env.settle();
  EXPECT_TRUE(env.resultNow(CPU_A, 1));
  EXPECT_FALSE(env.resultNow(CPU_A, 1));
  EXPECT_TRUE(env.dispatcher->idle());
}

TEST(Dispatcher, GivesBackWhatIsMoreThanItHolds) {
  DispatchEnv env(1);
  env.limits.heldMax = 3;
  env.beginReady();
  for (uint64_t seq = 1; seq <= 4; seq++) env.assign(seq);
  env.settle();
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(4, ErrorCode::NONE)));
  env.resultNow(1, 1);
  env.assignNow(5);
  EXPECT_THAT(env.answers, IsEmpty());

  DispatchEnv bytes(1);
  bytes.limits.heldBytesMax = 1;
  bytes.beginReady();
  bytes.assign(1);
  bytes.assign(2);
  EXPECT_THAT(bytes.takeAnswers(), ElementsAre(answered(2, ErrorCode::NONE))) << "one of any size, so that it gets on";
}

// ---- dying ---------------------------------------------------------------------------------------------------------

TEST(Dispatcher, ChargesACrashToTheAttemptThatRanAndToNoOther) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 10 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 4; seq++) env.assign(seq);
  env.settle();
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

TEST(Dispatcher, RunsAnAttemptElsewhereWhenItsExecutorDiedBeforeItBegan) {
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

TEST(Dispatcher, ChargesTheOnlyIoAttemptThatRan) {
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

TEST(Dispatcher, RunsIoAttemptsThatDiedTogetherAgainAloneToFindTheCause) {
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

TEST(Dispatcher, StartsNoMoreThanAFewExecutorsForSuspectsAndUsesThemAgain) {
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

TEST(Dispatcher, SuspectsALoneIoAttemptWhenAbandonedThreadsRanBesideIt) {
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

// ---- timeouts and cancellation -------------------------------------------------------------------------------------

TEST(Dispatcher, KillsACpuExecutorWhoseAttemptRunsPastItsTimeoutCountedFromItsBeginning) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 10 * kj::MICROSECONDS);
  env.assign(1, Level::MONITOR, 100);
  env.assign(2, Level::MONITOR, 100);
  env.settle();
  env.begins(1, 1);
  env.after(60 * kj::MILLISECONDS);
  env.result(1, 1);
  env.begins(1, 2);  // 60 ms after it was delivered
  env.settle();
  env.after(99 * kj::MILLISECONDS);
  EXPECT_FALSE(env.fakes.at(1).killed);
  EXPECT_TRUE(KJ_ASSERT_NONNULL(env.wake) == env.now + 1 * kj::MILLISECONDS);
  env.after(1 * kj::MILLISECONDS);
  EXPECT_TRUE(env.fakes.at(1).killed);
  auto answers = env.takeAnswers();
  ASSERT_THAT(answers, ElementsAre(answered(2, ErrorCode::TIMEOUT)));
  EXPECT_THAT(answers[0].message, HasSubstr("100 ms"));
  env.dies(1, "was killed by SIGKILL (signal 9)");
  EXPECT_THAT(env.answers, IsEmpty()) << "answered once";
  EXPECT_THAT(env.alive(Role::CPU), SizeIs(1)) << "replaced";
}

TEST(Dispatcher, LetsAnAttemptWaitForAnExecutorLongerThanItsTimeout) {
  DispatchEnv env(1);
  env.beginReady();
  env.assign(1);
  env.assign(2, Level::MONITOR, 10);
  env.settle();
  env.after(1 * kj::SECONDS);
  EXPECT_THAT(env.answers, IsEmpty());
  env.resultNow(1, 1);
  EXPECT_THAT(env.delivered(1), ElementsAre(1, 2));
}

TEST(Dispatcher, SavesTheAttemptsBehindOneThatTimesOut) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 10 * kj::MICROSECONDS);
  env.assign(1, Level::MONITOR, 50);
  env.assign(2);
  env.settle();
  env.begins(1, 1);
  env.after(50 * kj::MILLISECONDS);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(1, ErrorCode::TIMEOUT)));
  env.dies(1);
  env.readyAll();
  EXPECT_THAT(env.delivered(env.last(Role::CPU)), ElementsAre(2));
  EXPECT_THAT(env.answers, IsEmpty());
}

TEST(Dispatcher, AnswersAnIoTimeoutAtOnceAndLeavesTheThreadBehind) {
  DispatchEnv env(1, 8);
  env.beginReady();
  uint32_t io = env.last(Role::IO);
  env.assignNow(1, Level::THREADS, 100);
  env.enters(io, 0);
  env.after(100 * kj::MILLISECONDS);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(1, ErrorCode::TIMEOUT)));
  EXPECT_FALSE(env.fakes.at(io).killed);
  for (uint64_t seq = 2; seq <= 20; seq++) env.assign(seq, Level::THREADS);
  env.settle();
  EXPECT_THAT(env.delivered(io), SizeIs(1 + 7)) << "one of its eight threads is taken";
  EXPECT_FALSE(env.resultNow(io, 1)) << "too late";
  EXPECT_EQ(env.dropped, 1u);
  EXPECT_THAT(env.delivered(io), SizeIs(1 + 8)) << "the thread has come back";
}

TEST(Dispatcher, ReplacesAnIoExecutorWithTooManyAbandonedThreadsOnceTheOthersAreDone) {
  DispatchEnv env(1, 8);  // at most two abandoned
  env.beginReady();
  uint32_t io = env.last(Role::IO);
  for (uint64_t seq = 1; seq <= 4; seq++) env.assign(seq, Level::THREADS);
  env.settle();
  env.cancel(1);
  env.cancel(2);
  EXPECT_THAT(env.alive(Role::IO), SizeIs(1));
  env.cancel(3);
  EXPECT_THAT(env.alive(Role::IO), SizeIs(2)) << "a new one starts at once";
  EXPECT_FALSE(env.fakes.at(io).killed) << "4 is not to blame";
  env.readyAll();
  env.assignNow(5, Level::THREADS);
  EXPECT_THAT(env.delivered(env.last(Role::IO)), ElementsAre(5));
  env.resultNow(io, 4);
  EXPECT_TRUE(env.fakes.at(io).killed);
}

TEST(Dispatcher, DiscardsWhatADeadExecutorMayHaveMadeForResultsItDidNotTell) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 900 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 2; seq++) env.assign(seq);
  env.settle();
  ASSERT_THAT(env.delivered(1), ElementsAre(1, 2));
  env.resultNow(1, 1);
  env.begins(1, 2);
  env.cancel(2);  // which kills it
  EXPECT_TRUE(env.discarded.empty()) << "it may still be making it";
  env.dies(1, "was killed by the worker");
  EXPECT_THAT(env.discarded, ElementsAre(std::pair(1u, uint64_t(2)))) << "1 has been told of";
}

TEST(Dispatcher, DiscardsWhatWasInHandWhenTheConnectionWasLost) {
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

TEST(Dispatcher, CancelsWhatIsQueuedDeliveredOrRunning) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 900 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 4; seq++) env.assign(seq);
  env.settle();
  ASSERT_THAT(env.delivered(1), ElementsAre(1, 2)) << "3 and 4 are queued";
  env.begins(1, 1);
  env.cancel(4);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(4, ErrorCode::CANCELLED)));
  env.cancel(2);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(2, ErrorCode::CANCELLED)));
  EXPECT_FALSE(env.fakes.at(1).killed) << "it had not begun: nothing is killed for it";
  env.cancel(1);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(1, ErrorCode::CANCELLED)));
  EXPECT_TRUE(env.fakes.at(1).killed);
  EXPECT_FALSE(env.resultNow(1, 1)) << "its result was on the way: dropped";
  env.cancel(1);
  EXPECT_THAT(env.answers, IsEmpty()) << "answered once";
  env.dies(1);
  env.readyAll();
  EXPECT_THAT(env.delivered(env.last(Role::CPU)), ElementsAre(3));
}

// ---- leaving -------------------------------------------------------------------------------------------------------

TEST(Dispatcher, GivesBackWhatIsRecalledUnlessItHasBegun) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 900 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 4; seq++) env.assign(seq);
  env.settle();
  ASSERT_THAT(env.delivered(1), ElementsAre(1, 2)) << "3 and 4 are queued";
  env.begins(1, 1);
  for (uint64_t seq : {4, 2, 1, 99}) env.dispatcher->onRecall(DispatchEnv::name(seq));
  env.settle();
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(4, ErrorCode::NONE), answered(2, ErrorCode::NONE)));
  EXPECT_FALSE(env.fakes.at(1).killed) << "1 runs on, and nobody knows 99";
  EXPECT_TRUE(env.resultNow(1, 1));
  EXPECT_THAT(env.delivered(1), ElementsAre(1, 2, 3));
}

TEST(Dispatcher, DoesNotGiveBackWhatThreadsHaveBeenGivenOrASuspectThatHasBegunBefore) {
  DispatchEnv env(1, 4);
  env.beginReady();
  uint32_t io = env.last(Role::IO);
  env.assign(1, Level::THREADS);
  env.assign(2, Level::THREADS);
  env.settle();
  env.dispatcher->onRecall(DispatchEnv::name(1));
  EXPECT_THAT(env.takeAnswers(), IsEmpty()) << "a thread begins it at once";
  env.enters(io, 0);
  env.enters(io, 1);
  env.dies(io);
  env.dispatcher->onRecall(DispatchEnv::name(1));
  EXPECT_THAT(env.takeAnswers(), IsEmpty()) << "it waits for an executor of its own, but has begun on the one that died";
}

TEST(Dispatcher, DrainGivesBackWhatHasNotBegunAndFinishesTheRest) {
  DispatchEnv env(1);
  env.beginReady();
  env.learn(1, 900 * kj::MICROSECONDS);
  for (uint64_t seq = 1; seq <= 3; seq++) env.assign(seq);
  env.settle();
  env.begins(1, 1);
  env.dispatcher->onDrain();
  env.settle();
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(2, ErrorCode::NONE), answered(3, ErrorCode::NONE)));
  EXPECT_FALSE(env.dispatcher->idle());
  env.assignNow(4);
  EXPECT_THAT(env.takeAnswers(), ElementsAre(answered(4, ErrorCode::NONE))) << "came too late";
  env.resultNow(1, 1);
  EXPECT_TRUE(env.dispatcher->idle());
}

TEST(Dispatcher, TakesWorkAgainAfterADrainIsOver) {
  DispatchEnv env(1);
  env.beginReady();
  env.dispatcher->onDrain();
  env.assignNow(1);
  env.dispatcher->onResume();
  env.assignNow(2);
  EXPECT_THAT(env.delivered(1), ElementsAre(2));
}

TEST(Dispatcher, ShutdownStopsIdleExecutorsAndKillsThoseThatDoNotListen) {
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

TEST(Dispatcher, ForgetsEverythingAndKillsWhatRunsWhenTheConnectionIsLost) {
  DispatchEnv env;
  env.beginReady();
  env.assign(1);
  env.assign(2);
  env.assign(3);
  env.assign(4, Level::THREADS);
  env.settle();
  env.begins(CPU_A, 0);  // 2 was delivered to B and has not begun
  env.dispatcher->onConnectionLost(env.now);
  env.settle();
  EXPECT_TRUE(env.dispatcher->idle());
  EXPECT_THAT(env.answers, IsEmpty()) << "there is nobody to tell";
  EXPECT_TRUE(env.fakes.at(CPU_A).killed);
  EXPECT_FALSE(env.fakes.at(CPU_B).killed) << "it does nothing";
  EXPECT_TRUE(env.fakes.at(IO).killed);
  EXPECT_FALSE(env.resultNow(CPU_A, 1));
}

TEST(Dispatcher, ReplacesAnExecutorThatHasSeenTooManyFunctionsOneAtATime) {
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

TEST(Dispatcher, ReplacesAnExecutorThatHoldsTooManyBytesOfFunctions) {
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

// ---- everything at once --------------------------------------------------------------------------------------------

// Random events against a model that knows only this: each attempt taken is answered exactly once.
TEST(Dispatcher, AnswersEachAttemptExactlyOnceWhateverHappens) {
  for (uint seed = 1; seed <= 200; seed++) {
    SCOPED_TRACE(seed);
    srand(seed);
    auto chance = [](int percent) { return rand() % 100 < percent; };
    DispatchEnv env(1 + rand() % 3, 1 + rand() % 6);
    env.limits.aheadMax = 1 + rand() % 8;
    env.beginReady();
    std::map<uint64_t, int> answers;
    uint64_t seq = 0;
    auto collect = [&] {
      for (auto& answer : env.takeAnswers()) answers[answer.seq]++;
    };
    for (int step = 0; step < 300; step++) {
      if (chance(40))
        env.assign(++seq, chance(40) ? Level::THREADS : Level::MONITOR, chance(30) ? 1 + rand() % 20 : 0, 1 + rand() % 3);
      if (chance(5) && seq > 0) env.cancel(1 + rand() % seq);
      for (auto& [id, fake] : env.fakes) {
        if (fake.gone) continue;
        if (chance(30)) env.dispatcher->onReady(ExecutorId(id), env.now);
        if (fake.role == Role::CPU && fake.begunEnd < fake.delivered.size() && chance(30)) {
          // A real executor skips what was taken back: such a name is not its own any more.
          env.begins(id, fake.begunEnd);
          if (chance(80) && env.result(id, fake.delivered[fake.begunEnd - 1], (1 + rand() % 5000) * kj::MICROSECONDS)) {
            answers[fake.delivered[fake.begunEnd - 1]]++;
          }
        }
        if (fake.role != Role::CPU && !fake.delivered.empty() && chance(30)) {
          uint32_t index = rand() % fake.delivered.size();
          if (chance(50)) {
            env.enters(id, index);
          } else if (env.result(id, fake.delivered[index])) {
            answers[fake.delivered[index]]++;
          }
        }
        if (chance(fake.killed ? 60 : 2) || fake.stopped) {
          env.dispatcher->onGone(ExecutorId(id), "died", env.now);
          fake.gone = true;
        }
      }
      env.after((rand() % 3000) * kj::MICROSECONDS);
      collect();
      for (auto& [name, count] : answers) ASSERT_EQ(count, 1) << name;
    }
    env.dispatcher->onDrain();
    for (int i = 0; i < 1000 && !env.dispatcher->idle(); i++) {
      for (auto& [id, fake] : env.fakes) {
        if (fake.gone) continue;
        env.dispatcher->onReady(ExecutorId(id), env.now);
        for (auto name : fake.delivered) {
          if (env.result(id, name)) answers[name]++;
        }
        if (fake.killed || fake.stopped) {
          env.dispatcher->onGone(ExecutorId(id), "died", env.now);
          fake.gone = true;
        }
      }
      env.after(1 * kj::SECONDS);
      collect();
    }
    EXPECT_TRUE(env.dispatcher->idle());
    EXPECT_EQ(answers.size(), seq);
    for (auto& [name, count] : answers) ASSERT_EQ(count, 1) << name;
  }
}

}  // namespace
}  // namespace epochly::run

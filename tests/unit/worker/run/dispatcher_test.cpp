#include "support/dispatch_env.h"

namespace epochly::run {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

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
  env.beginKnowing(10 * kj::NANOSECONDS, 2 * env.limits.aheadMax);
  EXPECT_THAT(env.delivered(1), SizeIs(env.limits.aheadMax));
}

TEST(Dispatcher, GivesLongWorkOneByOne) {
  DispatchEnv env;
  env.beginKnowing(3 * kj::MILLISECONDS, 6);
  EXPECT_THAT(env.delivered(CPU_A), SizeIs(1));
  EXPECT_THAT(env.delivered(CPU_B), SizeIs(1));
}

TEST(Dispatcher, SharesWorkEvenly) {
  DispatchEnv env;
  env.beginKnowing(10 * kj::MICROSECONDS, 40);
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
  env.beginKnowing(10 * kj::MICROSECONDS, 6);
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

// ---- leaving -------------------------------------------------------------------------------------------------------

TEST(Dispatcher, GivesBackWhatIsRecalledUnlessItHasBegun) {
  DispatchEnv env(1);
  env.beginKnowing(900 * kj::MICROSECONDS, 4);
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
  env.beginKnowing(900 * kj::MICROSECONDS, 3);
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

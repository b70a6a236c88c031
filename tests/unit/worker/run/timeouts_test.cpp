#include "support/dispatch_env.h"

namespace epochly::run {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// ---- timeouts and cancellation -------------------------------------------------------------------------------------

TEST(Timeouts, KillsACpuExecutorWhoseAttemptRunsPastItsTimeoutCountedFromItsBeginning) {
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

TEST(Timeouts, LetsAnAttemptWaitForAnExecutorLongerThanItsTimeout) {
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

TEST(Timeouts, SavesTheAttemptsBehindOneThatTimesOut) {
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

TEST(Timeouts, AnswersAnIoTimeoutAtOnceAndLeavesTheThreadBehind) {
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

TEST(Timeouts, ReplacesAnIoExecutorWithTooManyAbandonedThreadsOnceTheOthersAreDone) {
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

TEST(Timeouts, CancelsWhatIsQueuedDeliveredOrRunning) {
  DispatchEnv env(1);
  env.beginKnowing(900 * kj::MICROSECONDS, 4);
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

}  // namespace
}  // namespace epochly::run

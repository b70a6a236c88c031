// Workers join, beat, leave and vanish.
#include "support/sched_env.h"
#include "wire/task_spec.h"

namespace epochly::test {
namespace {

using core::TaskState;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(Workers, ALostWorkerReturnsItsTasksToTheQueueExactlyOnce) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, task, Attempt(1)}));
  env.lose(worker);
  EXPECT_EQ(env.task(task).state, TaskState::QUEUED);
  EXPECT_THAT(env.takeSent(), IsEmpty());
  auto other = env.join();
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{other, task, Attempt(2)}));
}

TEST(Workers, TheTasksOfALostWorkerKeepTheirOrderAndGoFirst) {
  SchedEnv env;
  auto worker = env.join(WorkerBuilder().cpus(3));
  std::vector<TaskId> tasks;
  for (int i = 0; i < 3; i++) tasks.push_back(env.submit());
  env.takeSent();
  env.lose(worker);
  tasks.push_back(env.submit());
  auto other = env.join(WorkerBuilder().cpus(4));
  auto sent = env.takeSent();
  ASSERT_EQ(sent.size(), 4u);
  for (int i = 0; i < 4; i++) EXPECT_EQ(sent[i].task, tasks[i]);
  EXPECT_EQ(sent[0].worker, other);
}

TEST(Workers, AResultFromBeforeTheLossIsStale) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.lose(worker);
  auto other = env.join();
  env.report(worker, SchedEnv::returned(task, 1));
  env.report(other, SchedEnv::returned(task, 1));
  EXPECT_EQ(env.core.totals.staleResults, 2u);
  env.report(other, SchedEnv::returned(task, 2));
  EXPECT_EQ(env.client().results.size(), 1u);
}

TEST(Workers, ThreeMissedBeatsLoseAWorkerAndTwoDoNot) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  auto beats = env.core.limits.heartbeat * MISSED_BEATS_MAX;
  env.pass(beats);
  EXPECT_EQ(env.core.workers.size(), 1u);
  env.pass(1 * kj::SECONDS);
  EXPECT_EQ(env.core.workers.size(), 0u);
  EXPECT_THAT(env.outbox.dropped, ElementsAre(worker));
  EXPECT_EQ(env.task(task).state, TaskState::QUEUED);
}

TEST(Workers, TimeInWhichTheSchedulerItselfWasStoppedCountsAgainstNoWorker) {
  SchedEnv env;
  env.join();
  env.sleep(60 * kj::SECONDS);
  EXPECT_EQ(env.core.workers.size(), 1u) << "its beats of that minute are still in the socket";
  env.pass(4 * kj::SECONDS);
  EXPECT_EQ(env.core.workers.size(), 0u) << "but there were none";
}

TEST(Workers, BeatsAndResultsKeepAWorkerAlive) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.passAlive(10 * kj::SECONDS);
  EXPECT_EQ(env.core.workers.size(), 1u);
  env.now += 3 * kj::SECONDS;
  env.report(worker, SchedEnv::returned(task, 1));
  env.pass(3 * kj::SECONDS);
  EXPECT_EQ(env.core.workers.size(), 1u);
}

TEST(Workers, ATaskThatLosesWorkerAfterWorkerIsGivenUp) {
  SchedEnv env;
  auto task = env.submit();
  for (uint i = 0; i < LOSSES_MAX; i++) env.lose(env.join());
  EXPECT_EQ(env.task(task).losses, LOSSES_MAX);
  env.lose(env.join());
  EXPECT_EQ(env.lastResult().failure.code, ErrorCode::WORKER_LOST);
}

TEST(Workers, ADrainingWorkerGetsNothingMoreButMayFinish) {
  SchedEnv env;
  auto worker = env.join();
  auto first = env.submit();
  env.takeSent();
  env.events.onWorkerLeaving(worker, env.now);
  env.submit();
  env.expectNothingSent();
  env.report(worker, SchedEnv::returned(first, 1));
  env.expectNothingSent();
  EXPECT_EQ(env.client().results.size(), 1u);
}

TEST(Workers, ACancelledTaskIsNotRunAgainWhenItsWorkerIsLost) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.events.onCancel(env.space, {task.seq}, env.now);
  env.lose(worker);
  EXPECT_EQ(env.lastResult().outcome, core::Outcome::CANCELLED);
}

TEST(Workers, TheTimerIsArmedForWatchingThemAndNotWithoutAnyone) {
  SchedEnv env;
  EXPECT_FALSE(env.outbox.wake == nullptr) << "a client is open";
  core::Core empty;
  RecordingPorts ports;
  events::Events idle(empty, core::Ports{ports, ports, ports, ports, env.random}, env.observer, env.thresholds);
  idle.onTick(env.now);
  EXPECT_TRUE(ports.wake == nullptr) << "an idle scheduler sleeps";
}

}  // namespace
}  // namespace epochly::test

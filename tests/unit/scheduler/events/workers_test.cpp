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

TEST(Workers, OnlyWhatMayHaveBegunIsChargedWithTheLossOfItsWorker) {
  SchedEnv env;
  env.tell(1);
  env.core.functions.at(FunctionHash{0, 1}).runSeconds[0].add(1e-3);
  auto worker = env.join(WorkerBuilder().cpus(2));
  std::vector<TaskId> tasks;
  for (int i = 0; i < 6; i++) tasks.push_back(env.submit());
  ASSERT_EQ(env.core.workers.at(worker).inflight.size(), 6u);
  env.report(worker, SchedEnv::returned(tasks[0], 1));
  env.lose(worker);
  for (int i = 1; i < 6; i++) {
    EXPECT_EQ(env.task(tasks[i]).losses, i <= 2 ? 1u : 0u) << i << ": two slots, begun in order";
    EXPECT_EQ(env.task(tasks[i]).spared, i <= 2 ? 0u : 1u) << i;
  }
}

// A task that is lost with so many workers, in company, that it runs alone from now on.
TaskId suspect(SchedEnv& env) {
  auto task = env.submit();
  for (uint i = 0; i < LOSSES_BEFORE_ALONE; i++) {
    EXPECT_FALSE(env.task(task).runsAlone());
    env.lose(env.join());
  }
  EXPECT_TRUE(env.task(task).runsAlone());
  env.takeSent();
  return task;
}

TEST(Workers, ASuspectRunsOnAWorkerThatHoldsNothingElse) {
  SchedEnv env;
  auto first = suspect(env);
  auto second = env.submit();
  auto third = env.submit();
  auto worker = env.join(WorkerBuilder().cpus(8));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, first, Attempt(LOSSES_BEFORE_ALONE + 1)}));
  env.report(worker, SchedEnv::returned(first, LOSSES_BEFORE_ALONE + 1));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, second, Attempt(1)}, Sent{worker, third, Attempt(1)}));
}

TEST(Workers, OneWorkerIsKeptForSuspectsAndTheOthersGoOn) {
  SchedEnv env;
  auto first = suspect(env);
  auto kept = env.join(WorkerBuilder().cpus(8));
  auto other = env.join();
  ASSERT_EQ(env.task(first).worker, kept);
  EXPECT_EQ(env.task(env.submit()).worker, other) << "the one with slots runs a suspect";
  env.report(kept, SchedEnv::returned(first, LOSSES_BEFORE_ALONE + 1));
  EXPECT_EQ(env.core.reservedWorkers, 0u);
  EXPECT_EQ(env.task(env.submit()).worker, kept);
}

TEST(Workers, AReservedWorkerFallsIdleForItsSuspectThoughOtherWorkIsWaiting) {
  SchedEnv env;
  auto task = suspect(env);
  env.lose(env.join());
  auto busy = env.join();  // takes the suspect ...
  auto other = env.join(WorkerBuilder().cpus(2));
  auto second = env.submit();
  auto third = env.submit();
  env.lose(busy);  // ... and gives it back: it waits for the other to fall idle
  ASSERT_TRUE(env.core.workers.at(other).reserved);
  auto fourth = env.submit();
  env.report(other, SchedEnv::returned(second, 1));
  EXPECT_EQ(env.task(fourth).state, TaskState::QUEUED) << "a slot is free, but it is not for this one";
  env.report(other, SchedEnv::returned(third, 1));
  EXPECT_EQ(env.task(task).worker, other);
  EXPECT_EQ(env.task(fourth).state, TaskState::QUEUED);
  env.report(other, SchedEnv::returned(task, env.task(task).attempt.value));
  EXPECT_EQ(env.task(fourth).worker, other);
}

TEST(Workers, AWorkerIsKeptNoLongerThanASuspectWaits) {
  SchedEnv env;
  auto task = suspect(env);
  auto busy = env.join();
  auto other = env.join();
  auto running = env.submit();
  ASSERT_EQ(env.task(running).worker, other);
  env.lose(busy);
  ASSERT_TRUE(env.core.workers.at(other).reserved);
  env.events.onCancel(env.space, {task.seq}, env.now);
  EXPECT_FALSE(env.core.workers.at(other).reserved);
}

TEST(Workers, ANeighbourOfWhatKillsWorkersIsNeverGivenUp) {
  SchedEnv env;
  auto poison = env.submit();
  auto innocent = env.submit();  // as long as the other: it runs beside it each time
  uint kills = 0;
  while (env.core.tasks.count(poison) > 0) {
    auto worker = env.join(WorkerBuilder().cpus(2));
    if (env.task(poison).worker != worker) {
      ASSERT_EQ(env.task(innocent).worker, worker);
      env.report(worker, SchedEnv::returned(innocent, env.task(innocent).attempt.value));
      ASSERT_EQ(env.task(poison).worker, worker);
    }
    env.lose(worker);
    kills++;
  }
  EXPECT_EQ(env.lastResult().failure.code, ErrorCode::WORKER_LOST);
  EXPECT_EQ(kills, LOSSES_MAX + 1);
  if (env.core.tasks.count(innocent) > 0) {
    EXPECT_LE(env.task(innocent).losses, LOSSES_BEFORE_ALONE);
  }
}

TEST(Workers, WhatIsSparedAgainAndAgainRunsAloneInTheEnd) {
  SchedEnv env;
  env.submit();
  auto second = env.submit();
  env.core.tasks.at(second).spared = SPARED_BEFORE_ALONE - 1;
  env.lose(env.join());
  EXPECT_EQ(env.task(second).losses, 0u);
  EXPECT_TRUE(env.task(second).runsAlone()) << "a result on its way hides that it had begun: alone nothing does";
}

// ---- work that waits at the wrong worker ---------------------------------------------------------------------------

// A worker with one slot that runs `held.front()`, which takes longer than it used to, and has the others waiting.
std::vector<TaskId> stall(SchedEnv& env, WorkerId& worker) {
  env.tell(1);
  env.core.functions.at(FunctionHash{0, 1}).runSeconds[0].add(1e-3);
  worker = env.join();
  std::vector<TaskId> held;
  for (int i = 0; i < 4; i++) held.push_back(env.submit());
  EXPECT_EQ(env.core.workers.at(worker).inflight.size(), 4u);
  env.takeSent();
  return held;
}

events::AttemptReport notRun(TaskId task, uint32_t attempt) {
  events::AttemptReport report;
  report.task = task;
  report.attempt = Attempt(attempt);
  report.notRun = true;
  return report;
}

TEST(Recall, WorkThatWaitsBehindALongAttemptGoesToAWorkerThatIsIdle) {
  SchedEnv env;
  WorkerId worker;
  auto held = stall(env, worker);
  auto idle = env.join();
  env.pass(env.core.limits.recallAfter / 2);
  EXPECT_THAT(env.outbox.recalled, IsEmpty()) << "it may yet begin where it is";
  env.pass(env.core.limits.recallAfter);
  EXPECT_THAT(env.outbox.recalled, ElementsAre(Sent{worker, held[3], Attempt(1)}))
      << "one slot is free: the newest goes there";
  env.report(worker, notRun(held[3], 1));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{idle, held[3], Attempt(2)}));
  EXPECT_EQ(env.task(held[3]).losses + env.task(held[3]).spared + env.task(held[3]).retriesDone, 0u)
      << "it is charged nothing";
}

TEST(Recall, AsksForAnAttemptOnceAndLeavesItWhereItHasBegun) {
  SchedEnv env;
  WorkerId worker;
  auto held = stall(env, worker);
  env.join();
  env.pass(10 * env.core.limits.recallAfter);
  EXPECT_EQ(env.outbox.recalled.size(), 3u) << "each that waits, and none twice";
  env.report(worker, SchedEnv::returned(held[3], 1));
  EXPECT_EQ(env.client().results.size(), 1u) << "the worker had begun it";
}

TEST(Recall, NothingIsSentAheadToAStalledWorkerUntilItHasMovedOn) {
  SchedEnv env;
  WorkerId worker;
  auto held = stall(env, worker);
  auto idle = env.join();
  env.pass(2 * env.core.limits.recallAfter);
  env.report(worker, notRun(held[3], 1));
  env.takeSent();
  env.outbox.recalled.clear();
  for (int i = 0; i < 30; i++) env.submit();
  for (auto& sent : env.takeSent()) EXPECT_EQ(sent.worker, idle);
  env.report(worker, SchedEnv::returned(held[0], 1));
  env.report(worker, SchedEnv::returned(held[1], 1));
  env.report(worker, SchedEnv::returned(held[2], 1));
  EXPECT_GT(env.core.workers.at(worker).inflight.size(), 1u);
}

TEST(Recall, ALateTimerIsNotPutOffByWhatElseHappens) {
  SchedEnv env;
  WorkerId worker;
  stall(env, worker);
  env.join();
  env.now += env.core.limits.recallAfter + 1 * kj::MILLISECONDS;
  env.events.onCancel(env.space, nullptr, env.now);
  env.events.onTick(env.now);
  EXPECT_EQ(env.outbox.recalled.size(), 1u);
}

TEST(Recall, NobodyIsAskedWhileNobodyIsIdle) {
  SchedEnv env;
  WorkerId worker;
  stall(env, worker);
  env.join(WorkerBuilder().offers(Level::MONITOR, 0).offers(Level::THREADS, 4));
  env.join(WorkerBuilder().host(2).python(0x30c));
  env.submit();
  env.submit(TaskBuilder().function(2));
  env.pass(10 * env.core.limits.recallAfter);
  for (auto& asked : env.outbox.recalled) EXPECT_EQ(asked.worker, worker);
}

TEST(Recall, WhatOnlyItsWorkerFitsStaysThere) {
  SchedEnv env;
  env.tell(1, 0x30b);
  env.core.functions.at(FunctionHash{0, 1}).runSeconds[0].add(1e-3);
  auto worker = env.join();
  for (int i = 0; i < 4; i++) env.submit();
  ASSERT_EQ(env.core.workers.at(worker).inflight.size(), 4u);
  env.join(WorkerBuilder().python(0x30c));
  env.pass(1 * kj::SECONDS);
  EXPECT_THAT(env.outbox.recalled, IsEmpty());
}

TEST(Recall, WorkIsLookedAtOftenOnlyWhileAnyWasSentAhead) {
  SchedEnv env;
  env.join();
  env.join();
  env.pass(1 * kj::SECONDS);
  EXPECT_FALSE(env.outbox.wakesBy(env.now + env.core.limits.recallAfter));
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

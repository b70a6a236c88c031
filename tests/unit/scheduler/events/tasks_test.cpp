// One task's way through its states.
#include "support/sched_env.h"
#include "wire/task_spec.h"

namespace epochly::test {
namespace {

using core::Outcome;
using core::TaskState;
using testing::ElementsAre;

TEST(Tasks, ASubmittedTaskIsStoredAndSentAtOnceWhenAWorkerFits) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, task, Attempt(1)}));
  EXPECT_THAT(env.outbox.stored, ElementsAre(task));
  EXPECT_EQ(env.task(task).state, TaskState::ASSIGNED);
}

TEST(Tasks, AResultEndsTheTaskAndAwaitsAcknowledgement) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.now += 5 * kj::MILLISECONDS;
  env.report(worker, SchedEnv::returned(task, 1, 1e-3));
  EXPECT_EQ(env.core.tasks.count(task), 0u);
  EXPECT_THAT(env.outbox.ready, ElementsAre(env.space));
  EXPECT_EQ(env.lastResult().outcome, Outcome::SUCCEEDED);
  EXPECT_EQ(env.lastResult().timings.transfer, 4'000'000u) << "5 ms less 1 ms in user code";
  EXPECT_EQ(env.core.endedById.at(task)->outcome, Outcome::SUCCEEDED);
  env.events.onResultsSent(env.space, 1);
  EXPECT_EQ(env.client().results.size(), 1u) << "sent is not acknowledged";
  env.events.onAcknowledged(env.space, 1);
  EXPECT_EQ(env.client().results.size(), 0u);
  EXPECT_THAT(env.outbox.forgotten, ElementsAre(task));
}

TEST(Tasks, ASecondResultForTheSameAttemptIsStale) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.report(worker, SchedEnv::returned(task, 1));
  env.report(worker, SchedEnv::returned(task, 1));
  EXPECT_EQ(env.core.totals.staleResults, 1u);
  EXPECT_EQ(env.client().results.size(), 1u);
}

TEST(Tasks, AnotherWorkersResultIsStale) {
  SchedEnv env;
  env.join();
  auto task = env.submit();
  auto other = env.join();
  env.report(other, SchedEnv::returned(task, 1));
  env.report(WorkerId(77), SchedEnv::returned(task, 1));
  EXPECT_EQ(env.core.totals.staleResults, 2u);
  EXPECT_EQ(env.task(task).state, TaskState::ASSIGNED);
}

TEST(Tasks, ARepeatedSubmissionIsAcceptedOnceAndNotRunTwice) {
  SchedEnv env;
  env.join();
  env.submit();
  env.takeSent();
  std::vector<events::NewTask> again;
  again.push_back(TaskBuilder().build());
  again.back().seq = 1;
  EXPECT_EQ(env.submitAll(kj::mv(again)).accepted, 1u);
  EXPECT_EQ(env.core.totals.duplicates, 1u);
  env.expectNothingSent();
}

TEST(Tasks, AFailureWithoutRetriesEndsTheTask) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.report(worker, SchedEnv::failed(task, 1));
  EXPECT_EQ(env.lastResult().outcome, Outcome::FAILED);
  EXPECT_EQ(env.lastResult().failure.code, ErrorCode::USER_EXCEPTION);
}

TEST(Tasks, AFailureWithRetriesRunsAgainAfterABackoffThatDoubles) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit(TaskBuilder().retries(2));
  env.takeSent();
  for (uint32_t attempt : {1u, 2u}) {
    env.report(worker, SchedEnv::failed(task, attempt));
    EXPECT_EQ(env.task(task).state, TaskState::BACKOFF);
    auto delay = env.core.limits.retryDelay * (attempt == 1 ? int64_t(1) : int64_t(2));
    auto due = env.core.backoff.begin()->first;
    EXPECT_TRUE(due > env.now + delay / 2 && due <= env.now + delay);
    env.expectNothingSent();
    env.passAlive(delay);
    EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, task, Attempt(attempt + 1)}));
  }
  env.report(worker, SchedEnv::failed(task, 3));
  EXPECT_EQ(env.lastResult().outcome, Outcome::FAILED);
  EXPECT_EQ(env.lastResult().attempt, Attempt(3));
}

TEST(Tasks, ErrorsThatAnotherAttemptCannotMendAreNotRetried) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit(TaskBuilder().retries(5));
  env.report(worker, SchedEnv::failed(task, 1, ErrorCode::RESULT_UNPICKLABLE));
  EXPECT_EQ(env.lastResult().failure.code, ErrorCode::RESULT_UNPICKLABLE);
}

TEST(Tasks, AnAttemptThatNeverRanIsNotCharged) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.takeSent();
  auto report = SchedEnv::returned(task, 1);
  report.notRun = true;
  env.report(worker, kj::mv(report));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, task, Attempt(2)}));
  EXPECT_EQ(env.task(task).retriesDone, 0u);
}

TEST(Tasks, CancellingAQueuedTaskEndsIt) {
  SchedEnv env;
  auto task = env.submit();
  env.events.onCancel(env.space, {task.seq}, env.now);
  EXPECT_EQ(env.lastResult().outcome, Outcome::CANCELLED);
  EXPECT_EQ(env.core.tasks.size(), 0u);
}

TEST(Tasks, CancellingATaskInBackoffEndsIt) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit(TaskBuilder().retries(1));
  env.report(worker, SchedEnv::failed(task, 1));
  env.events.onCancel(env.space, {task.seq}, env.now);
  EXPECT_EQ(env.lastResult().outcome, Outcome::CANCELLED);
  EXPECT_TRUE(env.core.backoff.empty());
}

TEST(Tasks, CancellingARunningTaskAsksTheWorkerAndAwaitsItsAnswer) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit(TaskBuilder().retries(3));
  env.events.onCancel(env.space, {task.seq}, env.now);
  EXPECT_THAT(env.outbox.cancelled, ElementsAre(Sent{worker, task, Attempt(1)}));
  EXPECT_EQ(env.task(task).state, TaskState::ASSIGNED);
  env.report(worker, SchedEnv::failed(task, 1, ErrorCode::EXECUTOR_DIED));
  EXPECT_EQ(env.lastResult().outcome, Outcome::CANCELLED) << "not retried, and not an error";
}

TEST(Tasks, AResultThatCrossedItsCancellationIsDelivered) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.events.onCancel(env.space, {task.seq}, env.now);
  env.report(worker, SchedEnv::returned(task, 1));
  EXPECT_EQ(env.lastResult().outcome, Outcome::SUCCEEDED);
}

TEST(Tasks, EpitaphsAreBoundedAndTheOldestGoFirst) {
  SchedEnv env;
  env.core.limits.endedMax = 2;
  auto worker = env.join();
  std::vector<TaskId> tasks;
  for (int i = 0; i < 3; i++) {
    tasks.push_back(env.submit());
    env.report(worker, SchedEnv::returned(tasks.back(), 1));
  }
  EXPECT_EQ(env.core.endedById.count(tasks[0]), 0u);
  EXPECT_EQ(env.core.endedById.count(tasks[2]), 1u);
}

TEST(Tasks, WhatWasMeasuredDecidesTheNextLevel) {
  SchedEnv env;
  auto worker = env.join(WorkerBuilder().offers(Level::THREADS, 4));
  auto first = env.submit();
  EXPECT_EQ(env.task(first).levelChosen, Level::MONITOR);
  env.report(worker, SchedEnv::returned(first, 1, 0.1, 0.001));
  auto second = env.submit();
  EXPECT_EQ(env.task(second).levelChosen, Level::THREADS);
  EXPECT_EQ(env.task(second).reason, core::Reason::IO_BOUND);
}

TEST(Tasks, WhatABusyMachineKeptFromRunningIsNotHeldToWait) {
  SchedEnv env;
  auto worker = env.join();
  auto report = SchedEnv::returned(env.submit(), 1, 0.1, 0.04);
  report.timings.wait = 0;  // the other 60 ms it was ready to run
  env.report(worker, kj::mv(report));
  EXPECT_EQ(env.core.functions.at(FunctionHash{0, 1}).workload().ioWaitRatio, 0);
}

TEST(Tasks, FailedCallsAreCountedButTeachNothingAboutTime) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.report(worker, SchedEnv::failed(task, 1));
  auto& function = env.core.functions.at(FunctionHash{0, 1});
  EXPECT_EQ(function.errors, 1u);
  EXPECT_TRUE(std::isnan(function.expectedRunSeconds(Level::MONITOR)));
}

TEST(Tasks, TheTasksOwnDataSizeClassifiesIt) {
  SchedEnv env;
  auto task = env.submit(TaskBuilder().dataSize(200'000));
  EXPECT_EQ(env.task(task).levelChosen, Level::MULTICORE);
}

}  // namespace
}  // namespace epochly::test

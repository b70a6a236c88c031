// Which level, which worker, and what happens when nobody fits.
#include "support/sched_env.h"

namespace epochly::test {
namespace {

using core::TaskState;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(Placement, AnOfferedLevelIsObeyed) {
  SchedEnv env;
  env.join();
  auto jit = env.join(WorkerBuilder().offers(Level::JIT, 1));
  auto task = env.submit(TaskBuilder().level(Level::JIT));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{jit, task, Attempt(1)}));
  EXPECT_EQ(env.task(task).notOffered, 0u);
}

TEST(Placement, ALevelThatNobodyOffersFallsAndTheResultSaysSo) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit(TaskBuilder().level(Level::GPU));
  EXPECT_EQ(env.task(task).level, Level::MONITOR);
  env.report(worker, SchedEnv::returned(task, 1));
  auto& placement = env.lastResult().placement;
  EXPECT_EQ(placement.levelChosen, Level::GPU);
  EXPECT_EQ(placement.levelRan, Level::MONITOR);
  ASSERT_EQ(placement.declined.size(), 3u);
  EXPECT_EQ(placement.declined[0].level, Level::GPU);
  EXPECT_EQ(placement.declined[1].level, Level::MULTICORE);
  EXPECT_EQ(placement.declined[2].level, Level::JIT);
  EXPECT_STREQ(placement.declined[2].reason.cStr(), "no worker that has joined offers jit");
}

TEST(Placement, ItFallsToTheNextThatIsOfferedAndNoFurther) {
  SchedEnv env;
  env.join(WorkerBuilder().offers(Level::JIT, 1));
  auto task = env.submit(TaskBuilder().level(Level::GPU));
  EXPECT_EQ(env.task(task).level, Level::JIT);
}

TEST(Placement, BeforeAnyWorkerJoinsNothingFallsAndNothingFails) {
  SchedEnv env;
  auto task = env.submit(TaskBuilder().level(Level::JIT));
  env.pass(1 * kj::HOURS);
  EXPECT_EQ(env.task(task).state, TaskState::QUEUED);
  EXPECT_EQ(env.task(task).level, Level::JIT);
  env.join();
  EXPECT_EQ(env.task(task).level, Level::MONITOR);
  EXPECT_EQ(env.task(task).state, TaskState::ASSIGNED);
}

TEST(Placement, WhenTheOnlyOfferingWorkerLeavesWhatIsQueuedFalls) {
  SchedEnv env;
  auto jit = env.join(WorkerBuilder().offers(Level::JIT, 1));
  std::vector<TaskId> tasks;
  for (int i = 0; i < 8; i++) tasks.push_back(env.submit(TaskBuilder().level(Level::JIT)));
  auto plain = env.join();
  env.takeSent();
  env.lose(jit);
  auto sent = env.takeSent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].worker, plain);
  EXPECT_EQ(sent[0].task, tasks[0]);
  for (auto id : tasks) EXPECT_EQ(env.task(id).level, Level::MONITOR);
}

TEST(Placement, BytecodeGoesOnlyToItsPython) {
  SchedEnv env;
  env.tell(7, 0x30c);
  env.join(WorkerBuilder().python(0x30b));
  auto task = env.submit(TaskBuilder().function(7));
  env.expectNothingSent();
  auto right = env.join(WorkerBuilder().python(0x30c));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{right, task, Attempt(1)}));
}

TEST(Placement, NobodyOfTheRightPythonFailsTheTaskAfterTheGraceWithTheReason) {
  SchedEnv env;
  env.tell(7, 0x30c);
  env.join(WorkerBuilder().python(0x30b));
  auto task = env.submit(TaskBuilder().function(7));
  env.passAlive(env.core.limits.unfitGrace - 1 * kj::SECONDS);
  EXPECT_EQ(env.task(task).state, TaskState::QUEUED);
  env.passAlive(2 * kj::SECONDS);
  auto& failure = env.lastResult().failure;
  EXPECT_EQ(failure.code, ErrorCode::NO_FITTING_WORKER);
  EXPECT_NE(std::string(failure.message.cStr()).find("bytecode needs 3.12"), std::string::npos) << failure.message.cStr();
}

TEST(Placement, ATaskThatComesBackForItsRetryWaitsForAFitAsLongAsAnyOther) {
  SchedEnv env;
  env.core.limits.retryDelay = env.core.limits.retryDelayMax = 40 * kj::SECONDS;
  env.tell(1, 0x30b);
  env.join(WorkerBuilder().python(0x30c));
  auto fitting = env.join(WorkerBuilder().python(0x30b));
  auto retried = env.submit(TaskBuilder().retries(1));
  env.report(fitting, SchedEnv::failed(retried, 1));
  env.lose(fitting);
  env.submit();
  env.passAlive(11 * kj::SECONDS);
  EXPECT_EQ(env.lastResult().failure.code, ErrorCode::NO_FITTING_WORKER);
  while (env.task(retried).state == core::TaskState::BACKOFF) env.passAlive(500 * kj::MILLISECONDS);
  env.passAlive(9 * kj::SECONDS);
  ASSERT_EQ(env.core.tasks.count(retried), 1u) << "it has waited 9 s of 10";
  env.passAlive(2 * kj::SECONDS);
  EXPECT_EQ(env.core.tasks.count(retried), 0u);
}

TEST(Placement, QueuesThatNobodyStandsInAnyMoreAreForgotten) {
  SchedEnv env;
  env.join();
  for (uint64_t host = 10; host < 20; host++) {
    auto task = env.submit(TaskBuilder().onHost(host));
    env.events.onCancel(env.space, kj::arrayPtr(&task.seq, 1), env.now);
  }
  env.pass(1 * kj::SECONDS);
  EXPECT_EQ(env.core.queues.size(), 0u);
}

TEST(Placement, SharedMemoryBindsATaskToItsHost) {
  SchedEnv env;
  env.join(WorkerBuilder().host(1));
  auto there = env.join(WorkerBuilder().host(2));
  auto task = env.submit(TaskBuilder().onHost(2));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{there, task, Attempt(1)}));
}

TEST(Placement, AWindowHoldsAsMuchUnknownWorkAsOneSlotAndHalfAHorizon) {
  SchedEnv env;
  auto worker = env.join();
  for (int i = 0; i < 10; i++) env.submit();
  EXPECT_EQ(env.core.workers.at(worker).inflight.size(), 2u);
}

TEST(Placement, AWindowIsReckonedInTimeOnceTheFunctionIsKnown) {
  SchedEnv env;
  auto worker = env.join();
  auto& function = (env.tell(1), env.core.functions.at(FunctionHash{0, 1}));
  function.runSeconds[0].add(1e-3);
  for (int i = 0; i < 100; i++) env.submit();
  EXPECT_EQ(env.core.workers.at(worker).inflight.size(), 10u) << "10 ms ahead at 1 ms each";
}

TEST(Placement, AWindowOfTinyTasksStopsAtTheBoundPerSlot) {
  SchedEnv env;
  env.core.limits.prefetchMax = 5;
  auto worker = env.join(WorkerBuilder().cpus(2));
  env.tell(1);
  env.core.functions.at(FunctionHash{0, 1}).runSeconds[0].add(1e-9);
  for (int i = 0; i < 100; i++) env.submit();
  EXPECT_EQ(env.core.workers.at(worker).inflight.size(), 12u);
}

TEST(Placement, AWindowStopsAtTheBoundPerWorker) {
  SchedEnv env;
  env.core.limits.inflightMax = 7;
  auto worker = env.join(WorkerBuilder().cpus(4));
  env.tell(1);
  env.core.functions.at(FunctionHash{0, 1}).runSeconds[0].add(1e-9);
  for (int i = 0; i < 100; i++) env.submit();
  EXPECT_EQ(env.core.workers.at(worker).inflight.size(), 7u);
}

TEST(Placement, TheOldestTaskGoesFirstWhateverItsLevel) {
  SchedEnv env;
  auto worker = env.join(WorkerBuilder().cpus(1).offers(Level::JIT, 1));
  auto& limits = env.core.limits;
  limits.prefetch = 0 * kj::SECONDS;
  auto running = env.submit();
  env.now += 1 * kj::MILLISECONDS;
  auto jit = env.submit(TaskBuilder().level(Level::JIT));
  env.now += 1 * kj::MILLISECONDS;
  env.submit(TaskBuilder().level(Level::MONITOR));
  env.takeSent();
  env.report(worker, SchedEnv::returned(running, 1));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, jit, Attempt(1)}));
}

TEST(Placement, IoTasksDoNotWaitForCpuSlots) {
  SchedEnv env;
  auto worker = env.join(WorkerBuilder().cpus(1).offers(Level::THREADS, 3));
  for (int i = 0; i < 5; i++) env.submit();
  env.takeSent();
  std::vector<TaskId> io;
  for (int i = 0; i < 3; i++) io.push_back(env.submit(TaskBuilder().level(Level::THREADS)));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, io[0], Attempt(1)}, Sent{worker, io[1], Attempt(1)},
                                          Sent{worker, io[2], Attempt(1)}));
}

TEST(Placement, ExplainNamesEachWorkersReason) {
  SchedEnv env;
  env.tell(7, 0x30c);
  auto task = env.submit(TaskBuilder().function(7));
  auto text = [&] { return std::string(route::explain(env.task(task), env.core, env.core.limits, env.now).cStr()); };
  EXPECT_NE(text().find("no worker has joined"), std::string::npos);
  env.join(WorkerBuilder().python(0x30b));
  EXPECT_NE(text().find("it runs Python 3.11, the function's bytecode needs 3.12"), std::string::npos) << text();
  env.join(WorkerBuilder().python(0x30c));
  EXPECT_NE(text().find("was sent to worker"), std::string::npos) << text();
}

}  // namespace
}  // namespace epochly::test

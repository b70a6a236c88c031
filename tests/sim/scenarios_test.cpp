// Worlds made for one kind of trouble each, where the drawn ones have it mixed and seldom at its worst.
#include <gtest/gtest.h>

#include "sim/world.h"
#include "wire/task_spec.h"

namespace epochly::sim {
namespace {

Plan plan(double workers, double clients, double tasks) {
  Plan plan;
  plan.workers = workers;
  plan.clients = clients;
  plan.tasks = tasks;
  return plan;
}

// Some worlds of this plan, each with a seed of its own; every rule must hold in all of them.
Stats run(Plan plan, uint64_t worlds = 20) {
  Stats sum;
  plan.makeViable();
  for (plan.seed = 1; plan.seed <= worlds; plan.seed++) {
    auto verdict = simulate(plan);
    KJ_IF_MAYBE(violation, verdict.violation) {
      ADD_FAILURE() << violation->cStr() << "\nreplay: ./dev sim --seed " << plan.seed << " --calm "
                    << plan.describe().cStr();
    }
    sum += verdict.stats;
  }
  EXPECT_GT(sum.tasks, 0u);
  return sum;
}

uint64_t failures(const Stats& stats, ErrorCode code) { return stats.failures[static_cast<uint>(code)]; }

TEST(Scenario, EveryMessageIsDoubledAndEachTaskStillEndsOnce) {
  auto world = plan(4, 3, 100);
  world.doubledReports = world.doubledSubmissions = 1;
  auto stats = run(world);
  EXPECT_EQ(stats.succeeded, stats.tasks);
  EXPECT_GE(stats.staleReports, stats.tasks) << "every report was told twice, the second is stale";
}

TEST(Scenario, AllWorkersCrashAtOnce) {
  auto world = plan(50, 4, 400);
  world.runMs = 500;
  world.crashAllAt = 2;
  auto stats = run(world, 5);
  EXPECT_EQ(stats[Fault::WORKER_CRASHED], 5 * 50u);
  EXPECT_EQ(stats.succeeded, stats.tasks);
  EXPECT_GT(stats.attempts, stats.tasks);
}

TEST(Scenario, AClientThatIsLostForEverIsForgottenAndItsTasksEnd) {
  auto world = plan(2, 4, 100);
  world.vanishing = 1;
  world.clientGraceMs = 1000;
  world.runMs = 100;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::CLIENT_VANISHED], 0u);
  EXPECT_GT(stats.cancelled, 0u);
}

TEST(Scenario, AClientThatReturnsInTimeLosesNothingAndOneThatIsLateKnowsIt) {
  auto world = plan(4, 4, 100);
  world.awaySeconds = 1;
  world.awayLong = 0.3;
  world.clientGraceMs = 500;
  world.delayMs = 20;
  auto stats = run(world, 100);
  EXPECT_GT(stats[Fault::CLIENT_FORGOTTEN], 0u);
  EXPECT_GT(stats[Fault::RESULT_REPEATED], 0u);
  EXPECT_GT(stats[Fault::SUBMISSION_RESENT], 0u);
}

TEST(Scenario, ASchedulerToldToDrainFinishesWhatItAccepted) {
  auto world = plan(4, 4, 200);
  world.drainAt = 1;
  world.cutSeconds = 1;
  auto stats = run(world);
  EXPECT_EQ(stats[Fault::SCHEDULER_DRAINED], 20u);
  EXPECT_GT(stats.succeeded, 0u);
}

TEST(Scenario, AFlappingWorkerGetsItsTasksDoneInTheEnd) {
  auto world = plan(1, 2, 30);
  world.crashSeconds = 0.5;
  world.downSeconds = 0.1;
  world.runMs = 20;
  world.turmoilSeconds = 20;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::WORKER_CRASHED], 20 * 10u);
  EXPECT_EQ(stats.succeeded + failures(stats, ErrorCode::WORKER_LOST), stats.tasks);
}

TEST(Scenario, AFunctionThatKillsItsWorkersIsGivenUpAfterSoManyLosses) {
  auto world = plan(3, 1, 3);
  world.poison = 1;
  world.downSeconds = 0.05;
  auto stats = run(world);
  EXPECT_EQ(failures(stats, ErrorCode::WORKER_LOST), stats.tasks);
  EXPECT_EQ(stats.attempts, 17 * stats.tasks) << "LOSSES_MAX and one more";
}

TEST(Scenario, TheNeighboursOfAFunctionThatKillsWorkersAllSucceed) {
  auto world = plan(4, 2, 60);
  world.functions = 12;
  world.poison = 0.1;
  world.runMs = 50;
  world.downSeconds = 0.05;
  auto stats = run(world);
  auto killers = failures(stats, ErrorCode::WORKER_LOST);
  EXPECT_GT(killers, 0u);
  EXPECT_GT(stats.succeeded, 0u);
  EXPECT_EQ(stats.succeeded + killers, stats.tasks);
  EXPECT_LE(stats[Fault::WORKER_CRASHED], killers * (LOSSES_MAX + 1 + SPARED_BEFORE_ALONE));
  EXPECT_GT(stats[Fault::TASK_RAN_ALONE], killers);
}

TEST(Scenario, WorkThatWaitsBehindAStragglerGoesToAnIdleWorker) {
  auto world = plan(4, 2, 500);
  world.burst = 500;
  world.functions = 4;
  world.runMs = 3;
  world.stragglers = 0.02;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::ATTEMPT_RECALLED], 0u);
  EXPECT_EQ(stats.succeeded, stats.tasks);
}

TEST(Scenario, StragglersDelayNobodyForEver) {
  auto world = plan(3, 3, 100);
  world.stragglers = 0.1;
  world.runMs = 50;
  auto stats = run(world);
  EXPECT_EQ(stats.succeeded, stats.tasks);
}

TEST(Scenario, EveryBoundIsMetAndNothingIsDropped) {
  auto world = plan(6, 6, 200);
  world.functions = 40;
  world.burst = 200;
  world.tasksMax = 3;
  world.argumentBytesMax = 1;  // raised to one task's worth
  world.resultBytesMax = 1;
  world.functionsMax = 1;  // raised to what clients may pin
  world.workersMax = 2;
  world.clientsMax = 2;
  world.endedMax = 1;
  world.inflightMax = 1;
  auto stats = run(world, 5);
  EXPECT_EQ(stats.succeeded, stats.tasks);
  EXPECT_GT(stats[Fault::SUBMISSION_OVERLOADED], 0u);
  EXPECT_GT(stats[Fault::FUNCTION_EVICTED], 0u);
  EXPECT_GT(stats[Fault::WORKER_REFUSED], 0u);
  EXPECT_GT(stats[Fault::CLIENT_REFUSED], 0u);
}

TEST(Scenario, NoRoomForAnotherFunctionUntilOneIsUnused) {
  auto world = plan(2, 6, 100);
  world.functions = 60;
  world.functionsMax = 1;
  world.functionBytesMax = 1;
  world.cutSeconds = 0.5;  // a lost connection keeps its functions until the scheduler learns of it
  world.noticeSeconds = 2;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::FUNCTION_OVERLOADED], 0u);
}

TEST(Scenario, TasksForAnotherPythonOrHostFailInTimeAndTheOthersRun) {
  auto world = plan(2, 4, 100);
  world.pythons = 4;
  world.hosts = 4;
  world.functions = 10;
  world.sharedArguments = 0.3;
  world.unfitGraceMs = 500;
  auto stats = run(world);
  EXPECT_GT(stats.succeeded, 0u);
  EXPECT_GT(failures(stats, ErrorCode::NO_FITTING_WORKER), 0u);
}

TEST(Scenario, ARetryWaitsForAFittingWorkerAsLongAsAnyTask) {
  auto world = plan(3, 3, 60);
  world.pythons = 4;
  world.functions = 8;
  world.retries = 6;
  world.failing = 0.5;
  world.retryDelayMs = 200;
  world.unfitGraceMs = 100;
  world.leaveSeconds = 1;
  world.crashSeconds = 2;
  world.turmoilSeconds = 20;
  auto stats = run(world);
  EXPECT_GT(failures(stats, ErrorCode::NO_FITTING_WORKER), 0u);
}

TEST(Scenario, ARetryStormIsBoundedByWhatEachTaskAskedFor) {
  auto world = plan(4, 3, 40);
  world.failing = 1;
  world.retries = 30;
  world.retryDelayMs = 1;
  world.retryDelayMaxMs = 5;
  auto stats = run(world);
  EXPECT_EQ(failures(stats, ErrorCode::USER_EXCEPTION), stats.tasks);
  EXPECT_GT(stats.attempts, 5 * stats.tasks);
  EXPECT_LE(stats.attempts, 31 * stats.tasks);
}

TEST(Scenario, EveryTaskIsCancelledSometime) {
  auto world = plan(3, 3, 100);
  world.cancels = 1;
  world.runMs = 100;
  world.failing = 0.3;
  world.retries = 5;
  world.retryDelayMs = 100;
  auto stats = run(world);
  EXPECT_GT(stats.cancelled, 0u);
  EXPECT_GT(stats.succeeded, 0u) << "some were too late";
}

TEST(Scenario, WorkersFreezeAndComeBackWithStaleResults) {
  auto world = plan(6, 3, 100);
  world.freezeSeconds = 2;
  world.heartbeatMs = 200;
  world.runMs = 50;
  world.late = 1;
  world.turmoilSeconds = 20;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::WORKER_SILENT], 0u);
  EXPECT_GT(stats.staleReports, 0u);
}

TEST(Scenario, ASchedulerThatPausesBlamesNobody) {
  auto world = plan(6, 3, 100);
  world.stallSeconds = 3;
  world.turmoilSeconds = 30;
  world.runMs = 100;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::SCHEDULER_STALLED], 0u);
  EXPECT_EQ(stats[Fault::WORKER_SILENT], 0u) << "all of them were beating";
  EXPECT_EQ(stats.succeeded, stats.tasks);
}

TEST(Scenario, ConnectionsFailAllTheTime) {
  auto world = plan(6, 4, 100);
  world.cutSeconds = 0.3;
  world.noticeSeconds = 1;
  world.turmoilSeconds = 20;
  world.late = 0.5;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::MESSAGE_LOST], 0u);
  EXPECT_EQ(stats.succeeded + failures(stats, ErrorCode::WORKER_LOST) + stats.cancelled, stats.tasks);
}

TEST(Scenario, WorkersComeAndGoInOrder) {
  auto world = plan(6, 3, 200);
  world.leaveSeconds = 0.5;
  world.downSeconds = 0.2;
  world.runMs = 30;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::WORKER_LEFT], 0u);
  EXPECT_EQ(stats.succeeded, stats.tasks);
}

TEST(Scenario, CallsThatNoHonestPeerMakesChangeNothing) {
  auto world = plan(4, 3, 100);
  world.mischiefSeconds = 0.002;
  auto stats = run(world);
  EXPECT_GT(stats[Fault::MISCHIEF], 20 * 1000u);
  EXPECT_EQ(stats.succeeded, stats.tasks);
}

TEST(Scenario, HundredsOfWorkersUnderEveryFault) {
  auto world = plan(300, 10, 200);
  world.runMs = 100;
  world.failing = world.dying = world.notRun = world.declining = 0.1;
  world.retries = 4;
  world.cancels = 0.1;
  world.explicitLevels = 0.5;
  world.cutSeconds = 10;
  world.crashSeconds = 10;
  world.freezeSeconds = 20;
  world.leaveSeconds = 20;
  world.awaySeconds = 3;
  world.doubledReports = world.doubledSubmissions = world.late = 0.3;
  world.stallSeconds = 5;
  world.mischiefSeconds = 0.05;
  auto stats = run(world, 2);
  EXPECT_GT(stats[Fault::WORKER_CRASHED], 100u);
}

}  // namespace
}  // namespace epochly::sim

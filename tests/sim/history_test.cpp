// That the checker can fail: each rule, broken by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/history.h"
#include "wire/task_spec.h"

namespace epochly::sim {
namespace {

constexpr SpaceId SPACE{1};
constexpr TaskId TASK{SPACE, 1};
constexpr WorkerId WORKER{1}, OTHER{2};

// A core whose tables the test writes itself, and one task that was offered.
class Rules : public testing::Test {
 protected:
  Rules() {
    functions[0].hash = FunctionHash{0, 1};
    function.hash = functions[0].hash;
    task.id = TASK;
    task.function = &function;
    core.limits.endedMax = 0;  // it writes no epitaphs
    core.clients[SPACE].space = SPACE;
    for (auto id : {WORKER, OTHER}) {
      auto& worker = core.workers[id];
      worker.id = id;
      worker.spec.slots[0] = 1;
      worker.pools[0].slots = 1;
      history.workerJoined(worker);
    }
  }

  Context context{Plan(), false};
  core::Core core;
  std::vector<FunctionSpec> functions = std::vector<FunctionSpec>(1);
  History history{context, core, functions};
  core::Function function;
  core::Task task;
  TaskSpec spec{.seq = 1};

  void offer() { history.offering(SPACE, {spec}); }
  void accept() {
    offer();
    history.submitted(task);
    history.accepted(task);
  }
  void assign(WorkerId worker, uint32_t attempt) {
    task.worker = worker;
    task.attempt = Attempt(attempt);
    task.state = core::TaskState::ASSIGNED;
    history.assigned(task, 0 * kj::SECONDS);
  }
  static Report reportOf(WorkerId worker, uint32_t attempt) {
    Report report;
    report.stamp = Stamp{TASK, Attempt(attempt), worker};
    return report;
  }
  // The attempt returns; its result, stamped by `stamp`, ends the task.
  void finish(WorkerId worker, uint32_t attempt, const Stamp& stamp) {
    std::vector<Report> reports{reportOf(worker, attempt)};
    history.reporting(worker, reports);
    history.attemptEnded(task, core::AttemptEnd::RETURNED);
    end(core::Outcome::SUCCEEDED, stamp);
    history.reported();
  }
  core::Result result(core::Outcome outcome, const Stamp& stamp = Stamp()) {
    core::Result result;
    result.id = TASK;
    result.outcome = outcome;
    result.attempt = task.attempt;
    result.value.pickle = stamp.write(0);
    result.placement.worker = stamp.worker;
    return result;
  }
  void end(core::Outcome outcome, const Stamp& stamp = Stamp()) {
    history.ended(task, result(outcome, stamp), 0 * kj::SECONDS);
  }
  void endFailed(ErrorCode code) {
    auto failed = result(core::Outcome::FAILED);
    failed.failure = Failure::of(code, kj::str("for a test"));
    history.ended(task, failed, 0 * kj::SECONDS);
  }

  template <typename Fn>
  void expectViolation(const char* text, Fn&& fn) {
    try {
      fn();
      ADD_FAILURE() << "no violation: " << text;
    } catch (const Violation& violation) {
      EXPECT_THAT(violation.what(), testing::HasSubstr(text));
    }
  }
};

TEST_F(Rules, ATaskIsAcceptedOnlyIfItWasOffered) {
  expectViolation("not offered", [&] { history.submitted(task); });
}

TEST_F(Rules, ATaskIsAcceptedOnce) {
  accept();
  expectViolation("accepted twice", [&] { history.submitted(task); });
}

TEST_F(Rules, WhatIsAcceptedIsWhatWasOffered) {
  offer();
  task.levelAsked = 2;
  expectViolation("not what its client offered", [&] { history.submitted(task); });
}

TEST_F(Rules, AReceiptCoversOnlyWhatWasAccepted) {
  offer();
  expectViolation("never accepted", [&] { history.receipted(SPACE, {spec}, events::Receipt{1, nullptr}); });
}

TEST_F(Rules, NothingIsRefusedWithoutABound) {
  offer();
  expectViolation("no bound is met", [&] { history.receipted(SPACE, {spec}, events::Receipt{0, 1 * kj::MILLISECONDS}); });
}

TEST_F(Rules, ATaskEndsOnce) {
  accept();
  history.cancelling(SPACE, {1});
  end(core::Outcome::CANCELLED);
  expectViolation("ended twice", [&] { end(core::Outcome::CANCELLED); });
}

TEST_F(Rules, AnEndIsRemembered) {
  core.limits.endedMax = 1;
  accept();
  history.cancelling(SPACE, {1});
  expectViolation("nothing is remembered", [&] { end(core::Outcome::CANCELLED); });
}

TEST_F(Rules, ATaskDoesNotEndWhileAWorkerHasIt) {
  accept();
  assign(WORKER, 1);
  history.cancelling(SPACE, {1});
  expectViolation("while worker 1 has it", [&] { end(core::Outcome::CANCELLED); });
}

TEST_F(Rules, ATaskIsOnOneWorkerAtATime) {
  accept();
  assign(WORKER, 1);
  expectViolation("while worker 1 has it", [&] { assign(OTHER, 2); });
}

TEST_F(Rules, AttemptsCountUp) {
  accept();
  expectViolation("attempt 2 after 0", [&] { assign(WORKER, 2); });
}

TEST_F(Rules, ATaskGoesOnlyWhereItFits) {
  accept();
  core.workers.at(WORKER).spec.slots[0] = 0;
  expectViolation("does not fit", [&] { assign(WORKER, 1); });
}

TEST_F(Rules, AWorkerHoldsNoMoreThanItsWindow) {
  accept();
  core.limits.inflightMax = 1;
  core.workers.at(WORKER).pools[0].inflight = 2;
  expectViolation("its window is 1", [&] { assign(WORKER, 1); });
}

TEST_F(Rules, OnlyItsWorkerEndsAnAttempt) {
  accept();
  assign(WORKER, 1);
  std::vector<Report> reports{reportOf(OTHER, 1)};
  history.reporting(OTHER, reports);
  expectViolation("by a report of worker 2", [&] { history.attemptEnded(task, core::AttemptEnd::RETURNED); });
}

TEST_F(Rules, OnlyAReportOfThatAttemptEndsIt) {
  accept();
  assign(WORKER, 1);
  std::vector<Report> reports{reportOf(WORKER, 7)};
  history.reporting(WORKER, reports);
  expectViolation("by no report", [&] { history.attemptEnded(task, core::AttemptEnd::RETURNED); });
}

TEST_F(Rules, AStaleReportIsCounted) {
  accept();
  std::vector<Report> reports{reportOf(WORKER, 1)};
  history.reporting(WORKER, reports);
  expectViolation("stale reports", [&] { history.reported(); });
}

TEST_F(Rules, AValueComesFromTheAttemptThatIsCurrent) {
  accept();
  assign(WORKER, 1);
  expectViolation("not attempt 1 on worker 1", [&] { finish(WORKER, 1, Stamp{TASK, Attempt(1), OTHER}); });
}

TEST_F(Rules, ARepeatedResultIsTheSameResult) {
  accept();
  assign(WORKER, 1);
  Stamp stamp{TASK, Attempt(1), WORKER};
  finish(WORKER, 1, stamp);
  ClientResult told{1, core::Outcome::SUCCEEDED, ErrorCode::NONE, Attempt(1), stamp};
  auto other = told;
  other.attempt = Attempt(2);
  expectViolation("another end", [&] { history.delivered(SPACE, other); });
  history.delivered(SPACE, told);
  expectViolation("taken twice", [&] { history.delivered(SPACE, told); });
}

TEST_F(Rules, NobodyIsToldOfAnEndThatWasNot) {
  accept();
  expectViolation("has not ended", [&] { history.delivered(SPACE, ClientResult{1}); });
  expectViolation("never accepted", [&] { history.delivered(SPACE, ClientResult{2}); });
}

TEST_F(Rules, NothingIsCancelledUnasked) {
  accept();
  expectViolation("nobody asked", [&] { end(core::Outcome::CANCELLED); });
}

TEST_F(Rules, WhatIsCancelledDoesNotRunAgain) {
  accept();
  assign(WORKER, 1);
  history.cancelling(SPACE, {1});
  expectViolation("after it was cancelled", [&] { history.retried(task); });
}

TEST_F(Rules, ATaskIsNotGivenUpBeforeItsLastLoss) {
  accept();
  for (uint i = 1; i <= LOSSES_MAX; i++) {
    assign(WORKER, i);
    history.attemptEnded(task, core::AttemptEnd::WORKER_LOST);
  }
  expectViolation("given up after 16", [&] { endFailed(ErrorCode::WORKER_LOST); });
}

TEST_F(Rules, ATaskIsNotGivenUpForWorkersThatItSharedWithOthers) {
  accept();
  TaskId neighbour{SPACE, 2};
  core::Task other;
  other.id = neighbour;
  other.function = &function;
  history.offering(SPACE, {TaskSpec{.seq = 2}});
  history.submitted(other);
  for (uint i = 1; i <= LOSSES_MAX + 1; i++) {
    assign(WORKER, i);
    if (i <= LOSSES_BEFORE_ALONE + 1) {
      other.worker = WORKER;
      other.attempt = Attempt(i);
      history.assigned(other, 0 * kj::SECONDS);
      history.attemptEnded(other, core::AttemptEnd::WORKER_LOST);
    }
    history.attemptEnded(task, core::AttemptEnd::WORKER_LOST);
    history.workerGone(core.workers.at(WORKER), "lost");
  }
  expectViolation("it was not alone", [&] { endFailed(ErrorCode::WORKER_LOST); });
}

TEST_F(Rules, WhatRunsAloneHasNoCompany) {
  accept();
  assign(WORKER, 1);
  history.attemptEnded(task, core::AttemptEnd::WORKER_LOST);
  history.workerGone(core.workers.at(WORKER), "lost");
  core.workers.at(WORKER).reserved = true;
  assign(WORKER, 2);
  core::Task other;
  other.id = TaskId{SPACE, 2};
  other.function = &function;
  history.offering(SPACE, {TaskSpec{.seq = 2}});
  history.submitted(other);
  other.worker = WORKER;
  other.attempt = Attempt(1);
  expectViolation("has company", [&] { history.assigned(other, 0 * kj::SECONDS); });
}

TEST_F(Rules, ATaskIsNotFailedForWantOfAWorkerThatIsThere) {
  accept();
  task.queuedAt = context.now() - 60 * kj::SECONDS;
  expectViolation("fits it", [&] { endFailed(ErrorCode::NO_FITTING_WORKER); });
}

TEST_F(Rules, ATaskWaitsItsGraceForAFittingWorker) {
  accept();
  task.queuedAt = context.now() - 1 * kj::SECONDS;
  expectViolation("waited 1 s", [&] { endFailed(ErrorCode::NO_FITTING_WORKER); });
}

TEST_F(Rules, AnEndHasAnExplanation) {
  accept();
  expectViolation("nobody reported", [&] { endFailed(ErrorCode::INTERNAL); });
}

TEST_F(Rules, ALevelThatDidNotRunIsExplained) {
  spec.level = task.levelAsked = 2;
  task.levelChosen = Level::JIT;
  accept();
  assign(WORKER, 1);
  std::vector<Report> reports{reportOf(WORKER, 1)};
  history.reporting(WORKER, reports);
  history.attemptEnded(task, core::AttemptEnd::RETURNED);
  auto silent = result(core::Outcome::SUCCEEDED, Stamp{TASK, Attempt(1), WORKER});
  silent.placement.levelAsked = 2;
  silent.placement.levelChosen = Level::JIT;
  expectViolation("does not say why", [&] { history.ended(task, silent, 0 * kj::SECONDS); });
}

TEST_F(Rules, TheStoreHearsOfEachEndOnce) {
  accept();
  auto stored = result(core::Outcome::CANCELLED);
  history.ended(stored);
  expectViolation("stored twice", [&] { history.ended(stored); });
  history.acknowledged(TASK);
  expectViolation("wrong time", [&] { history.acknowledged(TASK); });
}

TEST_F(Rules, AnAttemptIsSentOnce) {
  accept();
  assign(WORKER, 1);
  WorkerSketch sketch;
  sketch.slots[0] = 1;
  Assignment assignment{TASK, Attempt(1)};
  history.received(sketch, assignment);
  expectViolation("sent twice", [&] { history.received(sketch, assignment); });
}

TEST_F(Rules, TheTablesCountWhatHappened) {
  accept();
  expectViolation("the core counts 0 tasks, it accepted 1", [&] { history.afterEvent(context.now()); });
}

TEST_F(Rules, TheCoreAsksToBeWokenWhileItWaits) {
  expectViolation("no tick was asked for", [&] { history.afterEvent(nullptr); });
}

TEST_F(Rules, AWorkerThatWasHeardIsNotSilent) {
  expectViolation("dropped as silent", [&] { history.workerGone(core.workers.at(WORKER), "missed heartbeats"); });
}

TEST_F(Rules, AConnectedClientIsNotForgotten) {
  history.clientOpened(SPACE);
  core.clients.clear();
  expectViolation("connected client was forgotten", [&] { history.afterTick(); });
}

}  // namespace
}  // namespace epochly::sim

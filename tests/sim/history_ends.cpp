// The ways in which a task may end, and what must be true for each.
#include <algorithm>

#include "sim/history.h"
#include "wire/task_spec.h"

namespace epochly::sim {

using core::AttemptEnd;

namespace {

bool costsARetry(ErrorCode code) {
  return code == ErrorCode::USER_EXCEPTION || code == ErrorCode::EXECUTOR_DIED || code == ErrorCode::TIMEOUT ||
         code == ErrorCode::FUNCTION_UNAVAILABLE;
}

}  // namespace

bool History::fits(const core::Worker& worker, const Life& life, Level level) const {
  auto& function = functionOf(life);
  return worker.spec.slots[static_cast<uint>(level)] > 0 &&
         (function.python.value == 0 || function.python == worker.spec.pythonVersion) &&
         (life.spec.host.value == 0 || life.spec.host == worker.spec.host);
}

// A value or failure that a worker gave: it must come from the current attempt, in this very event.
void History::checkReported(TaskId id, const Life& life, const core::Result& result, const kj::Array<byte>& stamped) const {
  auto name = toString(id);
  SIM_RULE(
      life.lastEndEvent == eventNumber && life.lastEnd != AttemptEnd::WORKER_LOST && life.lastEnd != AttemptEnd::NOT_RUN,
      "task ", name, " ended with a result that no attempt gave");
  KJ_IF_MAYBE(stamp, Stamp::read(stamped)) {
    SIM_RULE(*stamp == (Stamp{id, life.attempt, life.lastWorker}), "task ", name, " ended with what attempt ",
             stamp->attempt.value, " at task ", toString(stamp->task), " gave on worker ", stamp->worker.value,
             ", not attempt ", life.attempt.value, " on worker ", life.lastWorker.value);
  } else {
    SIM_RULE(false, "task ", name, " ended with bytes that no worker sent");
  }
  checkLevel(id, life, result);
}

void History::checkSuccess(TaskId id, const Life& life, const core::Result& result) const {
  SIM_RULE(life.spec.valid(), "task ", toString(id), " breaks a limit and yet succeeded");
  SIM_RULE(life.lastEnd == AttemptEnd::RETURNED, "task ", toString(id), " succeeded, but its attempt did not return");
  checkReported(id, life, result, result.value.pickle);
}

void History::checkCancelled(TaskId id, const Life& life) const {
  SIM_RULE(life.cancelAsked || core.clients.count(id.space) == 0, "task ", toString(id), " was cancelled, but nobody asked");
}

void History::checkFailure(const core::Task& task, const Life& life, const core::Result& result) const {
  auto name = toString(task.id);
  auto code = result.failure.code;
  if (result.placement.worker.value != 0) {
    checkReported(task.id, life, result, result.failure.pickled);
    if (!costsARetry(code)) return;
    SIM_RULE(!life.cancelAsked, "task ", name, " failed after it was cancelled");
    SIM_RULE(life.failures == life.spec.retriesMax + 1, "task ", name, " was given up after ", life.failures,
             " failures with ", life.spec.retriesMax, " retries");
    return;
  }
  switch (code) {
    case ErrorCode::INVALID_ARGUMENT:
      SIM_RULE(!life.spec.valid() && life.attempt.value == 0, "task ", name, " is valid, but was refused as invalid");
      return;
    case ErrorCode::WORKER_LOST: checkGivenUp(task.id, life); return;
    case ErrorCode::NO_FITTING_WORKER: checkNoFit(task, life); return;
    default: SIM_RULE(false, "task ", name, " failed with ", errorRow(code).name, ", which nobody reported");
  }
}

// Only what lost worker after worker while it was alone on it: a neighbour of the cause never does.
void History::checkGivenUp(TaskId id, const Life& life) const {
  auto name = toString(id);
  constexpr uint ALONE_MIN = LOSSES_MAX + 1 - LOSSES_BEFORE_ALONE;
  SIM_RULE(life.losses > LOSSES_MAX, "task ", name, " was given up after ", life.losses, " lost workers, the limit is ",
           LOSSES_MAX);
  SIM_RULE(life.lossesAlone >= ALONE_MIN, "task ", name, " was given up, but on ", life.losses - life.lossesAlone, " of ",
           life.losses, " lost workers it was not alone");
  SIM_RULE(functionOf(life).poison || !context.plan.onlyPoisonLosesWorkers(), "task ", name,
           " was given up for what its neighbours did");
}

void History::checkNoFit(const core::Task& task, const Life& life) const {
  auto name = toString(task.id);
  SIM_RULE(context.now() - task.queuedAt >= core.limits.unfitGrace, "task ", name, " waited ",
           inSeconds(context.now() - task.queuedAt), " s for a fitting worker, it may wait ",
           inSeconds(core.limits.unfitGrace));
  bool ready = false;
  for (auto& [id, worker] : core.workers) {
    if (worker.state != core::WorkerState::READY) continue;
    ready = true;
    SIM_RULE(!fits(worker, life, task.levelChosen), "task ", name, " failed for want of a worker, but worker ", id.value,
             " fits it");
    for (auto level : classify::fallbacks(task.levelChosen)) {
      SIM_RULE(!fits(worker, life, level), "task ", name, " failed for want of a worker, but worker ", id.value,
               " fits it at a lower level");
    }
  }
  SIM_RULE(ready, "task ", name, " failed for want of a worker while none was there to be compared with");
}

// What was asked for and chosen is what ran, or the result says why not.
void History::checkLevel(TaskId id, const Life& life, const core::Result& result) const {
  auto& placement = result.placement;
  auto name = toString(id);
  SIM_RULE(placement.levelAsked == life.spec.level, "the result of task ", name, " names another level than was asked for");
  SIM_RULE(life.spec.level < 0 || placement.levelChosen == static_cast<Level>(life.spec.level), "task ", name,
           " asked for level ", static_cast<int>(life.spec.level), ", another was chosen");
  if (placement.levelRan == placement.levelChosen) return;
  bool said = std::any_of(placement.declined.begin(), placement.declined.end(), [&](auto& decline) {
    return decline.level == placement.levelChosen && decline.reason.size() > 0;
  });
  SIM_RULE(said, "task ", name, " ran at another level than was chosen, and its result does not say why");
}

}  // namespace epochly::sim

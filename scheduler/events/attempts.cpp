// How attempts end, and what is learnt from them.
#include <algorithm>

#include <kj/debug.h>

#include "events/events.h"
#include "wire/task_spec.h"

namespace epochly::events {

using core::AttemptEnd;
using core::Task;
using core::TaskState;
using core::Worker;

namespace {

bool isRetryable(ErrorCode code) {
  switch (code) {
    case ErrorCode::USER_EXCEPTION:
    case ErrorCode::EXECUTOR_DIED:
    case ErrorCode::TIMEOUT:
    case ErrorCode::FUNCTION_UNAVAILABLE:  // another worker may have the module
      return true;
    default: return false;
  }
}

AttemptEnd endOf(const AttemptReport& report) {
  if (report.notRun) return AttemptEnd::NOT_RUN;
  KJ_IF_MAYBE(failure, report.failure) {
    if (failure->code == ErrorCode::EXECUTOR_DIED) return AttemptEnd::EXECUTOR_DIED;
    if (failure->code == ErrorCode::TIMEOUT) return AttemptEnd::TIMED_OUT;
    return AttemptEnd::FAILED;
  }
  return AttemptEnd::RETURNED;
}

double secondsOf(uint64_t nanoseconds) {
  return nanoseconds == core::Timings::NONE ? core::UNKNOWN : static_cast<double>(nanoseconds) * 1e-9;
}

// What lies between sending the attempt and having its result, beside the user's code: both ways and the worker's queue.
uint64_t transferOf(const core::Timings& timings, kj::Duration sinceAssigned) {
  if (timings.transfer != core::Timings::NONE || timings.run == core::Timings::NONE) return timings.transfer;
  auto total = static_cast<uint64_t>(sinceAssigned / kj::NANOSECONDS);
  uint64_t inside = timings.run + (timings.compile == core::Timings::NONE ? 0 : timings.compile);
  return total > inside ? total - inside : 0;
}

// Of the time that the function could have run in, what it waited. A worker that does not tell a busy machine from waiting has
// both in run less cpu.
double waitRatio(const core::Timings& timings) {
  double run = secondsOf(timings.run), cpu = secondsOf(timings.cpu), wait = secondsOf(timings.wait);
  if (std::isnan(wait)) wait = std::max(run - cpu, 0.0);
  return cpu + wait > 0 ? wait / (cpu + wait) : core::UNKNOWN;  // UNKNOWN too if any of them is
}

kj::String notOfferedReason(Level level, const Task& task) {
  if (task.function->pythonVersion.value == 0) return kj::str("no worker that has joined offers ", capabilityName(level));
  return kj::str("no worker with Python ", toString(task.function->pythonVersion), " that has joined offers ",
                 capabilityName(level));
}

}  // namespace

void Events::onResults(WorkerId workerId, kj::ArrayPtr<AttemptReport> reports, kj::TimePoint now) {
  auto found = core.workers.find(workerId);
  if (found == core.workers.end()) {
    for (auto& report : reports) {
      (void)report;
      core.totals.staleResults++;
      observer.staleResult();
    }
    return;
  }
  found->second.lastHeard = now;
  for (auto& report : reports) onReport(found->second, kj::mv(report), now);
  settle(now);
}

void Events::onReport(Worker& worker, AttemptReport&& report, kj::TimePoint now) {
  auto found = worker.inflight.find(report.task);
  if (found == worker.inflight.end() || found->second->attempt != report.attempt) {
    core.totals.staleResults++;
    observer.staleResult();
    discard(worker.id, report.task, report.attempt, report.value);
    return;
  }
  auto& task = *found->second;
  if (!report.notRun) worker.pool(task.level).stalled = false;
  unassign(task, worker);
  observer.attemptEnded(task, endOf(report));
  if (report.notRun) {
    if (task.cancelRequested)
      endCancelled(task, now);
    else
      requeueFirst(task, now);
    return;
  }
  worker.completed++;
  learn(task, worker, report);
  KJ_IF_MAYBE(failure, report.failure) {
    if (failure->code == ErrorCode::CANCELLED || (task.cancelRequested && isRetryable(failure->code))) {
      endCancelled(task, now);
      return;
    }
    if (isRetryable(failure->code) && task.retriesLeft > 0) {
      retryLater(task, now);
      return;
    }
  }
  endWith(task, resultOf(task, worker, kj::mv(report), now), now);
}

void Events::discard(WorkerId worker, TaskId task, Attempt attempt, const Payload& value) {
  if (value.sharedHost() != nullptr) ports.workers.discard(worker, task, attempt);
}

core::Result Events::resultOf(Task& task, const Worker& worker, AttemptReport&& report, kj::TimePoint now) {
  core::Result result;
  result.id = task.id;
  result.attempt = task.attempt;
  result.timings = report.timings;
  result.timings.queue = static_cast<uint64_t>((task.assignedAt - task.queuedAt) / kj::NANOSECONDS);
  result.timings.transfer = transferOf(report.timings, now - task.assignedAt);
  KJ_IF_MAYBE(failure, report.failure) {
    result.outcome = core::Outcome::FAILED;
    result.failure = kj::mv(*failure);
  } else {
    result.value = kj::mv(report.value);
  }
  auto& placement = result.placement;
  placement.levelAsked = task.levelAsked;
  placement.levelChosen = task.levelChosen;
  placement.levelRan = report.levelRan;
  placement.reason = task.reason;
  placement.worker = worker.id;
  placement.workerName = kj::str(worker.spec.name);
  for (int level = LEVEL_COUNT - 1; level >= 0; level--) {
    if ((task.notOffered & (1u << level)) == 0) continue;
    placement.declined.add(core::Decline{static_cast<Level>(level), notOfferedReason(static_cast<Level>(level), task)});
    observer.declined(static_cast<Level>(level));
  }
  for (auto& decline : report.declined) {
    observer.declined(decline.level);
    placement.declined.add(kj::mv(decline));
  }
  return result;
}

// Only from attempts in which the user's code ran to an end of its own.
void Events::learn(Task& task, Worker& worker, const AttemptReport& report) {
  auto end = endOf(report);
  if (end != AttemptEnd::RETURNED && end != AttemptEnd::FAILED) return;
  auto& function = *task.function;
  auto ran = static_cast<uint>(report.levelRan);
  if (report.levelRan >= Level::JIT) worker.functions[function.hash] |= static_cast<uint8_t>(1u << ran);
  function.compileSeconds[ran].add(secondsOf(report.timings.compile));
  function.calls++;
  if (end == AttemptEnd::FAILED) {
    function.errors++;
    return;
  }
  double run = secondsOf(report.timings.run);
  if (!std::isnan(run)) function.runSeconds[ran].add(run);
  function.ioWaitRatio.add(waitRatio(report.timings));
  function.loopIterations.add(report.loopIterations);
  function.dataSize.add(report.dataSize);
}

// Its worker is gone. The loss is not charged to the caller's retries, but a task that loses worker after worker is the
// likely cause. What had not begun there is no suspect.
void Events::takeBack(Task& task, Worker& worker, bool mayHaveBegun, kj::TimePoint now) {
  unassign(task, worker);
  observer.attemptEnded(task, AttemptEnd::WORKER_LOST);
  if (task.cancelRequested) {
    endCancelled(task, now);
    return;
  }
  mayHaveBegun ? task.losses++ : task.spared += task.spared < UINT16_MAX;
  if (task.losses > LOSSES_MAX) {
    endFailed(task,
              Failure::of(ErrorCode::WORKER_LOST,
                          kj::str("given up after ", task.losses, " workers were lost while they held it (limit ",
                                  LOSSES_MAX, "): it may be what kills them")),
              now);
  } else {
    requeueFirst(task, now);
  }
}

}  // namespace epochly::events

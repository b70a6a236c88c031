// One task's way through its states.
#include <kj/debug.h>

#include "events/events.h"

namespace epochly::events {

using core::Task;
using core::TaskState;

void Events::accept(core::Client& client, NewTask&& told, kj::TimePoint now) {
  TaskId id{client.space, told.seq};
  auto& task = core.tasks.try_emplace(id).first->second;
  auto& function = core.functions.at(told.function);
  size_t argumentBytes = told.arguments.inlineBytes();
  task.id = id;
  task.function = &function;
  task.arguments = kj::mv(told.arguments);
  task.acceptedAt = now;
  task.dataSize = told.dataSize;
  task.timeoutMs = told.timeoutMs;
  task.levelAsked = told.level;
  function.references++;
  function.lastUse = core.eventCount;
  client.queued++;
  task.clientPrevious = client.lastTask;
  (client.lastTask == nullptr ? client.firstTask : client.lastTask->clientNext) = &task;
  client.lastTask = &task;
  client.seqMax = told.seq;
  core.argumentBytes += argumentBytes;
  core.totals.submitted++;

  KJ_IF_MAYBE(failure, admission::invalid(told.level, told.retriesMax, told.timeoutMs, argumentBytes)) {
    observer.submitted(task);
    endFailed(task, kj::mv(*failure), now);
    return;
  }
  task.retriesLeft = static_cast<uint16_t>(told.retriesMax);
  KJ_IF_MAYBE(asked, levelFromNumber(told.level)) {
    task.levelChosen = *asked;
    task.reason = core::Reason::ASKED;
  } else {
    auto workload = function.workload();
    if (!std::isnan(task.dataSize)) workload.avgDataSize = task.dataSize;
    auto choice = classify::classify(workload, function.hints, core.offered(Level::GPU), thresholds);
    task.levelChosen = choice.level;
    task.reason = choice.reason;
  }
  ports.store.accepted(task);
  observer.submitted(task);
  enqueue(task, now);
}

void Events::enqueue(Task& task, kj::TimePoint now) {
  task.state = TaskState::QUEUED;
  task.queuedAt = now;
  queueFor(task).pushBack(task);
}

void Events::requeueFirst(Task& task, kj::TimePoint now) {
  task.state = TaskState::QUEUED;
  task.queuedAt = now;
  queueFor(task).pushFront(task);
}

void Events::assign(Task& task, core::Worker& worker, double expectedSeconds, kj::TimePoint now) {
  task.queue->remove(task);
  task.state = TaskState::ASSIGNED;
  task.attempt = Attempt(task.attempt.value + 1);
  task.worker = worker.id;
  task.assignedAt = now;
  task.expectedSeconds = expectedSeconds;
  task.recallRequested = false;
  auto& pool = worker.pool(task.level);
  pool.held.pushBack(task);
  worker.inflightAt[static_cast<uint>(task.level)]++;
  pool.inflight++;
  core.aheadCount += pool.inflight > pool.slots;
  pool.backlogSeconds += expectedSeconds;
  worker.inflight.emplace(task.id, &task);
  ports.workers.send(worker.id, task.id, task.attempt);
  observer.assigned(task, now - task.queuedAt);
}

void Events::unassign(Task& task, core::Worker& worker) {
  auto& pool = worker.pool(task.level);
  pool.held.remove(task);
  worker.inflightAt[static_cast<uint>(task.level)]--;
  core.aheadCount -= pool.inflight > pool.slots;
  pool.inflight--;
  pool.backlogSeconds -= task.expectedSeconds;
  if (pool.inflight == 0) pool.backlogSeconds = 0;  // rounding does not add up over millions of tasks
  worker.inflight.erase(task.id);
  task.worker = WorkerId();
}

void Events::leaveQueueOrBackoff(Task& task) {
  if (task.state == TaskState::QUEUED) {
    task.queue->remove(task);
    return;
  }
  KJ_ASSERT(task.state == TaskState::BACKOFF, task.id.seq);
  auto [due, end] = core.backoff.equal_range(task.dueAt);
  for (auto it = due; it != end; ++it) {
    if (it->second == task.id) {
      core.backoff.erase(it);
      return;
    }
  }
  KJ_FAIL_ASSERT("a task in backoff has a time", task.id.seq);
}

// Exponential: retryDelay, doubled with each retry, at most retryDelayMax, less up to half of it at random so that tasks that
// failed together do not come back together.
void Events::retryLater(Task& task, kj::TimePoint now) {
  auto& limits = core.limits;
  uint doublings = std::min<uint>(task.retriesDone, 30);
  auto delay = std::min(limits.retryDelay * (int64_t(1) << doublings), limits.retryDelayMax);
  auto half = delay / 2 / kj::NANOSECONDS;
  auto jitter = half > 0 ? static_cast<int64_t>(ports.random.next() % static_cast<uint64_t>(half)) : 0;
  task.retriesLeft--;
  task.retriesDone++;
  task.state = TaskState::BACKOFF;
  task.dueAt = now + delay - jitter * kj::NANOSECONDS;
  core.backoff.emplace(task.dueAt, task.id);
  core.totals.retried++;
  observer.retried(task);
}

void Events::endWith(Task& task, core::Result result, kj::TimePoint now) {
  switch (result.outcome) {
    case core::Outcome::SUCCEEDED: core.totals.succeeded++; break;
    case core::Outcome::FAILED: core.totals.failed++; break;
    case core::Outcome::CANCELLED: core.totals.cancelled++; break;
  }
  core.ended.push_back(core::Epitaph{task.id, task.function->hash, result.outcome, result.failure.code,
                                     result.placement.levelRan, result.placement.worker, task.attempt, result.timings});
  core.endedById[task.id] = &core.ended.back();
  while (core.ended.size() > core.limits.endedMax) {
    core.endedById.erase(core.ended.front().id);
    core.ended.pop_front();
  }
  ports.store.ended(result);
  observer.ended(task, result, now - task.acceptedAt);
  core.argumentBytes -= task.arguments.inlineBytes();
  task.function->references--;
  auto client = core.clients.find(task.id.space);
  if (task.clientPrevious != nullptr) task.clientPrevious->clientNext = task.clientNext;
  if (task.clientNext != nullptr) task.clientNext->clientPrevious = task.clientPrevious;
  if (client != core.clients.end()) {
    if (client->second.firstTask == &task) client->second.firstTask = task.clientNext;
    if (client->second.lastTask == &task) client->second.lastTask = task.clientPrevious;
    client->second.queued--;
    client->second.resultBytes += result.bytes();
    client->second.results.push_back(kj::mv(result));
    ports.clients.resultsReady(task.id.space);
  } else {
    ports.store.acknowledged(task.id);  // its client is gone: nobody will take it
    discard(result.placement.worker, task.id, result.attempt, result.value);
  }
  core.tasks.erase(TaskId(task.id));
}

namespace {

// For ends in which no attempt had a say.
core::Result endOf(const Task& task, core::Outcome outcome) {
  core::Result result;
  result.id = task.id;
  result.outcome = outcome;
  result.attempt = task.attempt;
  result.placement.levelAsked = task.levelAsked;
  result.placement.levelChosen = task.levelChosen;
  result.placement.levelRan = task.level;
  result.placement.reason = task.reason;
  return result;
}

}  // namespace

void Events::endFailed(Task& task, Failure failure, kj::TimePoint now) {
  auto result = endOf(task, core::Outcome::FAILED);
  result.failure = kj::mv(failure);
  endWith(task, kj::mv(result), now);
}

void Events::endCancelled(Task& task, kj::TimePoint now) { endWith(task, endOf(task, core::Outcome::CANCELLED), now); }

}  // namespace epochly::events

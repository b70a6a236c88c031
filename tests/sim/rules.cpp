// What must hold between any two events, and at the end.
#include <algorithm>

#include "sim/history.h"
#include "wire/task_spec.h"

namespace epochly::sim {

namespace {

// Entries looked at per event, on average: large tables are audited in proportion more rarely.
constexpr uint64_t AUDIT_ENTRIES_PER_EVENT = 40;

}  // namespace

void History::afterEvent(kj::Maybe<kj::TimePoint> armed) {
  eventNumber++;
  context.stats.coreEvents++;
  SIM_RULE(losing.empty(), "attempts were charged with the loss of a worker that is still there");
  checkTotals();
  checkLimits();
  checkTimer(armed);
  auditCredit += AUDIT_ENTRIES_PER_EVENT;
  uint64_t entries = core.tasks.size() + core.workers.size() + core.functions.size() + core.ended.size() / 8;
  for (auto& [space, client] : core.clients) entries += client.results.size();
  if (auditCredit >= entries) audit();
}

void History::afterTick() {
  checkSpaces();
  checkSilence();
  checkRecalls();
}

void History::checkTotals() const {
  auto& totals = core.totals;
  uint64_t ends = totals.succeeded + totals.failed + totals.cancelled;
  SIM_RULE(totals.submitted == order.size(), "the core counts ", totals.submitted, " tasks, it accepted ", order.size());
  SIM_RULE(ends == endCount, "the core counts ", ends, " ends, there were ", endCount);
  SIM_RULE(core.tasks.size() == order.size() - endCount, "the core holds ", core.tasks.size(), " tasks, ",
           order.size() - endCount, " have not ended");
  SIM_RULE(totals.staleResults == staleCount, "the core counts ", totals.staleResults, " stale reports, it told of ",
           staleCount);
}

void History::checkLimits() const {
  auto& limits = core.limits;
  SIM_RULE(core.tasks.size() <= limits.tasksMax, "tasksMax: ", core.tasks.size(), " of ", limits.tasksMax);
  SIM_RULE(core.argumentBytes <= limits.argumentBytesMax, "argumentBytesMax: ", core.argumentBytes);
  SIM_RULE(core.functions.size() <= limits.functionsMax, "functionsMax: ", core.functions.size());
  SIM_RULE(core.functionBytes <= limits.functionBytesMax, "functionBytesMax: ", core.functionBytes);
  SIM_RULE(core.workers.size() <= limits.workersMax, "workersMax: ", core.workers.size());
  SIM_RULE(core.clients.size() <= limits.clientsMax, "clientsMax: ", core.clients.size());
  SIM_RULE(core.ended.size() <= limits.endedMax, "endedMax: ", core.ended.size());
}

// A core that waits for time to pass has asked to be woken.
void History::checkTimer(kj::Maybe<kj::TimePoint> armed) const {
  if (core.workers.empty() && core.clients.empty() && core.tasks.empty()) return;
  KJ_IF_MAYBE(when, armed) {
    SIM_RULE(*when <= context.now() + core.limits.heartbeat, "the next tick is ", inSeconds(*when - context.now()),
             " s away");
    if (core.backoff.empty()) return;
    auto due = std::max(core.backoff.begin()->first, context.now());
    SIM_RULE(*when <= due, "a retry is due ", inSeconds(*when - due), " s before the next tick");
  } else {
    SIM_RULE(false, "there is something to wait for, but no tick was asked for");
  }
}

// A client is forgotten only after it has been away for its grace.
void History::checkSpaces() const {
  for (auto& [space, known] : spaces) {
    if (core.clients.count(space) > 0) continue;
    SIM_RULE(!known.connected, "a connected client was forgotten");
    auto away = listenedAtMost(known.lostAt);
    SIM_RULE(away >= core.limits.clientGrace, "a client was forgotten after ", inSeconds(away),
             " s in which it could return, of ", inSeconds(core.limits.clientGrace));
  }
}

void History::checkSilence() const {
  auto most = core.limits.heartbeat * (MISSED_BEATS_MAX + 1);
  for (auto& [id, worker] : core.workers) {
    SIM_RULE(listenedAtLeast(lastHeard.at(id)) <= most, "worker ", id.value, " has been silent for ",
             inSeconds(context.now() - lastHeard.at(id)), " s and is still there");
  }
}

// Overloaded is said only when a bound is met.
void History::checkRefusal(SpaceId space, const TaskSpec& task) const {
  auto& limits = core.limits;
  TaskId id{space, task.seq};
  SIM_RULE(!lives.at(id).accepted, "task ", toString(id), " was refused, but had been accepted before");
  bool bound = core.draining || core.tasks.size() >= limits.tasksMax ||
               core.argumentBytes + task.inlineBytes() > limits.argumentBytesMax ||
               core.clients.at(space).resultBytes >= limits.resultBytesMax;
  SIM_RULE(bound, "task ", toString(id), " was refused although no bound is met");
  context.stats[Fault::SUBMISSION_OVERLOADED]++;
}

void History::audit() {
  auditCredit = 0;
  context.stats.audits++;
  core.checkInvariants();
  checkBooks();
  checkPlacement();
}

// The core's tables say of each task what its history says.
void History::checkBooks() const {
  for (auto& [id, task] : core.tasks) {
    auto& life = lives.at(id);
    auto name = toString(id);
    SIM_RULE(life.accepted && life.ends == 0, "task ", name, " is in the table, but has ended or was never accepted");
    SIM_RULE(task.worker == life.worker && task.attempt == life.attempt, "task ", name, " is on worker ", task.worker.value,
             ", its history says ", life.worker.value);
    SIM_RULE((task.state == core::TaskState::ASSIGNED) == (life.worker.value != 0), "task ", name, " is in a wrong state");
    SIM_RULE(core.clients.count(id.space) > 0 || (life.worker.value != 0 && task.cancelRequested), "task ", name,
             " has no client, and nobody has cancelled it");
    SIM_RULE(task.cancelRequested || !life.cancelAsked, "the core forgot that task ", name, " was cancelled");
  }
}

// No task waits while a worker that fits it has a slot free, or room in its window.
void History::checkPlacement() const {
  route::Router router(core.limits);
  for (auto& [key, queue] : core.queues) {
    if (queue.head == nullptr) continue;
    SIM_RULE(route::explain(*queue.head, core, core.limits, context.now()).size() > 0, "a task's wait is not explained");
    for (auto& [id, worker] : core.workers) {
      if (!worker.fits(key)) continue;
      auto& pool = worker.pool(key.level);
      SIM_RULE(!router.hasRoom(worker, key), "task ", toString(queue.head->id), " waits while worker ", id.value,
               " has room for it");
      if (key.alone || worker.reserved) continue;
      SIM_RULE(!worker.hasFreeSlot(key.level) || pool.inflight >= core.limits.inflightMax, "task ", toString(queue.head->id),
               " waits while worker ", id.value, " has a slot free");
    }
  }
}

// No attempt waits at one worker while another has had a slot for it all the time that the core may take to see that.
void History::checkRecalls() {
  auto found = waitingBesideIdle();
  if (found.task == besideIdle.task && found.idle == besideIdle.idle && found.completed == besideIdle.completed) {
    auto wait = context.now() - besideIdle.since;
    SIM_RULE(found.idle.value == 0 || wait < core.limits.recallAfter * 2, "task ", toString(found.task), " waits at worker ",
             lives.at(found.task).worker.value, " while worker ", found.idle.value, " has had a slot for it for ",
             inSeconds(wait), " s");
  } else {
    besideIdle = found;
  }
}

// An attempt that waits at a worker, of which none was asked back, and a worker that is idle; none if there is no such pair.
History::BesideIdle History::waitingBesideIdle() const {
  for (auto& [id, worker] : core.workers) {
    for (auto& pool : worker.pools) {
      if (pool.held.size <= pool.slots) continue;
      auto& last = *pool.held.tail;
      if (last.cancelRequested || context.now() - last.assignedAt < core.limits.recallAfter) continue;
      if (anyRecalled()) return BesideIdle();  // it is on its way, and may need the slots that are free now
      for (auto& [otherId, other] : core.workers) {
        auto& use = other.pool(last.level);
        bool idle = other.hasFreeSlot(last.level) && use.inflight < core.limits.inflightMax && !other.reserved;
        if (idle && other.fits(last.keyAt(last.level))) return {last.id, otherId, other.completed, context.now()};
      }
    }
  }
  return BesideIdle();
}

bool History::anyRecalled() const {
  for (auto& [id, worker] : core.workers) {
    for (auto& [taskId, task] : worker.inflight) {
      if (task->recallRequested) return true;
    }
  }
  return false;
}

void History::atTheEnd() {
  audit();
  for (auto id : order) {
    auto& life = lives.at(id);
    SIM_RULE(life.ends == 1, "task ", toString(id), " has ended ", life.ends, " times");
    SIM_RULE(life.storedEnd && life.storeForgot, "the store still holds the result of task ", toString(id),
             ", which nobody will ask for");
  }
  SIM_RULE(core.tasks.empty() && core.backoff.empty() && core.clients.empty(), "the tables are not empty at the end");
  SIM_RULE(core.workers.empty() || core.queues.empty(), core.queues.size(), " empty queues are kept at the end");
  SIM_RULE(core.argumentBytes == 0, core.argumentBytes, " bytes of arguments are counted at the end");
  for (auto& [id, worker] : core.workers) {
    SIM_RULE(worker.inflight.empty(), "worker ", id.value, " holds attempts at the end");
    for (auto& pool : worker.pools) {
      SIM_RULE(pool.inflight == 0 && pool.backlogSeconds == 0, "worker ", id.value, " has a backlog at the end");
    }
  }
  for (auto& [hash, function] : core.functions) {
    SIM_RULE(function.references == 0, "function ", function.name, " is pinned at the end, ", function.references, " times");
  }
}

}  // namespace epochly::sim

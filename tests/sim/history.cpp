#include "sim/history.h"

#include <algorithm>

#include "wire/task_spec.h"

namespace epochly::sim {

using core::AttemptEnd;

namespace {

AttemptEnd expectedEnd(const Report& report) {
  if (report.notRun) return AttemptEnd::NOT_RUN;
  switch (report.failure) {
    case ErrorCode::NONE: return AttemptEnd::RETURNED;
    case ErrorCode::EXECUTOR_DIED: return AttemptEnd::EXECUTOR_DIED;
    case ErrorCode::TIMEOUT: return AttemptEnd::TIMED_OUT;
    default: return AttemptEnd::FAILED;
  }
}

}  // namespace

History::History(Context& context, const core::Core& core, const std::vector<FunctionSpec>& functions)
    : context(context), core(core), functions(functions) {}

History::Life& History::lifeOf(TaskId id) {
  auto found = lives.find(id);
  SIM_RULE(found != lives.end() && found->second.accepted, "task ", toString(id), " was never accepted");
  return found->second;
}

// ---- clients -------------------------------------------------------------------------------------------------------

void History::clientOpened(SpaceId space) { spaces[space] = Space(); }

void History::clientLost(SpaceId space) {
  auto found = spaces.find(space);
  if (found != spaces.end()) found->second = Space{false, context.now()};
}

void History::clientClosed(SpaceId space) { spaces.erase(space); }

void History::offering(SpaceId space, const std::vector<TaskSpec>& tasks) {
  offeringSpace = space;
  for (auto& spec : tasks) {
    auto [found, isNew] = lives.try_emplace(TaskId{space, spec.seq});
    if (isNew) found->second.spec = spec;
    context.stats[Fault::SUBMISSION_RESENT] += found->second.accepted;
  }
}

void History::receipted(SpaceId space, const std::vector<TaskSpec>& tasks, const events::Receipt& receipt) {
  offeringSpace = SpaceId();
  SIM_RULE(receipt.accepted <= tasks.size(), "a receipt for more tasks than were offered");
  SIM_RULE((receipt.retryAfter == nullptr) == (receipt.accepted == tasks.size()),
           "retryAfter is set exactly when tasks were refused");
  for (size_t i = 0; i < receipt.accepted; i++) {
    SIM_RULE(lives.at(TaskId{space, tasks[i].seq}).accepted, "the receipt covers task ",
             toString(TaskId{space, tasks[i].seq}), ", which was never accepted");
  }
  if (receipt.accepted < tasks.size()) checkRefusal(space, tasks[receipt.accepted]);
}

void History::refusedWhole(SpaceId space, const std::vector<TaskSpec>& tasks, ErrorCode why) {
  offeringSpace = SpaceId();
  if (why != ErrorCode::SHUTTING_DOWN) return;
  for (auto& spec : tasks) {
    TaskId id{space, spec.seq};
    SIM_RULE(!lives.at(id).accepted, "a draining scheduler refused task ", toString(id), ", which it had accepted before");
  }
}

void History::cancelling(SpaceId space, const std::vector<uint64_t>& seqs) {
  for (auto seq : seqs) {
    auto found = lives.find(TaskId{space, seq});
    if (found == lives.end() || !found->second.accepted || found->second.ends > 0) continue;
    found->second.cancelAsked = true;
    context.stats[Fault::TASK_CANCELLED]++;
  }
}

void History::cancelled(SpaceId space, const std::vector<uint64_t>& seqs) {
  for (auto seq : seqs) {
    auto found = lives.find(TaskId{space, seq});
    if (found == lives.end() || !found->second.accepted) continue;
    SIM_RULE(found->second.ends > 0 || found->second.worker.value != 0, "task ", toString(found->first),
             " was cancelled while no worker had it, and did not end");
  }
}

void History::delivered(SpaceId space, const ClientResult& result) {
  TaskId id{space, result.seq};
  auto& life = lifeOf(id);
  SIM_RULE(life.ends == 1, "a client was told of the end of task ", toString(id), ", which has not ended");
  SIM_RULE(!life.delivered, "the result of task ", toString(id), " was taken twice");
  SIM_RULE(result == life.end, "a client was told another end of task ", toString(id), " than the core recorded");
  life.delivered = true;
}

// ---- workers -------------------------------------------------------------------------------------------------------

void History::reporting(WorkerId worker, const std::vector<Report>& told) {
  reportingWorker = worker;
  reports = &told;
  heard(worker);
  // A task may be assigned anew only when the batch is through, so what is current now decides; but one attempt counts once.
  std::set<TaskId> counted;
  for (auto& report : told) {
    auto found = lives.find(report.stamp.task);
    bool current = found != lives.end() && found->second.worker == worker && found->second.attempt == report.stamp.attempt &&
                   core.workers.count(worker) > 0 && counted.insert(report.stamp.task).second;
    staleExpected += !current;
  }
}

void History::reported() {
  reportingWorker = WorkerId();
  reports = nullptr;
  SIM_RULE(staleCount == staleExpected, "stale reports: the core counted ", staleCount, " of ", staleExpected);
}

void History::received(const WorkerSketch& worker, const Assignment& assignment) {
  auto& life = lifeOf(assignment.task);
  auto& function = functionOf(life);
  auto name = toString(assignment.task);
  SIM_RULE(std::count(life.received.begin(), life.received.end(), assignment.attempt) == 0, "attempt ",
           assignment.attempt.value, " at task ", name, " was sent twice");
  life.received.push_back(assignment.attempt);
  SIM_RULE(worker.slots[static_cast<uint>(assignment.level)] > 0, "task ", name, " went to a worker without its level");
  SIM_RULE(function.python.value == 0 || function.python == worker.python, "task ", name, " went to another Python");
  SIM_RULE(life.spec.host.value == 0 || life.spec.host == worker.host, "task ", name,
           " went to another host than its memory");
}

void History::heard(WorkerId worker) {
  if (core.workers.count(worker) > 0) lastHeard.insert_or_assign(worker, context.now());
}

void History::workerJoined(const core::Worker& worker) { heard(worker.id); }

void History::workerGone(const core::Worker& worker, kj::StringPtr why) {
  context.noteWord(What::WORKER_GONE, why.cStr(), worker.id.value);
  if (why == "missed heartbeats") {
    context.stats[Fault::WORKER_SILENT]++;
    auto silent = listenedAtMost(lastHeard.at(worker.id));
    SIM_RULE(silent > core.limits.heartbeat * MISSED_BEATS_MAX, "worker ", worker.id.value, " was dropped as silent after ",
             inSeconds(silent), " s in which it could be heard");
  }
  losing.erase(worker.id);
  holding.erase(worker.id);
  lastHeard.erase(worker.id);
}

void History::staleResult() {
  staleCount++;
  context.stats.staleReports++;
  context.note(What::STALE_REPORT);
}

void History::stalled(kj::TimePoint from, kj::TimePoint until) {
  if (until > from) stalls.emplace_back(from, until);
}

kj::Duration History::listenedAtLeast(kj::TimePoint since) const {
  auto listened = context.now() - since;
  for (auto& [from, until] : stalls) {
    listened = listened - std::max(std::min(until, context.now()) - std::max(from, since), 0 * kj::SECONDS);
  }
  return listened;
}

// The core cannot tell pauses of up to one and a half beats from a busy loop, and it sees a longer one only from the tick
// that it delayed: up to half a beat less.
kj::Duration History::listenedAtMost(kj::TimePoint since) const {
  auto listened = context.now() - since;
  auto beat = core.limits.heartbeat;
  for (auto& [from, until] : stalls) {
    auto length = std::min(until, context.now()) - std::max(from, since);
    if (length > beat * 3 / 2) listened = listened - (length - beat / 2);
  }
  return listened;
}

// ---- one task ------------------------------------------------------------------------------------------------------

void History::submitted(const core::Task& task) {
  auto name = toString(task.id);
  auto found = lives.find(task.id);
  SIM_RULE(found != lives.end() && task.id.space == offeringSpace, "task ", name, " was accepted but not offered");
  auto& life = found->second;
  SIM_RULE(!life.accepted, "task ", name, " was accepted twice");
  life.accepted = true;
  SIM_RULE(task.levelAsked == life.spec.level && task.function->hash == functionOf(life).hash &&
               task.arguments.inlineBytes() == life.spec.inlineBytes(),
           "task ", name, " is not what its client offered");
  auto& client = core.clients.at(task.id.space);
  SIM_RULE(client.results.size() * sizeof(core::Result) < core.limits.resultBytesMax, "task ", name,
           " was accepted although its client has left ", client.results.size(), " results untaken");
  order.push_back(task.id);
  context.stats.tasks++;
  context.stats[Fault::TASK_INVALID] += !life.spec.valid();
  context.noteTask(What::TASK_ACCEPTED, task.id);
}

void History::assigned(const core::Task& task, kj::Duration) {
  auto& life = lifeOf(task.id);
  auto name = toString(task.id);
  SIM_RULE(life.ends == 0, "task ", name, " was assigned after its end");
  SIM_RULE(life.worker.value == 0, "task ", name, " was assigned to worker ", task.worker.value, " while worker ",
           life.worker.value, " has it");
  SIM_RULE(task.attempt.value == life.attempt.value + 1, "task ", name, ": attempt ", task.attempt.value, " after ",
           life.attempt.value);
  SIM_RULE(!life.cancelAsked, "task ", name, " was assigned after it was cancelled");
  SIM_RULE(context.now() >= life.notBefore, "task ", name, " did not wait before its retry");
  auto& worker = core.workers.at(task.worker);
  SIM_RULE(worker.state == core::WorkerState::READY, "task ", name, " was assigned to a worker that is leaving");
  SIM_RULE(fits(worker, life, task.level), "task ", name, " was assigned to a worker that does not fit it");
  auto& pool = worker.pool(task.level);
  uint64_t window = std::min<uint64_t>(core.limits.inflightMax, uint64_t(pool.slots) * (1 + core.limits.prefetchMax));
  SIM_RULE(pool.inflight <= window, "worker ", task.worker.value, " holds ", pool.inflight, " attempts, its window is ",
           window);
  life.attempt = task.attempt;
  life.worker = life.lastWorker = task.worker;
  auto held = ++holding[task.worker];
  SIM_RULE(held == 1 || (!task.runsAlone() && !worker.reserved), "task ", name, " has company on worker ", task.worker.value,
           ", which is kept for one task at a time");
  context.stats[Fault::TASK_RAN_ALONE] += task.runsAlone();
  context.stats.attempts++;
  context.stats[Fault::LEVEL_NOT_OFFERED] += task.notOffered != 0;
  context.noteTask(What::TASK_ASSIGNED, task.id, task.attempt.value, task.worker.value);
}

const Report& History::reportOf(TaskId id, const Life& life) const {
  SIM_RULE(reportingWorker == life.worker, "an attempt at task ", toString(id), " on worker ", life.worker.value,
           " was ended by a report of worker ", reportingWorker.value);
  auto found = std::find_if(reports->begin(), reports->end(),
                            [&](auto& report) { return report.stamp.task == id && report.stamp.attempt == life.attempt; });
  SIM_RULE(found != reports->end(), "attempt ", life.attempt.value, " at task ", toString(id), " was ended by no report");
  return *found;
}

void History::attemptEnded(const core::Task& task, AttemptEnd end) {
  auto& life = lifeOf(task.id);
  SIM_RULE(life.worker.value != 0 && task.attempt == life.attempt, "an attempt at task ", toString(task.id),
           " ended that was not current");
  if (end == AttemptEnd::WORKER_LOST) {
    auto held = losing.emplace(life.worker, holding[life.worker]).first->second;
    life.losses++;
    life.lossesAlone += held == 1;
    lossCount++;
  } else {
    SIM_RULE(end == expectedEnd(reportOf(task.id, life)), "attempt at task ", toString(task.id), " ended as ",
             core::attemptEndName(end));
  }
  if (end == AttemptEnd::FAILED || end == AttemptEnd::EXECUTOR_DIED || end == AttemptEnd::TIMED_OUT) {
    life.failures++;
    failureCount++;
    SIM_RULE(life.failures <= life.spec.retriesMax + 1, "task ", toString(task.id), " failed ", life.failures,
             " times with ", life.spec.retriesMax, " retries");
  }
  life.lastEnd = end;
  life.lastEndEvent = eventNumber;
  holding[life.worker]--;
  life.worker = WorkerId();
  context.noteWord(What::ATTEMPT_ENDED, core::attemptEndName(end).cStr(), task.attempt.value, task.id);
}

void History::retried(const core::Task& task) {
  auto& life = lifeOf(task.id);
  auto& limits = core.limits;
  SIM_RULE(!life.cancelAsked, "task ", toString(task.id), " is retried after it was cancelled");
  auto delay = std::min(limits.retryDelay * (int64_t(1) << std::min<uint>(life.retries, 30)), limits.retryDelayMax);
  life.retries++;
  SIM_RULE(life.retries <= life.spec.retriesMax, "task ", toString(task.id), " was retried ", life.retries, " times");
  life.notBefore = context.now() + delay / 2;
  context.noteTask(What::TASK_RETRIED, task.id, life.retries);
}

void History::ended(const core::Task& task, const core::Result& result, kj::Duration) {
  auto& life = lifeOf(task.id);
  SIM_RULE(life.ends++ == 0, "task ", toString(task.id), " ended twice");
  SIM_RULE(life.worker.value == 0, "task ", toString(task.id), " ended while worker ", life.worker.value, " has it");
  SIM_RULE(result.id == task.id && result.attempt == life.attempt, "the end of task ", toString(task.id),
           " does not name its last attempt");
  switch (result.outcome) {
    case core::Outcome::SUCCEEDED:
      checkSuccess(task.id, life, result);
      context.stats.succeeded++;
      break;
    case core::Outcome::CANCELLED:
      checkCancelled(task.id, life);
      context.stats.cancelled++;
      break;
    case core::Outcome::FAILED:
      checkFailure(task, life, result);
      context.stats.failures[static_cast<uint>(result.failure.code)]++;
      break;
  }
  life.end = ClientResult::copy(result);
  auto epitaph = core.endedById.find(task.id);
  SIM_RULE(core.limits.endedMax == 0 || (epitaph != core.endedById.end() && epitaph->second->outcome == result.outcome),
           "nothing is remembered of the end of task ", toString(task.id));
  endCount++;
  auto word = result.outcome == core::Outcome::FAILED ? errorRow(result.failure.code).name
                                                      : core::outcomeName(result.outcome).cStr();
  context.noteWord(What::TASK_ENDED, word, 0, task.id);
}

// ---- the store -----------------------------------------------------------------------------------------------------

void History::accepted(const core::Task& task) {
  auto& life = lives.at(task.id);
  SIM_RULE(!life.stored && !life.storedEnd, "task ", toString(task.id), " was stored twice");
  life.stored = true;
}

void History::ended(const core::Result& result) {
  auto& life = lifeOf(result.id);
  SIM_RULE(!life.storedEnd, "the end of task ", toString(result.id), " was stored twice");
  life.storedEnd = true;
}

void History::acknowledged(TaskId id) {
  auto& life = lifeOf(id);
  SIM_RULE(life.storedEnd && !life.storeForgot, "the store was told to forget task ", toString(id), " at the wrong time");
  life.storeForgot = true;
}

}  // namespace epochly::sim

#include <kj/vector.h>

#include "route/router.h"

namespace epochly::route {

namespace {

kj::String secondsText(kj::Duration duration) { return kj::str(duration / kj::MILLISECONDS / 1000.0, " s"); }

kj::String whyNot(const core::Worker& worker, const core::QueueKey& key, const Router& router) {
  if (worker.state == core::WorkerState::DRAINING) return kj::str("it is draining");
  if (!worker.spec.offers(key.level)) return kj::str("it does not offer ", capabilityName(key.level));
  if (key.pythonVersion.value != 0 && !(key.pythonVersion == worker.spec.pythonVersion)) {
    return kj::str("it runs Python ", toString(worker.spec.pythonVersion), ", the function's bytecode needs ",
                   toString(key.pythonVersion));
  }
  if (key.host.value != 0 && key.host != worker.spec.host) {
    return kj::str("it is on another host than the shared memory of the arguments");
  }
  auto& pool = worker.pool(key.level);
  if (!router.hasRoom(worker, key)) {
    if (key.alone && !worker.inflight.empty())
      return kj::str("it holds ", worker.inflight.size(), " attempts: the task runs alone");
    if (worker.reserved) return kj::str("it is kept for tasks that run alone, because workers were lost under them");
    return kj::str("its window is full: ", pool.inflight, " attempts on ", worker.spec.slots[static_cast<uint>(key.level)],
                   " slots");
  }
  return kj::str("it fits and has room: the task is next");
}

kj::String explainQueued(const core::Task& task, const core::Core& core, const core::Limits& limits, kj::TimePoint now) {
  if (core.workers.empty()) {
    return kj::str("Queued for ", secondsText(now - task.queuedAt),
                   ": no worker has joined. Start one with: epochly worker --scheduler ADDRESS");
  }
  Router router(limits);
  auto lines = kj::Vector<kj::String>();
  for (auto& [id, worker] : core.workers) {
    if (lines.size() == 20) {  // enough to see a pattern, short enough to read
      lines.add(kj::str("... and ", core.workers.size() - 20, " more workers"));
      break;
    }
    lines.add(kj::str(worker.spec.name, ": ", whyNot(worker, task.queue->key, router)));
  }
  return kj::str("Queued for ", secondsText(now - task.queuedAt), " at level ", static_cast<uint>(task.level), " (",
                 levelName(task.level), ") among ", task.queue->size, " tasks. ", kj::strArray(lines, "; "), ".");
}

}  // namespace

kj::String explain(const core::Task& task, const core::Core& core, const core::Limits& limits, kj::TimePoint now) {
  switch (task.state) {
    case core::TaskState::QUEUED: return explainQueued(task, core, limits, now);
    case core::TaskState::ASSIGNED: {
      auto worker = core.workers.find(task.worker);
      kj::StringPtr name = worker == core.workers.end() ? kj::StringPtr("?") : kj::StringPtr(worker->second.spec.name);
      return kj::str("Attempt ", task.attempt.value, " was sent to worker ", name, " ", secondsText(now - task.assignedAt),
                     " ago, at level ", static_cast<uint>(task.level), " (", levelName(task.level), ").");
    }
    case core::TaskState::BACKOFF:
      return kj::str("Attempt ", task.attempt.value, " failed; waiting before the next. ", task.retriesLeft,
                     " retries are left after it.");
    case core::TaskState::ENDED: break;
  }
  return kj::str("It has ended.");
}

}  // namespace epochly::route

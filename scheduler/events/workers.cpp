// What workers do: join, beat, leave, vanish.
#include <algorithm>

#include "events/events.h"

namespace epochly::events {

using core::Worker;
using core::WorkerState;

WorkerId Events::onJoin(core::WorkerSpec spec, kj::TimePoint now) {
  KJ_IF_MAYBE(why, admission::refuseWorker(core)) {
    kj::throwFatalException(makeError(ErrorCode::OVERLOADED, *why));
  }
  WorkerId id(++core.lastWorkerId);
  auto& worker = core.workers[id];
  worker.id = id;
  worker.spec = kj::mv(spec);
  worker.lastHeard = now;
  for (uint i = 0; i < LEVEL_COUNT; i++) {
    auto level = static_cast<Level>(i);
    auto& slots = worker.pool(level).slots;
    slots = std::max(slots, worker.spec.slots[i]);
  }
  observer.workerJoined(worker);
  refit(now);
  settle(now);
  return id;
}

void Events::onHeartbeat(WorkerId id, const core::Load& load, kj::TimePoint now) {
  auto found = core.workers.find(id);
  if (found == core.workers.end()) return;
  found->second.lastHeard = now;
  found->second.load = load;
}

void Events::onFunctionSent(WorkerId id, FunctionHash hash) {
  auto found = core.workers.find(id);
  if (found != core.workers.end()) found->second.functions.emplace(hash, 0);
}

void Events::onWorkerLeaving(WorkerId id, kj::TimePoint now) {
  auto found = core.workers.find(id);
  if (found == core.workers.end()) return;
  found->second.state = WorkerState::DRAINING;
  refit(now);
  settle(now);
}

void Events::onLost(WorkerId id, kj::StringPtr why, kj::TimePoint now) {
  auto found = core.workers.find(id);
  if (found == core.workers.end()) return;
  auto& worker = found->second;
  struct Held {
    core::Task* task;
    bool mayHaveBegun;
  };
  kj::Vector<Held> tasks;
  for (auto& pool : worker.pools) {
    uint64_t position = 0;
    for (auto task = pool.held.head; task != nullptr; task = task->next) tasks.add(Held{task, position++ < pool.slots});
  }
  // Newest first, each to the front of its queue: they end up in the order in which they were accepted.
  std::sort(tasks.begin(), tasks.end(), [](auto& a, auto& b) {
    return std::tie(b.task->acceptedAt, b.task->id) < std::tie(a.task->acceptedAt, a.task->id);
  });
  for (auto& held : tasks) takeBack(*held.task, worker, held.mayHaveBegun, now);
  observer.workerGone(worker, why);
  reserve(worker, false);
  core.workers.erase(found);
  ports.workers.drop(id, why);
  refit(now);
  settle(now);
}

}  // namespace epochly::events

// Work that was sent ahead to one worker and waits there, while another has nothing to do.
#include <algorithm>

#include "events/events.h"

namespace epochly::events {

using core::PoolUse;
using core::Task;
using core::Worker;

namespace {

bool isIdle(const PoolUse& pool, const core::Limits& limits) {
  return pool.inflight < std::min(pool.slots, limits.inflightMax);
}

}  // namespace

// Asks back one attempt for each slot that is free elsewhere. What has begun meanwhile runs on: the worker knows.
void Events::recallWaiting(kj::TimePoint now) {
  if (core.aheadCount == 0) return;
  for (uint pool = 0; pool < core::POOL_COUNT; pool++) {
    kj::Vector<Worker*> idle;  // one entry per free slot, as many as could be needed
    for (auto& [id, worker] : core.workers) {
      if (worker.state != core::WorkerState::READY || worker.reserved || !isIdle(worker.pools[pool], core.limits)) continue;
      auto& use = worker.pools[pool];
      auto count = std::min<uint64_t>(use.slots - use.inflight, core.aheadCount);
      for (uint64_t i = 0; i < count; i++) idle.add(&worker);
    }
    for (auto& [id, worker] : core.workers) {
      if (idle.empty()) break;
      recallFrom(worker, worker.pools[pool], idle, now);
    }
  }
}

// The newest first: the oldest are the next to begin where they are.
void Events::recallFrom(Worker& worker, PoolUse& pool, kj::Vector<Worker*>& idle, kj::TimePoint now) {
  auto task = pool.held.tail;
  for (auto position = pool.held.size; position > pool.slots && !idle.empty(); position--, task = task->previous) {
    if (task->recallRequested || task->cancelRequested || now - task->assignedAt < core.limits.recallAfter) continue;
    auto taker = std::find_if(idle.begin(), idle.end(), [&](auto other) {
      return other->hasFreeSlot(task->level) && other->fits(task->keyAt(task->level));
    });
    if (taker == idle.end()) continue;
    *taker = idle.back();
    idle.removeLast();
    task->recallRequested = true;
    pool.stalled = true;
    ports.workers.recall(worker.id, task->id, task->attempt);
  }
}

}  // namespace epochly::events

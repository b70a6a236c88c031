#include "metrics/page.h"

namespace epochly::metrics {

namespace {

void addQueues(Snapshot& snapshot, const core::Core& core, kj::TimePoint now) {
  for (auto& [key, queue] : core.queues) {
    if (queue.head == nullptr) continue;
    (core.workers.empty()          ? snapshot.waitNoWorker
     : queue.unfitSince != nullptr ? snapshot.waitNoFit
                                   : snapshot.waitSlot) += queue.size;
    double age = static_cast<double>((now - queue.head->acceptedAt) / kj::NANOSECONDS) * 1e-9;
    snapshot.oldestPendingSeconds = std::max(snapshot.oldestPendingSeconds, age);
  }
  snapshot.queued = snapshot.waitNoWorker + snapshot.waitNoFit + snapshot.waitSlot;
  snapshot.backoff = core.backoff.size();
}

void addWorkers(Snapshot& snapshot, const core::Core& core) {
  for (auto& [id, worker] : core.workers) {
    bool isReady = worker.state == core::WorkerState::READY;
    (isReady ? snapshot.workersReady : snapshot.workersDraining)++;
    snapshot.running += worker.inflight.size();
    for (uint pool = 0; pool < core::POOL_COUNT; pool++) {
      snapshot.inflight[pool] += worker.pools[pool].inflight;
      if (isReady) snapshot.slots[pool] += worker.pools[pool].slots;
    }
    for (uint level = 0; isReady && level < LEVEL_COUNT; level++) {
      snapshot.offering[level] += worker.spec.offers(static_cast<Level>(level));
    }
  }
}

void addClients(Snapshot& snapshot, const core::Core& core) {
  for (auto& [space, client] : core.clients) {
    (client.connected ? snapshot.clientsConnected : snapshot.clientsAwaited)++;
    snapshot.resultBytes += client.resultBytes;
  }
}

}  // namespace

Snapshot Snapshot::take(const Metrics& metrics, const core::Core& core, const Outside& outside, kj::TimePoint now) {
  Snapshot snapshot;
  snapshot.counts = metrics.counts();
  snapshot.outside = outside;
  snapshot.totals = core.totals;
  addQueues(snapshot, core, now);
  addWorkers(snapshot, core);
  addClients(snapshot, core);
  snapshot.functions = core.functions.size();
  snapshot.functionBytes = core.functionBytes;
  snapshot.argumentBytes = core.argumentBytes;
  snapshot.draining = core.draining;
  return snapshot;
}

}  // namespace epochly::metrics

// The page that Prometheus reads.
#pragma once

#include <string>

#include "metrics/metrics.h"

namespace epochly::metrics {

// What main knows and the core does not.
struct Outside {
  uint64_t rpcConnections = 0;
  uint64_t rpcConnectionsRefused = 0;
  uint64_t rpcConnectionsMalformed = 0;
  uint64_t rpcHellosRefused = 0;
  uint64_t rpcCalls = 0;
};

// A moment's figures, free of the core: made on the scheduler's loop in microseconds, rendered on any thread.
struct Snapshot {
  Counts counts;
  Outside outside;
  core::Totals totals;
  uint64_t queued = 0, running = 0, backoff = 0;
  uint64_t waitNoWorker = 0, waitNoFit = 0, waitSlot = 0;  // of `queued`, by what they wait for
  double oldestPendingSeconds = 0;
  uint64_t workersReady = 0, workersDraining = 0;
  std::array<uint64_t, LEVEL_COUNT> offering{};
  std::array<uint64_t, core::POOL_COUNT> slots{}, inflight{};
  uint64_t clientsConnected = 0, clientsAwaited = 0;
  uint64_t functions = 0, functionBytes = 0, argumentBytes = 0, resultBytes = 0;
  bool draining = false;

  static Snapshot take(const Metrics& metrics, const core::Core& core, const Outside& outside, kj::TimePoint now);
};

// Text exposition format 0.0.4.
std::string page(const Snapshot& snapshot);

}  // namespace epochly::metrics

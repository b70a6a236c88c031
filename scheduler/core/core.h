// The scheduler's tables. Only events/ changes them; everyone else reads.
#pragma once

#include <map>
#include <unordered_map>

#include "core/worker.h"

namespace epochly::core {

// Every bound of the scheduler, with its reason. Configurable; the tests run at small ones.
struct Limits {
  // 4M tasks of 600 bytes are 2.4 GB: what a 4 GiB host can hold beside their arguments.
  uint64_t tasksMax = 4'000'000;
  // Inline arguments of all tasks that have not ended.
  uint64_t argumentBytesMax = 2ull << 30;
  // Results waiting for acknowledgement, per client. Past it the client's new submissions are refused, its tasks still end.
  uint64_t resultBytesMax = 1ull << 30;
  // Distinct functions known at once; each is a table row, a bounded blob, and (grouped) a metric label.
  uint64_t functionsMax = 10'000;
  uint64_t functionBytesMax = 512ull << 20;
  // Joined workers: placement looks at each.
  uint64_t workersMax = 10'000;
  uint64_t clientsMax = 10'000;
  // Epitaphs, oldest forgotten first: an hour at 3 tasks/s, 100 bytes each.
  uint64_t endedMax = 10'000;
  // A client that lost its connection may resume within this.
  kj::Duration clientGrace = 30 * kj::SECONDS;
  // Tasks that no joined worker fits (Python version, host) wait this long for one, then fail with NO_FITTING_WORKER.
  kj::Duration unfitGrace = 10 * kj::SECONDS;
  kj::Duration heartbeat = 1 * kj::SECONDS;
  // First retry after this, doubled each time, at most retryDelayMax, jittered by up to half.
  kj::Duration retryDelay = 10 * kj::MILLISECONDS;
  kj::Duration retryDelayMax = 10 * kj::SECONDS;
  // Work sent ahead of a free slot: as much as covers a round trip and a busy loop (10 ms), reckoned in time ...
  kj::Duration prefetch = 10 * kj::MILLISECONDS;
  // ... and never more attempts than this per slot.
  uint32_t prefetchMax = 1024;
  // ... nor this per worker and pool: 16,384 small attempts are 4 MB in the worker.
  uint32_t inflightMax = 16'384;
  // An attempt that waits at its worker for longer than this while another has a slot free is asked back: five times what
  // prefetch covers, so that it is not merely late. Also how often this is looked at: 20 times a second costs nothing.
  kj::Duration recallAfter = 50 * kj::MILLISECONDS;
  // Told to a client that met a bound.
  kj::Duration retryAfter = 50 * kj::MILLISECONDS;
};

struct Totals {
  uint64_t submitted = 0;
  uint64_t succeeded = 0;
  uint64_t failed = 0;
  uint64_t cancelled = 0;
  uint64_t retried = 0;
  uint64_t staleResults = 0;
  uint64_t duplicates = 0;  // submissions seen before
};

// Lives on the scheduler's kj loop.
struct Core {
  Limits limits;

  std::unordered_map<TaskId, Task> tasks;        // every accepted task that has not ended
  std::map<QueueKey, ReadyQueue> queues;         // ordered, so that placement is deterministic
  std::multimap<kj::TimePoint, TaskId> backoff;  // tasks in BACKOFF by the time they are due
  std::unordered_map<FunctionHash, Function> functions;
  std::map<WorkerId, Worker> workers;
  std::unordered_map<SpaceId, Client> clients;
  std::deque<Epitaph> ended;
  std::unordered_map<TaskId, Epitaph*> endedById;  // into `ended`: a deque's ends do not move its elements
  Totals totals;
  uint64_t argumentBytes = 0;
  uint64_t functionBytes = 0;
  uint64_t eventCount = 0;
  uint64_t lastWorkerId = 0;
  uint64_t aheadCount = 0;  // attempts sent ahead of a free slot: over all pools, inflight beyond slots
  uint32_t reservedWorkers = 0;
  bool draining = false;  // SIGTERM came: nothing new is accepted

  uint64_t queuedCount() const;
  uint64_t runningCount() const;
  bool offered(Level level) const;  // by any READY worker
  // Whether `client` can open what `worker`'s executors put into shared memory.
  bool sharesMemory(SpaceId client, const Worker& worker) const;

  // Throws, naming what is wrong, if the tables contradict each other. O(everything): for tests and the auditor.
  void checkInvariants() const;
};

}  // namespace epochly::core

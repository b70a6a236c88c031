// The narrow interfaces through which events leave the core. Implementations must not call back into the core: they note what
// is to be done and do it on a later turn of their loop.
#pragma once

#include <kj/time.h>

#include "core/task.h"

namespace epochly::core {

// Implemented by dispatch (and by the simulation).
class WorkerPort {
 public:
  virtual ~WorkerPort() = default;
  // Task and function stay in the core while the attempt is current: read them when the batch is written.
  virtual void send(WorkerId worker, TaskId task, Attempt attempt) = 0;
  virtual void cancel(WorkerId worker, TaskId task, Attempt attempt) = 0;
  // Asks for it back if it has not begun; it is answered as every attempt, not run or as it ends.
  virtual void recall(WorkerId worker, TaskId task, Attempt attempt) = 0;
  // Nobody will take this attempt's result, which is in shared memory on its host.
  virtual void discard(WorkerId worker, TaskId task, Attempt attempt) = 0;
  // The core has taken its tasks back; close the connection.
  virtual void drop(WorkerId worker, kj::StringPtr why) = 0;
};

// Implemented by rpc.
class ClientPort {
 public:
  virtual ~ClientPort() = default;
  // Client::results has entries past `sent`.
  virtual void resultsReady(SpaceId space) = 0;
};

// Implemented by store.
class StorePort {
 public:
  virtual ~StorePort() = default;
  virtual void accepted(const Task& task) = 0;
  virtual void ended(const Result& result) = 0;
  virtual void acknowledged(TaskId task) = 0;
};

// Implemented by the kj timer in main.
class TimerPort {
 public:
  virtual ~TimerPort() = default;
  // Call Events::onTick at `when`. A later call replaces an earlier one.
  virtual void wakeAt(kj::TimePoint when) = 0;
};

// Uniform 64-bit numbers: jitter and namespaces.
class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t next() = 0;
};

struct Ports {
  WorkerPort& workers;
  ClientPort& clients;
  StorePort& store;
  TimerPort& timer;
  Random& random;
};

}  // namespace epochly::core

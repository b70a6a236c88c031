// What the core tells of itself, for metrics. Called on the scheduler's loop, once per event; must be cheap and not throw.
#pragma once

#include "core/worker.h"

namespace epochly::core {

// Why an attempt did not end its task.
enum class AttemptEnd : uint8_t { RETURNED, FAILED, EXECUTOR_DIED, TIMED_OUT, WORKER_LOST, NOT_RUN };
kj::StringPtr attemptEndName(AttemptEnd end);

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void submitted(const Task& task) {}
  virtual void refused(ErrorCode why, uint64_t tasks) {}
  virtual void assigned(const Task& task, kj::Duration queued) {}
  virtual void attemptEnded(const Task& task, AttemptEnd end) {}
  virtual void retried(const Task& task) {}
  virtual void ended(const Task& task, const Result& result, kj::Duration endToEnd) {}
  virtual void staleResult() {}
  virtual void declined(Level level) {}
  virtual void workerJoined(const Worker& worker) {}
  virtual void workerGone(const Worker& worker, kj::StringPtr why) {}
};

}  // namespace epochly::core

// What happens in the worker, for those who only count: metrics and tests. Calls are made on the daemon's loop and must be quick.
#pragma once

#include "run/assignment.h"

namespace epochly::run {

enum class Outcome : uint8_t {
  VALUE,        // the function returned
  FAILURE,      // it raised, or the executor could not run it
  NOT_RUN,      // given back unstarted
  DIED,         // its executor died under it
  TIMEOUT,
  CANCELLED,
  DROPPED,      // the connection was lost; the scheduler has taken it back
};
constexpr uint OUTCOME_COUNT = 7;
kj::StringPtr outcomeName(Outcome outcome);  // "value", "failure", ...: metric labels

class Observer {
 public:
  virtual ~Observer() = default;
  // replacement: as many as wanted had been started before.
  virtual void onExecutorStarted(Role role, bool replacement) {}
  virtual void onExecutorReady(Role role) {}
  // wasReady: it had said so.
  virtual void onExecutorGone(Role role, bool wasReady) {}
  virtual void onAttemptTaken(Level level) {}
  virtual void onAttemptEnded(Level level, Outcome outcome) {}
  // As the executor measured it; only for attempts that ran.
  virtual void onAttemptRan(Level level, kj::Duration run) {}
  virtual void onAttemptsRecalled(uint count) {}   // given to an executor ahead of time, taken back from behind a long one
  virtual void onAttemptsSuspected(uint count) {}  // shared an executor that died
  virtual void onResultDropped() {}                // nobody waits for it: timed out, cancelled or taken back before
};

}  // namespace epochly::run

// What kind of world a seed makes: its size, its faults and its limits. Swarm testing: each seed draws which faults are
// there at all and how strong they are, so that rare combinations get worlds of their own.
#pragma once

#include <kj/array.h>
#include <kj/string.h>

#include "core/core.h"

namespace epochly::sim {

// Functions a client keeps ids for on one connection.
constexpr uint FUNCTION_IDS = 4;
// Of a pickled function here.
constexpr uint FUNCTION_CODE_BYTES_MAX = 2000;

// A default-made plan is calm: small, and without faults. Every member is a double so that all can be set, printed and
// shrunk alike. Chances are per draw, `...Seconds` are mean times between, 0 = never.
struct Plan {
  uint64_t seed = 0;

  // ---- size ----
  double clients = 1;
  double workers = 1;
  double tasks = 10;  // per client
  double burst = 10;  // tasks a client makes at once
  double functions = 1;
  double turmoilSeconds = 5;  // faults happen this long

  // ---- what tasks do ----
  double runMs = 5;           // mean over all functions
  double stragglers = 0;      // chance of running a hundred times as long
  double failing = 0;         // chance that an attempt raises
  double broken = 0;          // chance that it fails in another way
  double dying = 0;           // chance that it kills its executor
  double notRun = 0;          // chance that the worker gives it back untouched
  double declining = 0;       // chance that the level asked for declines
  double poison = 0;          // share of functions that kill the worker whenever they run
  double timeouts = 0;        // share of tasks with a timeout
  double cancels = 0;         // share of tasks that are cancelled
  double invalid = 0;         // share of tasks that break a limit of the protocol
  double retries = 0;         // most retries a task asks for
  double explicitLevels = 0;  // share of tasks that name their level
  double argumentBytes = 100;
  double resultBytes = 100;
  double pythons = 1;          // Python versions among workers and functions
  double hosts = 1;            // among workers, and among the shared memory of arguments
  double sharedArguments = 0;  // share of tasks that need a host

  // ---- the network ----
  double delayMs = 0.1;
  double cutSeconds = 0;        // per connection
  double noticeSeconds = 0.01;  // until an end learns that its connection is gone
  double doubledReports = 0;    // chance that a worker sends a batch twice
  double doubledSubmissions = 0;
  double late = 0;  // chance that what comes from a connection given up is still heard

  // ---- clients ----
  double awaySeconds = 0;  // a client drops its connection and comes back
  double awayLong = 0;     // chance that this takes longer than it is remembered
  double vanishing = 0;    // share of clients that go without a word
  double closing = 0;      // share of clients that close with tasks pending

  // ---- workers ----
  double crashSeconds = 0;
  double freezeSeconds = 0;
  double leaveSeconds = 0;
  double downSeconds = 1;  // until a worker that went starts again
  double crashAllAt = 0;   // seconds; all at once

  // ---- the scheduler ----
  double stallSeconds = 0;  // its process hangs
  double drainAt = 0;       // seconds
  double turnMicros = 50;   // a turn of its loop, at most
  double timerLateMs = 0;
  double mischiefSeconds = 0;  // between calls that no honest peer makes

  // ---- limits ----
  double tasksMax = 4e6;
  double argumentBytesMax = 2e9;
  double resultBytesMax = 1e9;
  double functionsMax = 10e3;
  double functionBytesMax = 5e8;
  double workersMax = 10e3;
  double clientsMax = 10e3;
  double endedMax = 10e3;
  double clientGraceMs = 30e3;
  double unfitGraceMs = 10e3;
  double heartbeatMs = 1000;
  double retryDelayMs = 10;
  double retryDelayMaxMs = 10e3;
  double prefetchMs = 10;
  double prefetchMax = 1024;
  double inflightMax = 16384;

  static Plan draw(uint64_t seed);

  core::Limits limits() const;
  // Nothing else closes a worker's connection with work in hand.
  bool onlyPoisonLosesWorkers() const {
    return crashSeconds == 0 && freezeSeconds == 0 && crashAllAt == 0 && cutSeconds == 0 && stallSeconds == 0 &&
           mischiefSeconds == 0;
  }
  // Raises bounds that would keep honest peers out for ever: a limit below one task's arguments is not a fault to survive.
  void makeViable();
  // Knobs that differ from a calm plan's, as "--set name=value ...".
  kj::String describe() const;
};

struct Knob {
  const char* name;
  double Plan::*value;
};

// All of them, the most telling first: the shrinker tries them in this order.
kj::ArrayPtr<const Knob> knobs();
// None: there is no such knob.
kj::Maybe<const Knob&> findKnob(kj::StringPtr name);

}  // namespace epochly::sim

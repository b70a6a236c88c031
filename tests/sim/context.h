// What every part of one world shares.
#pragma once

#include <array>
#include <stdexcept>

#include "sim/clock.h"
#include "sim/log.h"
#include "sim/plan.h"
#include "sim/rng.h"

namespace epochly::sim {

// A rule that the core broke. Ends the world.
struct Violation : std::runtime_error {
  explicit Violation(kj::StringPtr text) : std::runtime_error(text.cStr()) {}
};

#define SIM_RULE(condition, ...)                                             \
  do {                                                                       \
    if (!(condition)) throw ::epochly::sim::Violation(kj::str(__VA_ARGS__)); \
  } while (false)

// What was done to the core, so that a run can show that it did it.
enum class Fault : uint8_t {
  CONNECTION_CUT,
  MESSAGE_LOST,
  REPORT_DOUBLED,
  SUBMISSION_DOUBLED,
  SUBMISSION_RESENT,  // the same task offered again, because no receipt came
  LATE_MESSAGE,       // from a connection that was given up
  WORKER_CRASHED,
  WORKER_FROZEN,
  WORKER_LEFT,
  WORKER_SILENT,  // dropped by the core for missed heartbeats
  CLIENT_AWAY,
  CLIENT_FORGOTTEN,
  CLIENT_VANISHED,
  CLIENT_CLOSED_EARLY,
  TASK_CANCELLED,
  EXECUTOR_DIED,
  ATTEMPT_FAILED,
  ATTEMPT_TIMED_OUT,
  ATTEMPT_NOT_RUN,
  LEVEL_DECLINED,
  LEVEL_NOT_OFFERED,
  TASK_INVALID,
  RESULT_REPEATED,  // a client saw a result again after a new connection
  SUBMISSION_OVERLOADED,
  FUNCTION_OVERLOADED,
  FUNCTION_EVICTED,
  WORKER_REFUSED,
  CLIENT_REFUSED,
  SCHEDULER_STALLED,
  SCHEDULER_DRAINED,
  MISCHIEF,
  ATTEMPT_RECALLED,
  TASK_RAN_ALONE,
};
constexpr uint FAULT_COUNT = 33;
const char* faultName(Fault fault);

struct Stats {
  std::array<uint64_t, FAULT_COUNT> faults{};
  std::array<uint64_t, ERROR_CODE_COUNT> failures{};  // tasks that ended FAILED, by code
  uint64_t tasks = 0;
  uint64_t attempts = 0;
  uint64_t succeeded = 0;
  uint64_t cancelled = 0;
  uint64_t staleReports = 0;
  uint64_t steps = 0;  // of the clock
  uint64_t coreEvents = 0;
  uint64_t audits = 0;  // runs of Core::checkInvariants()

  uint64_t& operator[](Fault fault) { return faults[static_cast<uint>(fault)]; }
  uint64_t operator[](Fault fault) const { return faults[static_cast<uint>(fault)]; }
  Stats& operator+=(const Stats& other);
  kj::String describe() const;
};

// Who draws from which stream of the seed; see Rng.
enum class Stream : uint64_t {
  PLAN = 1,
  CORE,
  SCHEDULER,
  NETWORK,
  MISCHIEF,
  WORLD,
  FUNCTIONS,
  CLIENTS = 1'000,
  WORKERS = 1'000'000
};

struct Context {
  Context(const Plan& plan, bool verbose) : plan(plan), log(verbose) {}

  const Plan plan;
  Clock clock;
  Log log;
  Stats stats;
  bool turmoil = true;                                       // faults happen; false once the world heals
  kj::TimePoint stalledUntil = kj::origin<kj::TimePoint>();  // the scheduler's process does nothing before

  kj::TimePoint now() const { return clock.now(); }
  Rng rng(Stream stream, uint64_t index = 0) const { return Rng(plan.seed, static_cast<uint64_t>(stream) + index); }
  // See log.cpp for what each of `what` says.
  void note(What what, uint64_t a = 0, uint64_t b = 0) { log.add({now(), what, TaskId(), a, b}); }
  void noteTask(What what, TaskId task, uint64_t a = 0, uint64_t b = 0) { log.add({now(), what, task, a, b}); }
  void noteWord(What what, const char* word, uint64_t a = 0, TaskId task = TaskId()) {
    log.add({now(), what, task, a, 0, word});
  }
};

}  // namespace epochly::sim

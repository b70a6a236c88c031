// Every metric of the scheduler: the one table behind the page, docs/metrics.md and their test.
#pragma once

#include <cstdint>

namespace epochly::metrics {

enum class Kind : uint8_t { COUNTER, GAUGE, HISTOGRAM };
const char* kindName(Kind kind);

// In the order of the page.
enum class Name : uint8_t {
  BUILD_INFO,
  TASKS,
  TASKS_PENDING,
  OLDEST_PENDING_AGE,
  TASKS_SUBMITTED,
  TASKS_FINISHED,
  TASKS_FAILED,
  ATTEMPTS,
  RETRIES,
  SUBMISSIONS_REFUSED,
  SUBMISSIONS_DUPLICATE,
  STALE_RESULTS,
  LEVELS_DECLINED,
  PHASE_SECONDS,
  END_TO_END_SECONDS,
  CPU_SECONDS,
  WORKERS,
  WORKERS_OFFERING,
  SLOTS,
  INFLIGHT,
  WORKERS_JOINED,
  WORKERS_GONE,
  CLIENTS,
  FUNCTIONS,
  STATE_BYTES,
  LOOP_LAG,
  RPC_CONNECTIONS,
  RPC_CONNECTIONS_FAILED,
  RPC_CALLS,
  DRAINING,
  PROCESS_RESIDENT_BYTES,
  PROCESS_CPU_SECONDS,
  PROCESS_OPEN_FDS,
  PROCESS_START_TIME,
};
constexpr unsigned NAME_COUNT = static_cast<unsigned>(Name::PROCESS_START_TIME) + 1;

struct Row {
  Name id;
  const char* name;
  Kind kind;
  const char* labels;  // "phase, level", empty if there are none
  const char* help;
};
const Row& row(Name name);

}  // namespace epochly::metrics

// What happened in a world: hashed whole, the last of it kept, printed when asked.
#pragma once

#include <cstdio>
#include <vector>

#include <kj/string.h>
#include <kj/time.h>

#include "wire/ids.h"

namespace epochly::sim {

// One per sentence of log.cpp.
enum class What : uint8_t {
  CLIENT_CONNECTS,
  CLIENT_WELCOME,
  CLIENT_TURNED_AWAY,
  CLIENT_SUBMITS,
  CLIENT_RECEIPT,
  CLIENT_REFUSED,
  CLIENT_CANCELS,
  CLIENT_RESULT,
  CLIENT_AWAY,
  CLIENT_VANISHES,
  CLIENT_CLOSES,
  CLIENT_FORGOTTEN,
  CLIENT_DONE,
  WORKER_CONNECTS,
  WORKER_JOINED,
  WORKER_GETS,
  WORKER_STARTS,
  WORKER_REPORTS,
  WORKER_CRASHES,
  WORKER_FREEZES,
  WORKER_LEAVES,
  WORKER_GONE,
  TASK_ACCEPTED,
  TASK_ASSIGNED,
  ATTEMPT_ENDED,
  TASK_RETRIED,
  TASK_ENDED,
  STALE_REPORT,
  WIRE_CUT,
  MESSAGE_LOST,
  WIRE_CLOSED,
  SCHEDULER_STALLS,
  SCHEDULER_DRAINS,
  SCHEDULER_TICK,
  MISCHIEF,
  FAULTS_STOP,
};

class Log {
 public:
  // verbose: print every line as it is written.
  explicit Log(bool verbose) : verbose(verbose) { last.resize(KEPT_MAX); }

  // What the numbers and the word mean is said in log.cpp, by the sentence.
  struct Line {
    kj::TimePoint at = kj::origin<kj::TimePoint>();
    What what = What::FAULTS_STOP;
    TaskId task;
    uint64_t a = 0, b = 0;
    const char* word = "";
  };
  void add(const Line& line);

  // Of every line so far: two runs of one seed must agree.
  uint64_t hash() const { return sum; }
  uint64_t lines() const { return count; }
  // The newest lines, oldest first.
  kj::String tail(size_t lines) const;

 private:
  // As much as a person reads before replaying the seed with --verbose.
  static constexpr size_t KEPT_MAX = 256;

  const bool verbose;
  uint64_t sum = 0xcbf29ce484222325ull;
  uint64_t count = 0;
  std::vector<Line> last;  // a ring

  static kj::String text(const Line& line);
};

}  // namespace epochly::sim

// The two clocks of a call.
#pragma once

#include <ctime>

#include "levels/monitor/sampling.h"

namespace epochly::ext {

inline monitor::Nanos readClock(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return static_cast<monitor::Nanos>(t.tv_sec) * 1'000'000'000u + static_cast<monitor::Nanos>(t.tv_nsec);
}

inline monitor::Nanos wallNow() { return readClock(CLOCK_MONOTONIC); }
// CPU time of the calling thread: a system call.
inline monitor::Nanos cpuNow() { return readClock(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace epochly::ext

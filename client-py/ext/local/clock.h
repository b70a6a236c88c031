// The two clocks of a call.
#pragma once

#include <sys/resource.h>

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

// What a thread has had of the CPUs so far. Two system calls.
struct CpuReading {
  monitor::Nanos cpu = 0;
  // How often it gave up its CPU to wait for something. A thread that never did was at most kept from running by others.
  long waits = 0;

  static CpuReading now() {
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return {cpuNow(), usage.ru_nvcsw};
  }
};

}  // namespace epochly::ext

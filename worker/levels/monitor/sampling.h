// When to measure what, so that measuring costs a bounded share of the time. Pure: readings of the clocks are arguments.
#pragma once

#include <cstdint>

namespace epochly::monitor {

using Nanos = uint64_t;
constexpr Nanos NEVER = ~Nanos(0);

// Reading what a thread had of the CPUs takes system calls, about 0.9 us; the wall clock takes 25 ns. So wall time is read on every call,
// CPU time where the two readings cannot be felt.

// From here on two CPU readings are at most 2 % of the call: always read.
constexpr Nanos LONG_CALL_NS = 100'000;
// What all short calls of a thread together may spend on CPU readings: one part in this many.
constexpr Nanos CPU_READING_SHARE = 100;
// A start that was not read is taken from the thread's last reading if the gap is at most one part in this many of the call.
constexpr Nanos ANCHOR_GAP_SHARE = 50;

// Counting loops slows a call several times over. Its share of the time spent in a function: one part in this many.
constexpr Nanos LOOP_COUNTING_SHARE = 50;
// What a function may spend on counting before it has earned anything by the share: enough for the second call of a
// 10 ms function, too little to be noticed once.
constexpr Nanos LOOP_COUNTING_INITIAL_NS = 50'000'000;
// Counted calls are 2, 4, 8, ... calls apart, never more: arguments change while a program runs.
constexpr uint64_t LOOP_COUNTING_SPACING_MAX = 1024;
// Guess of how much slower a counted call is, until one was seen.
constexpr double LOOP_COUNTING_SLOWDOWN = 8;

// Rations the CPU readings of one thread's short calls, whatever functions they are of. Lives on its thread.
class CpuRation {
 public:
  explicit CpuRation(Nanos readingCost) : interval(2 * readingCost * CPU_READING_SHARE) {}
  bool take(Nanos now) {
    if (now < next) return false;
    next = now + interval;
    return true;
  }

 private:
  const Nanos interval;
  Nanos next = 0;
};

// The last CPU reading of a thread, from which a start shortly after it can be told. Lives on its thread.
class CpuAnchor {
 public:
  void set(Nanos wall, Nanos cpu, long waits) { wallNs = wall, cpuNs = cpu, waitCount = waits; }
  // Whether the last reading is recent enough to stand for one at `start`, for a call that took `wall` from there.
  bool standsFor(Nanos start, Nanos wall) const;
  // The thread's CPU clock at `start`, if so. It is taken to have been running in the gap: a call that follows closely on
  // another rarely waited in between.
  Nanos cpuAt(Nanos start) const { return cpuNs + (start - wallNs); }
  long waits() const { return waitCount; }

 private:
  Nanos wallNs = NEVER;  // NEVER: no reading yet
  Nanos cpuNs = 0;
  long waitCount = 0;
};

// The sampling of one function on one thread. A stretch is one uninterrupted run of its code: a call, or a generator's way to
// its next yield.
class CallSampler {
 public:
  // A function shares one initial allowance for counting among its threads: only the first sampler gets it.
  // `sessionCost`: what starting and stopping the counting costs everyone else, charged to each counted call.
  CallSampler(Nanos initialAllowance, Nanos sessionCost);

  // Whether to count the loops of the call that begins now: NEVER for no, else for how much CPU time at most. The first call is not
  // counted: its plain time is worth more, and without it nothing says how long a counted one may take.
  Nanos beginCall() {
    if (++calls < loopsNext) return NEVER;
    return planCounting();
  }
  // Whether to read the CPU clock around the stretch that begins now.
  bool beginStretch(Nanos now, CpuRation& ration) {
    if (++stretches == cpuNext) {
      cpuNext *= 2;
      return true;
    }
    return expected >= LONG_CALL_NS || ration.take(now);
  }
  void endStretch(Nanos wall);
  // A call was counted to its end (or not: `complete`) and took so much CPU time meanwhile.
  void endCounted(Nanos cpu, bool complete);
  // The host could not count: something else holds the trace function.
  void refusedCounting();

 private:
  Nanos planCounting();
  void postpone(uint64_t calls);
  void moveApart();

  uint64_t calls = 0;
  uint64_t stretches = 0;
  uint64_t cpuNext = 1;  // the stretch that is read next whatever the ration says: 1, 2, 4, 8, ...
  Nanos expected = 0;    // exponentially weighted mean of stretches, newest 1/8
  Nanos plainTotal = 0;

  uint64_t loopsNext = 2;
  uint64_t spacing = 2;
  Nanos earned;  // the initial allowance
  Nanos spent = 0;
  Nanos limitReached = 0;  // the longest limit at which a count was cut
  double slowdown = LOOP_COUNTING_SLOWDOWN;
  const Nanos sessionCost;
};

}  // namespace epochly::monitor

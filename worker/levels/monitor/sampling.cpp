#include "levels/monitor/sampling.h"

#include <algorithm>

namespace epochly::monitor {

bool CpuAnchor::standsFor(Nanos start, Nanos wall) const {
  return wallNs != NEVER && start >= wallNs && start - wallNs <= wall / ANCHOR_GAP_SHARE;
}

CallSampler::CallSampler(Nanos initialAllowance, Nanos sessionCost) : earned(initialAllowance), sessionCost(sessionCost) {}

void CallSampler::endStretch(Nanos wall) {
  plainTotal += wall;
  expected = stretches <= 1 ? wall : expected - expected / 8 + wall / 8;
}

Nanos CallSampler::planCounting() {
  Nanos allowance = earned + plainTotal / LOOP_COUNTING_SHARE;
  Nanos left = allowance > spent ? allowance - spent : 0;
  if (left <= sessionCost) {
    postpone(std::max<uint64_t>(1, calls / 16));
    return NEVER;
  }
  Nanos limit = left - sessionCost;
  // The first count is made whatever comes of it: cut, it says "at least so many". Later ones wait until they can be finished.
  bool tooLong = limit < 2 * limitReached || (spent > 0 && double(expected) * slowdown > double(limit));
  if (tooLong) {
    postpone(std::max<uint64_t>(1, calls / 16));
    return NEVER;
  }
  postpone(spacing);  // calls that begin before this one ends, as coroutines do
  return limit;
}

void CallSampler::endCounted(Nanos cpu, bool complete) {
  spent += cpu + sessionCost;
  if (complete) {
    if (expected != 0) slowdown = std::clamp(double(cpu) / double(expected), 1.0, 100.0);
    limitReached = 0;
  } else {
    limitReached = std::max(limitReached, cpu);
  }
  moveApart();
}

void CallSampler::refusedCounting() { moveApart(); }

void CallSampler::moveApart() {
  postpone(spacing);
  spacing = std::min(spacing * 2, LOOP_COUNTING_SPACING_MAX);
}

void CallSampler::postpone(uint64_t by) { loopsNext = calls + by; }

}  // namespace epochly::monitor

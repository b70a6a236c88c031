#include "levels/monitor/tally.h"

#include <algorithm>

namespace epochly::monitor {

namespace {

constexpr double NS_PER_MS = 1e6;

// 0 without a measurement would read as "nothing": unknown is NaN.
double ratio(double part, double whole) { return whole > 0 ? part / whole : UNKNOWN; }

double waitRatio(const Totals& t) {
  if (t.cpuSamples.get() == 0) return UNKNOWN;
  return ratio(double(t.waitNs.get()), double(t.waitNs.get() + t.cpuNs.get()));
}

double loopsPerCall(const Totals& t) {
  if (t.loopSamples.get() > 0) return double(t.loopIterations.get()) / double(t.loopSamples.get());
  return ratio(double(t.loopIterationsCut.get()), double(t.loopSamplesCut.get()));
}

void splitTime(Figures& f) {
  f.waitTimeMs = f.totalTimeMs * f.ioWaitRatio;
  f.cpuTimeMs = f.totalTimeMs - f.waitTimeMs;
}

// Visits the sums that simply add up, in both forms alike.
template <typename A, typename B, typename F>
void eachSum(A& a, B& b, F&& visit) {
  visit(a.calls, b.calls);
  visit(a.errors, b.errors);
  visit(a.timedCalls, b.timedCalls);
  visit(a.wallNs, b.wallNs);
  visit(a.cpuSamples, b.cpuSamples);
  visit(a.cpuNs, b.cpuNs);
  visit(a.waitNs, b.waitNs);
  visit(a.loopSamples, b.loopSamples);
  visit(a.loopIterations, b.loopIterations);
  visit(a.loopSamplesCut, b.loopSamplesCut);
  visit(a.loopIterationsCut, b.loopIterationsCut);
  visit(a.sizedCalls, b.sizedCalls);
  visit(a.elements, b.elements);
  for (size_t i = 0; i < LEVEL_COUNT; ++i) {
    visit(a.levels[i].calls, b.levels[i].calls);
    visit(a.levels[i].wallNs, b.levels[i].wallNs);
  }
}

template <typename From>
void join(Totals& into, const From& from) {
  if (from.timedCalls.get() > 0) {
    bool first = into.timedCalls.get() == 0;
    into.wallMinNs.set(first ? from.wallMinNs.get() : std::min(into.wallMinNs.get(), from.wallMinNs.get()));
    into.wallMaxNs.set(std::max(into.wallMaxNs.get(), from.wallMaxNs.get()));
  }
  eachSum(into, from, [](auto& a, const auto& b) { a.add(b.get()); });
}

}  // namespace

void addTimedCall(Tally& tally, Level ran, Nanos wall) {
  bool first = tally.timedCalls.get() == 0;
  if (first || wall < tally.wallMinNs.get()) tally.wallMinNs.set(wall);
  if (wall > tally.wallMaxNs.get()) tally.wallMaxNs.set(wall);
  tally.timedCalls.add(1);
  tally.wallNs.add(wall);
  auto& level = tally.levels[static_cast<size_t>(ran)];
  level.calls.add(1);
  level.wallNs.add(wall);
}

void addCpuSample(Tally& tally, Nanos wall, Nanos cpu, bool waited) {
  tally.cpuSamples.add(1);
  tally.cpuNs.add(std::min(cpu, wall));
  if (waited && wall > cpu) tally.waitNs.add(wall - cpu);
}

void addLoops(Tally& tally, uint64_t iterations, bool complete) {
  (complete ? tally.loopSamples : tally.loopSamplesCut).add(1);
  (complete ? tally.loopIterations : tally.loopIterationsCut).add(iterations);
}

void addSize(Tally& tally, double elements) {
  tally.sizedCalls.add(1);
  tally.elements.add(elements);
}

void clear(Tally& tally) {
  eachSum(tally, tally, [](auto& a, auto&) { a.set({}); });
  tally.wallMinNs.set(0);
  tally.wallMaxNs.set(0);
}

void accumulate(Totals& into, const Tally& from) { join(into, from); }

Figures figuresOf(const Totals& t) {
  Figures f;
  f.totalCalls = t.calls.get();
  f.errorCount = t.errors.get();
  f.timedCalls = t.timedCalls.get();
  f.cpuSamples = t.cpuSamples.get();
  f.loopSamples = t.loopSamples.get();
  f.loopSamplesCut = t.loopSamplesCut.get();
  f.dataSamples = t.sizedCalls.get();
  if (f.timedCalls > 0) {
    f.totalTimeMs = double(t.wallNs.get()) / NS_PER_MS;
    f.minTimeMs = double(t.wallMinNs.get()) / NS_PER_MS;
    f.maxTimeMs = double(t.wallMaxNs.get()) / NS_PER_MS;
    f.avgTimeMs = f.totalTimeMs / double(f.timedCalls);
  }
  f.ioWaitRatio = waitRatio(t);
  splitTime(f);
  f.avgLoopIterations = loopsPerCall(t);
  f.avgDataSize = ratio(t.elements.get(), double(t.sizedCalls.get()));
  return f;
}

void Blend::add(const Totals& totals) {
  join(sums, totals);
  Figures f = figuresOf(totals);
  if (!std::isnan(f.waitTimeMs)) {
    waitMs += f.waitTimeMs;
    waitOfMs += f.totalTimeMs;
  }
  if (!std::isnan(f.avgLoopIterations)) {
    iterations += f.avgLoopIterations * double(f.totalCalls);
    iterationsOf += double(f.totalCalls);
  }
}

Figures Blend::figures() const {
  Figures f = figuresOf(sums);
  f.ioWaitRatio = ratio(waitMs, waitOfMs);
  splitTime(f);
  f.avgLoopIterations = ratio(iterations, iterationsOf);
  return f;
}

}  // namespace epochly::monitor

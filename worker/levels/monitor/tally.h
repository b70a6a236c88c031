// The sums of what was measured of a function: kept by each thread for itself, added up when read, turned into figures.
#pragma once

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>

#include "levels/monitor/sampling.h"
#include "wire/ids.h"

namespace epochly::monitor {

// A sum that one thread writes and any may read: no read-modify-write, so it costs what a plain one does.
template <typename T>
class Cell {
 public:
  void add(T by) { set(get() + by); }
  void set(T to) { value.store(to, std::memory_order_relaxed); }
  T get() const { return value.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value{};
};

template <template <typename> typename Of>
struct LevelSums {
  Of<uint64_t> calls;   // plainly timed, run at this level
  Of<uint64_t> wallNs;  // of those
};

// `Of` is Cell where a thread counts, Plain where sums are read.
template <template <typename> typename Of>
struct Sums {
  Of<uint64_t> calls;   // begun, those a function makes to itself included
  Of<uint64_t> errors;  // ended by an exception
  // Calls that were neither counted nor made by the function to itself: what all times rest on.
  Of<uint64_t> timedCalls;
  Of<uint64_t> wallNs;
  Of<uint64_t> wallMinNs;  // meaningless while timedCalls is 0
  Of<uint64_t> wallMaxNs;
  // Stretches around which the CPU was read.
  Of<uint64_t> cpuSamples;
  Of<uint64_t> cpuNs;   // CPU time of those
  Of<uint64_t> waitNs;  // time in which those waited for something
  // Calls whose loops were counted.
  Of<uint64_t> loopSamples;     // to the end
  Of<uint64_t> loopIterations;  // in those
  Of<uint64_t> loopSamplesCut;  // stopped at their time limit: they did at least so many
  Of<uint64_t> loopIterationsCut;
  // Calls with an argument that has a size.
  Of<uint64_t> sizedCalls;
  Of<double> elements;
  std::array<LevelSums<Of>, LEVEL_COUNT> levels;
};

template <typename T>
struct PlainCell {
  T value{};
  T get() const { return value; }
  void set(T to) { value = to; }
  void add(T by) { value += by; }
};

using Tally = Sums<Cell>;
using Totals = Sums<PlainCell>;

void addTimedCall(Tally& tally, Level ran, Nanos wall);
// `waited`: whether the stretch ever gave up its CPU. If not, what it lacks of the CPU was taken by other programs, and is no
// waiting of its own.
void addCpuSample(Tally& tally, Nanos wall, Nanos cpu, bool waited);
void addLoops(Tally& tally, uint64_t iterations, bool complete);
void addSize(Tally& tally, double elements);
void clear(Tally& tally);
void accumulate(Totals& into, const Tally& from);

constexpr double UNKNOWN = std::numeric_limits<double>::quiet_NaN();

// What the user reads. NaN: not measured.
struct Figures {
  uint64_t totalCalls = 0;
  uint64_t errorCount = 0;
  uint64_t timedCalls = 0;
  uint64_t cpuSamples = 0;
  uint64_t loopSamples = 0;
  uint64_t loopSamplesCut = 0;
  uint64_t dataSamples = 0;
  double totalTimeMs = UNKNOWN;
  double minTimeMs = UNKNOWN;
  double maxTimeMs = UNKNOWN;
  double avgTimeMs = UNKNOWN;
  double ioWaitRatio = UNKNOWN;
  double cpuTimeMs = UNKNOWN;  // totalTimeMs, split as the CPU samples were
  double waitTimeMs = UNKNOWN;
  double avgLoopIterations = UNKNOWN;  // of the calls counted to the end; if there are none, at least so many
  double avgDataSize = UNKNOWN;
};

Figures figuresOf(const Totals& totals);

// Several functions together: each weighs by its calls, its waiting by its time.
class Blend {
 public:
  void add(const Totals& totals);
  Figures figures() const;

 private:
  Totals sums;
  double waitMs = 0, waitOfMs = 0;          // waiting, and the time of the functions whose waiting is known
  double iterations = 0, iterationsOf = 0;  // loop iterations of all calls, and the calls of functions whose loops are known
};

}  // namespace epochly::monitor

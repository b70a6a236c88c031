#include "classify/classify.h"

namespace epochly::classify {

using core::Reason;

namespace {

// The guide's .get(name, 0).
double orZero(double figure) { return std::isnan(figure) ? 0 : figure; }

bool nothingKnown(const core::Workload& workload) {
  return std::isnan(workload.ioWaitRatio) && std::isnan(workload.avgLoopIterations) && std::isnan(workload.avgDataSize);
}

Choice largeData(const core::Workload& workload, const Thresholds& thresholds) {
  if (orZero(workload.avgDataSize) > thresholds.dataSizeParallel) return {Level::MULTICORE, Reason::LARGE_DATA};
  return {Level::MONITOR, Reason::NOT_ENOUGH_WORK};
}

Choice hotLoop(const core::Workload& workload, bool gpuOffered, const Thresholds& thresholds) {
  double dataSize = orZero(workload.avgDataSize);
  if (dataSize > thresholds.dataSizeGpu && gpuOffered) return {Level::GPU, Reason::LARGE_ARRAY_GPU};
  if (dataSize > thresholds.dataSizeParallel) return {Level::MULTICORE, Reason::LARGE_DATA_LOOP};
  return {Level::JIT, Reason::HOT_LOOP};
}

kj::String figure(double value) {
  if (std::isnan(value)) return kj::str("not measured");
  return kj::str(value);
}

struct ReasonRow {
  const char* name;
  const char* text;
};

const ReasonRow& row(Reason reason) {
  static constexpr ReasonRow TABLE[] = {
      {"asked", "the caller named this level"},
      {"io_bound", "I/O-bound: it waits more than half of its time"},
      {"waits_hint", "not measured yet, but it names modules that wait (network, disk, database)"},
      {"hot_loop", "CPU-bound with hot loops"},
      {"large_data_loop", "hot loops over large data that can be split"},
      {"large_data", "large data that can be split"},
      {"large_array_gpu", "hot loops over large arrays, and a worker offers a GPU"},
      {"not_enough_work", "not enough work for another level to pay"},
      {"not_measured", "nothing is known of it yet: it is run as it is and measured"},
  };
  return TABLE[static_cast<uint>(reason)];
}

constexpr Level GPU_FALLBACKS[] = {Level::MULTICORE, Level::JIT, Level::MONITOR};

}  // namespace

Choice classify(const core::Workload& workload, const core::Hints& hints, bool gpuOffered, const Thresholds& thresholds) {
  if (nothingKnown(workload)) {
    if (hints.waits) return {Level::THREADS, Reason::WAITS_HINT};
    return {Level::MONITOR, Reason::NOT_MEASURED};
  }
  if (orZero(workload.ioWaitRatio) > thresholds.ioWaitRatio) return {Level::THREADS, Reason::IO_BOUND};
  if (orZero(workload.avgLoopIterations) > thresholds.loopIterations) return hotLoop(workload, gpuOffered, thresholds);
  return largeData(workload, thresholds);
}

kj::StringPtr describe(Reason reason) { return row(reason).text; }
kj::StringPtr reasonName(Reason reason) { return row(reason).name; }

kj::String describe(const Choice& choice, const core::Workload& workload, const Thresholds& thresholds) {
  return kj::str(describe(choice.reason), " (io_wait_ratio ", figure(workload.ioWaitRatio), ", threshold ",
                 thresholds.ioWaitRatio, "; avg_loop_iterations ", figure(workload.avgLoopIterations), ", threshold ",
                 thresholds.loopIterations, "; avg_data_size ", figure(workload.avgDataSize), ", thresholds ",
                 thresholds.dataSizeParallel, " and ", thresholds.dataSizeGpu, ")");
}

kj::ArrayPtr<const Level> fallbacks(Level level) {
  kj::ArrayPtr<const Level> all(GPU_FALLBACKS);
  switch (level) {
    case Level::GPU: return all;
    case Level::MULTICORE: return all.slice(1, 3);
    case Level::JIT:
    case Level::THREADS: return all.slice(2, 3);
    case Level::MONITOR: break;
  }
  return nullptr;
}

}  // namespace epochly::classify

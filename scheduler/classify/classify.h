// The guide's decision tree: from a workload to a level, with the reason. Pure.
#pragma once

#include "core/core.h"

namespace epochly::classify {

// Named as in the guide's "Code-Based Decision"; each is exclusive (`>`), as printed there.
struct Thresholds {
  double ioWaitRatio = 0.5;
  double loopIterations = 10'000;
  double dataSizeGpu = 10'000'000;
  double dataSizeParallel = 100'000;
};

struct Choice {
  Level level = Level::MONITOR;
  core::Reason reason = core::Reason::NOT_MEASURED;
};

// `gpuOffered` is the guide's check_feature('gpu_acceleration'). Unknown figures count as 0, as the guide's .get(..., 0) does;
// only when nothing at all is known do the hints speak.
Choice classify(const core::Workload& workload, const core::Hints& hints, bool gpuOffered, const Thresholds& thresholds);

// "io_wait_ratio 0.92 > 0.5: I/O-bound". For people; the numbers are those the choice was made from.
kj::String describe(const Choice& choice, const core::Workload& workload, const Thresholds& thresholds);
// Without the numbers, for results: "I/O-bound: it waits more than half of its time".
kj::StringPtr describe(core::Reason reason);
// "io_bound", for JSON and labels.
kj::StringPtr reasonName(core::Reason reason);

// Levels to try after `level`, best first, ending with MONITOR: what no worker offers falls to the next that fits.
// GPU -> MULTICORE -> JIT -> MONITOR; MULTICORE -> JIT -> MONITOR; JIT -> MONITOR; THREADS -> MONITOR.
kj::ArrayPtr<const Level> fallbacks(Level level);

}  // namespace epochly::classify

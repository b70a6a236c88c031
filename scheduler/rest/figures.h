// What the observer counted, as /api/v1/metrics shows it. Filled by main, which knows both sides.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "wire/ids.h"

namespace epochly::rest {

constexpr double NOT_MEASURED = std::numeric_limits<double>::quiet_NaN();

// Of one kind of time at one level. Quantiles are interpolated within a histogram's buckets.
struct Times {
  std::string name;  // "queue", "run", ...
  uint64_t count = 0;
  double mean = NOT_MEASURED, p50 = NOT_MEASURED, p90 = NOT_MEASURED, p99 = NOT_MEASURED;  // seconds
};

struct LevelFigures {
  Level level = Level::MONITOR;
  uint64_t submitted = 0, succeeded = 0, failed = 0, cancelled = 0, declined = 0;
  double cpuSeconds = NOT_MEASURED;
  std::vector<Times> times;
};

// Both are called on the scheduler's loop; what page() returns renders on the REST thread.
struct FigureSource {
  std::function<std::vector<LevelFigures>()> levels;
  std::function<std::function<std::string()>()> page;  // Prometheus text
};

}  // namespace epochly::rest

// What has been measured of a function. NaN is "not measured".
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "common.capnp.h"

namespace epochly::core {

constexpr double UNKNOWN = std::numeric_limits<double>::quiet_NaN();

struct Workload {
  double ioWaitRatio = UNKNOWN;
  double avgLoopIterations = UNKNOWN;
  double avgDataSize = UNKNOWN;
  uint32_t samples = 0;

  static Workload read(schema::Workload::Reader reader);
  void write(schema::Workload::Builder builder) const;
};

// Exponentially weighted mean of a stream, with its variance: the newest sample weighs `ALPHA`, or 1/n while n < 1/ALPHA, so
// the first samples count alike.
class Average {
 public:
  static constexpr double ALPHA = 0.1;

  void add(double sample);
  double mean() const { return count == 0 ? UNKNOWN : value; }
  double deviation() const { return count < 2 ? UNKNOWN : std::sqrt(variance); }
  uint64_t samples() const { return count; }

 private:
  double value = 0;
  double variance = 0;
  uint64_t count = 0;
};

}  // namespace epochly::core

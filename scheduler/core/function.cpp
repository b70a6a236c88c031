#include "core/function.h"

namespace epochly::core {

namespace {

// Measured wins once it rests on at least as many samples; an unknown never wins over a known.
double better(double reported, uint32_t reportedSamples, const Average& measured) {
  if (measured.samples() == 0) return reported;
  if (std::isnan(reported)) return measured.mean();
  return measured.samples() >= reportedSamples ? measured.mean() : reported;
}

}  // namespace

Workload Function::workload() const {
  Workload result;
  result.ioWaitRatio = better(reported.ioWaitRatio, reported.samples, ioWaitRatio);
  result.avgLoopIterations = better(reported.avgLoopIterations, reported.samples, loopIterations);
  result.avgDataSize = better(reported.avgDataSize, reported.samples, dataSize);
  result.samples = static_cast<uint32_t>(std::min<uint64_t>(reported.samples + ioWaitRatio.samples(), UINT32_MAX));
  return result;
}

}  // namespace epochly::core

#include "core/workload.h"

#include <algorithm>

namespace epochly::core {

Workload Workload::read(schema::Workload::Reader reader) {
  return Workload{reader.getIoWaitRatio(), reader.getAvgLoopIterations(), reader.getAvgDataSize(), reader.getSamples()};
}

void Workload::write(schema::Workload::Builder builder) const {
  builder.setIoWaitRatio(ioWaitRatio);
  builder.setAvgLoopIterations(avgLoopIterations);
  builder.setAvgDataSize(avgDataSize);
  builder.setSamples(samples);
}

void Average::add(double sample) {
  if (std::isnan(sample)) return;
  double weight = std::max(ALPHA, 1.0 / static_cast<double>(++count));
  double step = sample - value;
  value += weight * step;
  variance = (1 - weight) * (variance + weight * step * step);
}

}  // namespace epochly::core

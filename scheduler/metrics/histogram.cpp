#include "metrics/histogram.h"

#include <limits>

namespace epochly::metrics {

namespace {

constexpr double NOT_MEASURED = std::numeric_limits<double>::quiet_NaN();

double boundSeconds(size_t index) { return static_cast<double>(BUCKET_BOUNDS[index]) * 1e-9; }

}  // namespace

double meanSeconds(const Histogram& histogram) {
  auto count = histogram.count();
  return count == 0 ? NOT_MEASURED : histogram.sumSeconds / static_cast<double>(count);
}

double quantileSeconds(const Histogram& histogram, double quantile) {
  auto total = histogram.count();
  if (total == 0) return NOT_MEASURED;
  double rank = quantile * static_cast<double>(total);
  double below = 0;
  for (size_t i = 0; i < BUCKET_BOUNDS.size(); i++) {
    auto here = static_cast<double>(histogram.counts[i]);
    if (here > 0 && below + here >= rank) {
      double lower = i == 0 ? 0 : boundSeconds(i - 1);
      return lower + (boundSeconds(i) - lower) * (rank - below) / here;
    }
    below += here;
  }
  return boundSeconds(BUCKET_BOUNDS.size() - 1);
}

}  // namespace epochly::metrics

// A histogram of times with fixed buckets, cheap enough for the path of every task.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace epochly::metrics {

// Upper bounds in nanoseconds, 1-2.5-5 from 10 us (what a task costs at least) to 10 minutes.
constexpr std::array<uint64_t, 24> BUCKET_BOUNDS = {
    10'000,         25'000,         50'000,         100'000,         250'000,         500'000,
    1'000'000,      2'500'000,      5'000'000,      10'000'000,      25'000'000,      50'000'000,
    100'000'000,    250'000'000,    500'000'000,    1'000'000'000,   2'500'000'000,   5'000'000'000,
    10'000'000'000, 25'000'000'000, 60'000'000'000, 120'000'000'000, 300'000'000'000, 600'000'000'000};

// Owned by one thread; copied to be read by another.
struct Histogram {
  std::array<uint64_t, BUCKET_BOUNDS.size() + 1> counts{};  // not cumulative; the last is +Inf
  double sumSeconds = 0;

  void observe(uint64_t nanoseconds) {
    size_t index = std::lower_bound(BUCKET_BOUNDS.begin(), BUCKET_BOUNDS.end(), nanoseconds) - BUCKET_BOUNDS.begin();
    counts[index]++;
    sumSeconds += static_cast<double>(nanoseconds) * 1e-9;
  }

  uint64_t count() const {
    uint64_t sum = 0;
    for (auto n : counts) sum += n;
    return sum;
  }
};

// NaN if nothing was observed.
double meanSeconds(const Histogram& histogram);
// Interpolated within the bucket that holds it; a value beyond the last bound reads as that bound.
double quantileSeconds(const Histogram& histogram, double quantile);

}  // namespace epochly::metrics

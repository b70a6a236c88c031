#include "route/window.h"

#include <algorithm>

namespace epochly::route {

namespace {

uint64_t windowOf(const core::PoolUse& pool, const core::Limits& limits) {
  uint64_t least = std::min(pool.slots, limits.inflightMax);
  if (pool.inflight == 0 || pool.backlogSeconds <= 0) return least;
  double prefetchSeconds = static_cast<double>(limits.prefetch / kj::NANOSECONDS) * 1e-9;
  double ahead = pool.slots * prefetchSeconds / (pool.backlogSeconds / pool.inflight);
  uint64_t most = std::min<uint64_t>(limits.inflightMax, uint64_t(pool.slots) * (1 + limits.prefetchMax));
  return std::clamp(static_cast<uint64_t>(std::min(ahead, 1e9)), least, most);
}

}  // namespace

uint32_t window(const core::Worker& worker, const core::Limits& limits) {
  uint64_t sum = 0;
  for (auto& pool : worker.pools) sum += windowOf(pool, limits);
  return static_cast<uint32_t>(std::min<uint64_t>(sum, UINT32_MAX));
}

}  // namespace epochly::route

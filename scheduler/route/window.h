// How much a worker may hold at once, for people: placement itself reckons in seconds (Router::hasRoom).
#pragma once

#include "core/core.h"

namespace epochly::route {

// Attempts that `worker` may hold now, over all its pools: its slots, plus what covers Limits::prefetch at the run times of
// what it holds.
uint32_t window(const core::Worker& worker, const core::Limits& limits);

}  // namespace epochly::route

// Running totals: variables to which a loop adds, and which it looks at on the way.
#pragma once

#include "levels/multicore/flow.h"

namespace epochly::multicore {

// Whether all that `loop` does to the float in `slot` is to add what does not depend on it, nor on memory that the loop writes: the
// prefix sums of what could be computed in any order.
bool isRunningTotal(const Flow& flow, const Loop& loop, uint32_t slot);

}  // namespace epochly::multicore

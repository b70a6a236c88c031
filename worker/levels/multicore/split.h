// Level 3's part of a compilation: loops whose iterations are independent get a second version that runs on several cores.
#pragma once

#include "levels/multicore/shape.h"

namespace epochly::multicore {

// A loop inside a loop that splits is split, too: for when there are too few iterations outside. Each level doubles the code.
constexpr int NESTED_SPLITS_MAX = 1;

// Rewrites `unit` and says what it saw of every loop, in the order of the source; those that split have the index by which the code
// names them.
struct Split {
  std::vector<LoopShape> loops;
  size_t parallel = 0;  // how many of them split, or how many indices there are
};
// reorders: sums of floats may be added up in another order (fastmath).
Split split(program::Unit& unit, bool reorders = false);

}  // namespace epochly::multicore

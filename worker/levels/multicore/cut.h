// Cuts one loop out of its function: chunks of its iterations become a function of their own.
#pragma once

#include "levels/multicore/shape.h"

namespace epochly::multicore {

// What stands in the loop's place: both versions, and the choice between them. `number`: by which the code names the loop.
std::vector<program::Instruction*> cut(program::Unit& unit, uint32_t instance, const Flow& flow, const Loop& loop,
                                       const Verdict& verdict, size_t number);

}  // namespace epochly::multicore

// What the iterations of a loop add to in any order, or append to in theirs, and do not look at: counters and lists.
#pragma once

#include <optional>

#include "levels/multicore/flow.h"

namespace epochly::multicore {

// Whether all that the loop does with elements of one array is to add constants that are not negative. Its counts may then be kept
// anywhere: that a sum leaves 64 bits is seen at the end.
bool countsOnly(const Flow& flow, const Loop& loop, const std::vector<const Access*>& reads,
                const std::vector<const Access*>& writes);

// Whether all that the loop does with a list of integers is that, and to lists that may be the same, if the pairs in `others` are two.
bool countsOnly(const Flow& flow, const Loop& loop, Symbol list, std::vector<std::pair<Symbol, Symbol>>& others);

// Leaves of an element, if all that the loop does with the list is to append numbers to it, and nobody else has the list.
std::optional<int64_t> appendsOnly(const Flow& flow, const Loop& loop, Symbol list);

}  // namespace epochly::multicore

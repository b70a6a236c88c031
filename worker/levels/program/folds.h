// What chunks of a parallel loop leave behind to be put together in the order of the iterations.
#pragma once

#include <cstdint>

namespace epochly::program {

enum class FoldKind : uint8_t {
  SUM,      // a list of floats, to be added up; of the total, its bits
  PRODUCT,  // the same, to be multiplied
  COUNTERS,  // as many integers as an array has, to be added to its; of the array, its first element, its size, its stride in bytes
  LIST_COUNTERS,  // a list of integers, to be added to those of another that is as long; of that, itself
  APPEND,         // a list, to be appended to another; of that, itself and the leaves of an element
};
// Leaves that a fold is described by.
constexpr unsigned FOLD_LEAVES = 3;

constexpr bool hasResult(FoldKind kind) { return kind == FoldKind::SUM || kind == FoldKind::PRODUCT; }

}  // namespace epochly::program

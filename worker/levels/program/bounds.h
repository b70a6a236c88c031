// Bounds of one compilation, each with its reason.
#pragma once

#include <cstddef>

namespace epochly::program {

// More than 50 nested splits of a function is no kernel; LLVM takes about 1 us per instruction per pass.
constexpr size_t INSTRUCTIONS_MAX = 200'000;
// Every round widens a site or a result type; chains longer than this come from types that grow with each round.
constexpr int ROUNDS_MAX = 24;
// A loop's variables settle after one iteration (int -> float); a second takes int -> float -> numpy.
constexpr int PEELS_MAX = 2;
// Set apart, a first iteration doubles the code of the loops inside.
constexpr int PEEL_DEPTH_MAX = 3;
// Each item is leaves of its own, which every path copies.
constexpr size_t TUPLE_MAX = 64;
// `for x in (a, b, c)` is unrolled.
constexpr size_t UNROLL_MAX = 8;
// A function is elaborated anew, round by round, for each set of argument types that it is called with.
constexpr size_t INSTANCES_MAX = 64;

}  // namespace epochly::program

// x ** 2 and x ** 0.5 as CPython computes them, which is libm's pow() to the bit, mostly without calling it.
#pragma once

#include <vector>

namespace epochly::jit {

struct RuntimeSymbol;

namespace powers {

// Where |error| of a double product or root is below this many units in the last place, it is libm's pow() bit for bit: 60 million
// doubles tried, the first that differ are at 0.4915 (see DESIGN.md).
constexpr double SAFE_ULP = 0.49;
// Outside of these the error term of fma() may underflow or the result overflow.
constexpr double SQUARE_MIN = 1e-270, SQUARE_MAX = 1e300;

// Names of what compiled code calls, of one number each. A call that CPython is to make itself gives +infinity: one that raises or is
// complex, or whose errno would have to be looked at. The same of 4 (AVX2) or 8 (AVX-512) numbers at once has the number appended.
constexpr const char* SQUARE = "epochly_square";
constexpr const char* ROOT = "epochly_root";

double square(double x);
double root(double x);

// With those of several numbers.
const std::vector<RuntimeSymbol>& symbols();

}  // namespace powers
}  // namespace epochly::jit

// Functions of libm for several numbers at a time: both results of an angle, which are libm's to the bit, and glibc's vector functions,
// which are not (up to 4 units in the last place) and serve fastmath alone.
#pragma once

#include <string>
#include <vector>

namespace epochly::jit {

struct RuntimeSymbol;

namespace vectors {

// C's sincos(): what sin() and cos() give, each to the bit, as glibc computes all three with the same code.
constexpr const char* SINE_AND_COSINE = "epochly_math_sincos";

// Lanes of the vector functions: AVX2's and AVX-512's.
constexpr unsigned LANES[] = {4, 8};
// The name by which compiled code calls a function of `lanes` numbers.
std::string nameOf(const std::string& function, unsigned lanes);
// Functions of one number, as the calls are named ("epochly_math_sin"), that this process has of so many. Empty without libmvec.
const std::vector<std::string>& functions(unsigned lanes);

const std::vector<RuntimeSymbol>& symbols();

}  // namespace vectors
}  // namespace epochly::jit

// What compiled code calls for numbers: exact, or 1 and the call goes back to CPython.
#pragma once

#include <cstdint>

#include "levels/jit/runtime.h"

namespace epochly::jit::numbers {

double trueDivide(int64_t a, int64_t b);  // b not zero
int32_t roundDigits(double x, int64_t digits, double* out);
int32_t gcd(int64_t a, int64_t b, int64_t* out);
int32_t lcm(int64_t a, int64_t b, int64_t* out);
int32_t isqrt(int64_t a, int64_t unused, int64_t* out);
int32_t factorial(int64_t a, int64_t unused, int64_t* out);
int32_t comb(int64_t n, int64_t k, int64_t* out);
int32_t perm(int64_t n, int64_t k, int64_t* out);
int32_t bitLength(int64_t a, int64_t unused, int64_t* out);
int32_t bitCount(int64_t a, int64_t unused, int64_t* out);
int32_t powMod(int64_t base, int64_t exponent, int64_t modulus, int64_t* out);
// `how`: Op::LIST_SORT's imm.
int32_t sortList(List* list, int64_t how);

}  // namespace epochly::jit::numbers

// What math.hypot, dist and fsum give, to the bit, and the parts of floats.
#pragma once

#include <cstdint>

namespace epochly::jit::exact {

// The length of a vector. NaN of numbers: CPython's last bit is not sure to be this one's.
double hypot(double x, double y);
// 1: not sure.
int32_t norm(const double* values, int64_t count, double* out);
// The nearest double to the exact sum. 1: a value or a partial sum is not finite.
int32_t fsum(const double* values, int64_t count, double* out);

double fraction(double x);  // modf's first
double frexpFraction(double x);
double frexpExponent(double x);
double ldexp(double x, double exponent);  // a whole number within 2**31

}  // namespace epochly::jit::exact

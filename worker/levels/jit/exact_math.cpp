#include "levels/jit/exact_math.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace epochly::jit::exact {

namespace {

constexpr double NOT_A_NUMBER = std::numeric_limits<double>::quiet_NaN();
// Below, CPython's hypot computes another way, and products of what is scaled so lose bits.
constexpr int EXPONENT_MIN = -1000;
// The versions of CPython compute the square root's correction to about 2**-45 of the last place, each in its way. Where the exact
// value is closer to the middle between two doubles than this part of the last place, they may differ.
constexpr double UNSURE = 0x1p-20;
// Doubles span 2098 bits, and partial sums of 53 bits do not overlap.
constexpr int PARTIALS_MAX = 64;

// A sum of squares as two doubles.
class SumOfSquares {
 public:
  void add(double x) {
    double square = x * x, rest = std::fma(x, x, -square);
    double sum = high + square;
    double taken = sum - high;
    low += (high - (sum - taken)) + (square - taken) + rest;
    high = sum;
  }
  // NaN: not sure of the last bit.
  double root() const {
    double h = std::sqrt(high + low);
    double correction = (std::fma(-h, h, high) + low) / (2 * h);
    double result = h + correction;
    double rest = (h - result) + correction;
    double half = std::fabs(std::nextafter(result, rest > 0 ? HUGE_VAL : 0.0) - result) / 2;
    return std::fabs(std::fabs(rest) - half) < half * UNSURE ? NOT_A_NUMBER : result;
  }

 private:
  double high = 0, low = 0;
};

// `largest` among the sizes of the values, which is neither zero nor infinite.
double scaledNorm(const double* values, int64_t count, double largest) {
  int exponent;
  std::frexp(largest, &exponent);
  if (exponent < EXPONENT_MIN) return NOT_A_NUMBER;
  SumOfSquares sum;
  for (int64_t i = 0; i < count; i++) sum.add(std::ldexp(values[i], -exponent));
  return std::ldexp(sum.root(), exponent);
}

}  // namespace

int32_t norm(const double* values, int64_t count, double* out) {
  double largest = 0;
  bool hasNan = false;
  for (int64_t i = 0; i < count; i++) {
    hasNan |= std::isnan(values[i]);
    largest = std::max(largest, std::fabs(values[i]));
  }
  if (std::isinf(largest)) return *out = largest, 0;
  if (hasNan) return *out = NOT_A_NUMBER, 0;
  if (largest == 0) return *out = 0, 0;
  *out = scaledNorm(values, count, largest);
  return std::isnan(*out);
}

double hypot(double x, double y) {
  double values[] = {x, y}, result;
  return norm(values, 2, &result) ? NOT_A_NUMBER : result;
}

// Shewchuk: partial sums that do not overlap, smallest first, add up to the exact sum.
int32_t fsum(const double* values, int64_t count, double* out) {
  double partials[PARTIALS_MAX];
  int size = 0;
  for (int64_t i = 0; i < count; i++) {
    double x = values[i];
    int kept = 0;
    for (int j = 0; j < size; j++) {
      double y = partials[j];
      if (std::fabs(x) < std::fabs(y)) std::swap(x, y);
      double sum = x + y, rest = y - (sum - x);
      if (rest != 0) partials[kept++] = rest;
      x = sum;
    }
    if (!std::isfinite(x) || kept == PARTIALS_MAX) return 1;
    size = kept;
    if (x != 0) partials[size++] = x;
  }
  double high = 0, rest = 0;
  if (size) high = partials[--size];
  while (size) {
    double x = high, y = partials[--size];
    high = x + y;
    rest = y - (high - x);
    if (rest != 0) break;
  }
  // Half way between two doubles: what is left below says to which side.
  bool leans = size && ((rest < 0 && partials[size - 1] < 0) || (rest > 0 && partials[size - 1] > 0));
  if (leans) {
    double twice = rest * 2, moved = high + twice;
    if (moved - high == twice) high = moved;
  }
  return *out = high, 0;
}

double fraction(double x) {
  double whole;
  return std::modf(x, &whole);
}

double frexpFraction(double x) {
  int exponent;
  return std::frexp(x, &exponent);
}

double frexpExponent(double x) {
  int exponent = 0;
  if (std::isfinite(x)) std::frexp(x, &exponent);
  return exponent;
}

double ldexp(double x, double exponent) { return std::ldexp(x, static_cast<int>(exponent)); }

}  // namespace epochly::jit::exact

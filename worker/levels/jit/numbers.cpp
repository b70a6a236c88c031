#include "levels/jit/numbers.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>

namespace epochly::jit::numbers {

namespace {

using Wide = unsigned __int128;

uint64_t magnitude(int64_t x) { return x < 0 ? 0 - static_cast<uint64_t>(x) : static_cast<uint64_t>(x); }

int32_t fits(Wide value, int64_t* out) {
  if (value > static_cast<Wide>(INT64_MAX)) return 1;
  *out = static_cast<int64_t>(value);
  return 0;
}

// More digits than any double has behind its point.
constexpr int64_t DIGITS_MAX = 300;

}  // namespace

// The quotient to 63 bits or more, the last of which says whether anything was left: then one rounding gives the nearest double.
double trueDivide(int64_t a, int64_t b) {
  if (a == 0) return b < 0 ? -0.0 : 0.0;
  auto x = magnitude(a), y = magnitude(b);
  int shift = 64 + std::countl_zero(x) - 1;
  auto numerator = static_cast<Wide>(x) << shift;
  auto quotient = numerator / y;
  bool rest = numerator % y != 0;
  while (quotient >> 64) {
    rest |= quotient & 1;
    quotient >>= 1;
    shift--;
  }
  auto result = std::ldexp(static_cast<double>(static_cast<uint64_t>(quotient) | rest), -shift);
  return (a < 0) != (b < 0) ? -result : result;
}

// float.__round__: to the decimal fraction nearest the exact value, ties to even, and back.
int32_t roundDigits(double x, int64_t digits, double* out) {
  if (!std::isfinite(x)) return *out = x, 0;
  if (digits < 0 || digits > DIGITS_MAX) return 1;
  char text[DIGITS_MAX + 400];
  auto end = std::to_chars(text, text + sizeof(text), x, std::chars_format::fixed, static_cast<int>(digits)).ptr;
  auto read = std::from_chars(text, end, *out);
  return read.ec != std::errc() || !std::isfinite(*out);
}

int32_t gcd(int64_t a, int64_t b, int64_t* out) { return fits(std::gcd(magnitude(a), magnitude(b)), out); }

int32_t lcm(int64_t a, int64_t b, int64_t* out) {
  if (a == 0 || b == 0) return *out = 0, 0;
  auto x = magnitude(a), y = magnitude(b);
  return fits(static_cast<Wide>(x / std::gcd(x, y)) * y, out);
}

int32_t isqrt(int64_t a, int64_t, int64_t* out) {
  if (a < 0) return 1;
  auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(a)));
  while (static_cast<Wide>(root) * root > static_cast<Wide>(a)) root--;
  while (static_cast<Wide>(root + 1) * (root + 1) <= static_cast<Wide>(a)) root++;
  return *out = root, 0;
}

int32_t perm(int64_t n, int64_t k, int64_t* out) {
  if (n < 0 || k < 0) return 1;
  if (k > n) return *out = 0, 0;
  Wide result = 1;
  for (int64_t i = 0; i < k; i++) {
    result *= static_cast<Wide>(n - i);
    if (result > static_cast<Wide>(INT64_MAX)) return 1;
  }
  return fits(result, out);
}

int32_t factorial(int64_t a, int64_t, int64_t* out) { return a < 0 || a > 20 ? 1 : perm(a, a, out); }

int32_t comb(int64_t n, int64_t k, int64_t* out) {
  if (n < 0 || k < 0) return 1;
  if (k > n) return *out = 0, 0;
  k = std::min(k, n - k);
  Wide result = 1;
  for (int64_t i = 0; i < k; i++) {
    result = result * static_cast<Wide>(n - i) / static_cast<Wide>(i + 1);
    if (result > static_cast<Wide>(INT64_MAX)) return 1;
  }
  return fits(result, out);
}

int32_t bitLength(int64_t a, int64_t, int64_t* out) { return *out = std::bit_width(magnitude(a)), 0; }

int32_t bitCount(int64_t a, int64_t, int64_t* out) { return *out = std::popcount(magnitude(a)), 0; }

// The result has the sign of the modulus. Inverses, of negative exponents, are CPython's.
int32_t powMod(int64_t base, int64_t exponent, int64_t modulus, int64_t* out) {
  if (exponent < 0 || modulus == 0) return 1;
  auto size = magnitude(modulus);
  auto reduced = magnitude(base) % size;
  Wide square = base < 0 && reduced ? size - reduced : reduced, result = 1 % size;
  for (auto left = static_cast<uint64_t>(exponent); left; left >>= 1) {
    if (left & 1) result = result * square % size;
    square = square * square % size;
  }
  if (modulus < 0 && result) return *out = static_cast<int64_t>(static_cast<uint64_t>(result) - size), 0;
  return fits(result, out);
}

int32_t sortList(List* list, int64_t how) {
  bool descends = how & 2;
  if (!(how & 1)) {
    auto* first = reinterpret_cast<int64_t*>(list->data);
    descends ? std::sort(first, first + list->length, std::greater<>()) : std::sort(first, first + list->length);
    return 0;
  }
  auto* first = reinterpret_cast<double*>(list->data);
  if (std::any_of(first, first + list->length, [](double x) { return std::isnan(x); })) return 1;
  // Zeros of both signs are equal and keep their order.
  descends ? std::stable_sort(first, first + list->length, std::greater<>()) : std::stable_sort(first, first + list->length);
  return 0;
}

}  // namespace epochly::jit::numbers

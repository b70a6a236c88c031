#include "levels/jit/powers.h"

#include <cfloat>
#include <cmath>

#include "levels/jit/runtime.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace epochly::jit::powers {

namespace {

// Volatile: the compiler takes pow(x, 2.0) for x * x.
const volatile double TWO = 2.0, HALF = 0.5;

double give(double result) { return result >= DBL_MIN && result <= DBL_MAX ? result : HUGE_VAL; }

#ifdef __x86_64__

constexpr double SQUARE_FACTOR = 0.5 / SAFE_ULP;  // see power_calls.cpp: the error so much larger is half a unit
constexpr double ROOT_FACTOR = 2 * SAFE_ULP * 0x1p-52;
constexpr long long EXPONENT_BITS = 0x7ff0000000000000, SIGN_BIT = 1ull << 63;

#define EPOCHLY_AVX512 __attribute__((target("avx512f,fma")))
#define EPOCHLY_AVX2 __attribute__((target("avx2,fma")))

// The lanes that are not usual once more, one at a time. Each goes into the register: a vector that is loaded after one of its lanes
// was stored waits for all that the processor has begun, the caller's sum too.
template <typename Exact>
EPOCHLY_AVX512 __m512d corrected8(__m512d x, __m512d result, __mmask8 usual, Exact exact) {
  alignas(64) double from[8];
  _mm512_store_pd(from, x);
  for (unsigned rare = 0xffu & ~unsigned(usual); rare; rare &= rare - 1)
    result = _mm512_mask_broadcastsd_pd(result, rare & -rare, _mm_set_sd(exact(from[__builtin_ctz(rare)])));
  return result;
}

EPOCHLY_AVX512 __m512d square8(__m512d x) {
  auto result = _mm512_mul_pd(x, x);
  auto off = _mm512_fmadd_pd(_mm512_fmsub_pd(x, x, result), _mm512_set1_pd(SQUARE_FACTOR), result);
  auto usual =
      _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(off, result, _CMP_EQ_OQ), result, _mm512_set1_pd(SQUARE_MIN), _CMP_GT_OQ);
  return corrected8(x, result, usual, square);
}

EPOCHLY_AVX512 __m512d root8(__m512d x) {
  auto result = _mm512_sqrt_pd(x);
  auto error = _mm512_abs_pd(_mm512_fnmadd_pd(result, result, x));
  auto scale = _mm512_castsi512_pd(_mm512_and_epi64(_mm512_castpd_si512(result), _mm512_set1_epi64(EXPONENT_BITS)));
  auto bound = _mm512_mul_pd(result, _mm512_mul_pd(scale, _mm512_set1_pd(ROOT_FACTOR)));
  auto usual = _mm512_cmp_pd_mask(error, bound, _CMP_LT_OQ);
  usual = _mm512_mask_cmp_pd_mask(usual, x, _mm512_set1_pd(SQUARE_MIN), _CMP_GT_OQ);
  usual = _mm512_mask_cmp_pd_mask(usual, x, _mm512_set1_pd(SQUARE_MAX), _CMP_LT_OQ);
  return corrected8(x, result, usual, root);
}

template <typename Exact>
EPOCHLY_AVX2 __m256d corrected4(__m256d x, __m256d result, unsigned usual, Exact exact) {
  const auto bits = _mm256_set_epi64x(8, 4, 2, 1);
  alignas(32) double from[4];
  _mm256_store_pd(from, x);
  for (unsigned rare = 0xfu & ~usual; rare; rare &= rare - 1) {
    auto lane = _mm256_cmpeq_epi64(bits, _mm256_set1_epi64x(rare & -rare));
    result = _mm256_blendv_pd(result, _mm256_set1_pd(exact(from[__builtin_ctz(rare)])), _mm256_castsi256_pd(lane));
  }
  return result;
}

EPOCHLY_AVX2 __m256d square4(__m256d x) {
  auto result = _mm256_mul_pd(x, x);
  auto off = _mm256_fmadd_pd(_mm256_fmsub_pd(x, x, result), _mm256_set1_pd(SQUARE_FACTOR), result);
  auto usual = _mm256_movemask_pd(
      _mm256_and_pd(_mm256_cmp_pd(off, result, _CMP_EQ_OQ), _mm256_cmp_pd(result, _mm256_set1_pd(SQUARE_MIN), _CMP_GT_OQ)));
  return corrected4(x, result, usual, square);
}

EPOCHLY_AVX2 __m256d root4(__m256d x) {
  auto result = _mm256_sqrt_pd(x);
  auto error = _mm256_andnot_pd(_mm256_castsi256_pd(_mm256_set1_epi64x(SIGN_BIT)), _mm256_fnmadd_pd(result, result, x));
  auto scale = _mm256_and_pd(result, _mm256_castsi256_pd(_mm256_set1_epi64x(EXPONENT_BITS)));
  auto bound = _mm256_mul_pd(result, _mm256_mul_pd(scale, _mm256_set1_pd(ROOT_FACTOR)));
  auto inRange = _mm256_and_pd(_mm256_cmp_pd(x, _mm256_set1_pd(SQUARE_MIN), _CMP_GT_OQ),
                               _mm256_cmp_pd(x, _mm256_set1_pd(SQUARE_MAX), _CMP_LT_OQ));
  auto usual = _mm256_movemask_pd(_mm256_and_pd(_mm256_cmp_pd(error, bound, _CMP_LT_OQ), inRange));
  return corrected4(x, result, usual, root);
}

#endif

template <typename F>
void* address(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

double square(double x) {
  if (x == 0) return 0.0;
  return std::isnan(x) ? x : give(std::pow(x, TWO));
}

double root(double x) {
  if (x == 0) return 0.0;
  return std::isnan(x) ? x : give(std::pow(x, HALF));
}

const std::vector<RuntimeSymbol>& symbols() {
  static const std::vector<RuntimeSymbol> all = {
      {SQUARE, address(&square)},
      {ROOT, address(&root)},
#ifdef __x86_64__
      {"epochly_square4", address(&square4)},
      {"epochly_root4", address(&root4)},
      {"epochly_square8", address(&square8)},
      {"epochly_root8", address(&root8)},
#endif
  };
  return all;
}

}  // namespace epochly::jit::powers

#include "levels/jit/exact_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "levels/jit/numbers.h"

namespace epochly::jit {
namespace {

constexpr double INFINITE = HUGE_VAL;

double sumOf(std::vector<double> values) {
  double result = 0;
  return exact::fsum(values.data(), values.size(), &result) ? NAN : result;
}

TEST(ExactMath, LengthsAreTheNearestDoubles) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> any(-1, 1);
  int checked = 0;
  while (checked < 100'000) {
    double x = any(random), y = any(random);
    // 64 bits: the nearest double, but where it lies close to the middle between two.
    long double wide = std::sqrt(static_cast<long double>(x) * x + static_cast<long double>(y) * y);
    auto nearest = static_cast<double>(wide);
    auto away = std::fabs(static_cast<double>(wide - nearest)) / (std::nextafter(nearest, INFINITE) - nearest);
    if (away > 0.49) continue;
    ASSERT_EQ(exact::hypot(x, y), nearest) << std::hexfloat << x << " " << y;
    checked++;
  }
}

TEST(ExactMath, LengthsOfWhatIsNotFinite) {
  EXPECT_EQ(exact::hypot(-INFINITE, NAN), INFINITE);
  EXPECT_TRUE(std::isnan(exact::hypot(1, NAN)));
  EXPECT_EQ(exact::hypot(-0.0, 0.0), 0.0);
  EXPECT_EQ(exact::hypot(1.5e308, 1.5e308), INFINITE);
  EXPECT_EQ(exact::hypot(3e300, 4e300), 5e300);
}

TEST(ExactMath, AMiddleBetweenTwoDoublesIsNotDecided) {
  double result;
  // m*m - n*n and 2*m*n, whose length m*m + n*n is odd and has 54 bits.
  int64_t m = 94906267, n = 94906266 - 1048576;
  double sides[] = {static_cast<double>(m * m - n * n), static_cast<double>(2 * m * n)};
  EXPECT_EQ(exact::norm(sides, 2, &result), 1);
  double subnormal[] = {5e-324, 1e-310};
  EXPECT_EQ(exact::norm(subnormal, 2, &result), 1);
}

TEST(ExactMath, SumsLoseNothing) {
  EXPECT_EQ(sumOf({}), 0);
  EXPECT_EQ(sumOf({1e16, 1, -1e16}), 1);
  EXPECT_EQ(sumOf({1e300, 1e-300, -1e300}), 1e-300);
  EXPECT_EQ(sumOf(std::vector<double>(10, 0.1)), 1.0);
  // Half way between two doubles, and a little more far below.
  EXPECT_EQ(sumOf({1, 0x1p-53, 0x1p-106}), 1 + 0x1p-52);
  EXPECT_EQ(sumOf({1, 0x1p-53}), 1.0);
  EXPECT_TRUE(std::isnan(sumOf({1e308, 1e308}))) << "an overflow is CPython's to raise";
  EXPECT_TRUE(std::isnan(sumOf({INFINITE}))) << "given back";
}

TEST(ExactMath, SumsOfEveryMagnitudeStayWithinTheirRoom) {
  std::vector<double> values;
  for (int exponent = -1074; exponent < 1023; exponent++) values.push_back(std::ldexp(1.0, exponent));
  for (int exponent = -1074; exponent < 1023; exponent++) values.push_back(-std::ldexp(1.0, exponent));
  values.push_back(1.5);
  EXPECT_EQ(sumOf(values), 1.5);
}

TEST(Numbers, APowerModuloHasTheSignOfTheModulus) {
  auto power = [](int64_t a, int64_t b, int64_t m) {
    int64_t result = 0;
    return numbers::powMod(a, b, m, &result) ? INT64_MAX : result;
  };
  EXPECT_EQ(power(3, 4, 7), 4);
  EXPECT_EQ(power(-3, 3, 7), 1);
  EXPECT_EQ(power(3, 4, -7), -3);
  EXPECT_EQ(power(5, 0, 1), 0);
  EXPECT_EQ(power(2, 62, INT64_MIN), -(int64_t(1) << 62));
  EXPECT_EQ(power(INT64_MAX, INT64_MAX, INT64_MAX - 1), 1);
  EXPECT_EQ(power(3, -1, 7), INT64_MAX) << "an inverse";
  EXPECT_EQ(power(3, 1, 0), INT64_MAX);
}

TEST(Numbers, BitsOfAnInteger) {
  int64_t result = 0;
  EXPECT_EQ((numbers::bitLength(INT64_MIN, 0, &result), result), 64);
  EXPECT_EQ((numbers::bitLength(0, 0, &result), result), 0);
  EXPECT_EQ((numbers::bitCount(-7, 0, &result), result), 3);
}

}  // namespace
}  // namespace epochly::jit

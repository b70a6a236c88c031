#include "levels/multicore/symbols.h"

#include <gtest/gtest.h>

namespace epochly::multicore {
namespace {

const Poly i = Poly::of(0), j = Poly::of(1), stride = Poly::of(2);
Poly number(int64_t value) { return Poly::constant(value); }

TEST(Symbols, ADifferenceOfEqualSumsIsZero) {
  auto left = i.times(stride).plus(j.times(number(8)));
  auto right = j.times(number(8)).plus(stride.times(i));
  EXPECT_EQ(left, right);
  EXPECT_TRUE(left.minus(right).isConstant());
  EXPECT_EQ(left.minus(right).constantPart(), 0);
}

TEST(Symbols, TheSlopeIsWhatASymbolIsMultipliedWith) {
  auto sum = i.times(stride).plus(i.times(number(3))).plus(j);
  EXPECT_EQ(*sum.slope(0), stride.plus(number(3)));
  EXPECT_EQ(*sum.slope(1), number(1));
  EXPECT_EQ(i.times(i).slope(0), nullptr);
}

TEST(Symbols, ReplacingASymbolReachesItsPowers) {
  auto square = i.times(i).plus(i);
  EXPECT_EQ(square.with(0, j.plus(number(1))), j.times(j).plus(j.times(number(3))).plus(number(2)));
}

TEST(Symbols, SumsWrapAroundAsMachineArithmeticDoes) {
  EXPECT_EQ(number(INT64_MAX).plus(number(1)), number(INT64_MIN));
  EXPECT_EQ(number(INT64_MIN).times(number(-1)), number(INT64_MIN));
}

TEST(Symbols, ThePolynomialAtTheBoundIsNotTooLarge) {
  Poly sum;
  for (Symbol symbol = 0; symbol < TERMS_MAX; symbol++) sum = sum.plus(Poly::of(symbol));
  EXPECT_FALSE(sum.isTooLarge());
  EXPECT_TRUE(sum.plus(Poly::of(TERMS_MAX)).isTooLarge());
}

}  // namespace
}  // namespace epochly::multicore

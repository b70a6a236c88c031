// Which loops are vectorised, and what stands for several calls at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "levels/jit/compiler.h"
#include "levels/jit/vector_math.h"
#include "levels/program/elaborator.h"
#include "support/program_text.h"

namespace epochly::jit {
namespace {

using program::DType;
using program::Type;
using program::Types;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// LLVM's code for one array of doubles whose elements lie side by side.
std::string codeOf(const std::string& text, Options options = {}) {
  test::ProgramText program(text);
  auto unit = program::Elaborator(program, {}).run([](Types& types) {
    return std::vector<Type>{types.array(DType::F64, 1, types.site(0))};
  });
  options.constants = {{2, 8}};
  return intermediate(*unit, options);
}

// A logistic map of every element, that many times.
std::string iterated(int times) {
  return "(def f (x) (for i (range (len x)) (set v (item x i)) (for k (range " + std::to_string(times) +
         ") (set v (* 3.7 (* v (- 1.0 v))))) (set (item x i) v)) (return 0))";
}

TEST(Vectors, AShortLoopThatOnlyComputesIsLaidOutAndTheLoopAroundItVectorised) {
  EXPECT_THAT(codeOf(iterated(60)), ContainsRegex("fmul <[248] x double>"));
}

TEST(Vectors, ALongLoopIsNotLaidOut) { EXPECT_THAT(codeOf(iterated(1000)), Not(ContainsRegex("fmul <[248] x double>"))); }

constexpr const char* SINES =
    "(def f (x) (for i (range (len x)) (set (item x i) (+ (math sin (item x i)) 1.0))) (return 0))";

TEST(Vectors, ExactCodeCallsTheLibraryForOneNumberAtATime) {
  EXPECT_THAT(codeOf(SINES), Not(ContainsRegex("call <[48] x double>")));
}

TEST(Vectors, FastmathCallsItForSeveral) {
  if (vectors::functions(4).empty()) GTEST_SKIP() << "this system has no libmvec";
  EXPECT_THAT(codeOf(SINES, {.fastmath = true}), ContainsRegex("call [a-z ]*<[48] x double> @epochly_math_sin[48]"));
}

TEST(Vectors, TheSineAndTheCosineOfOneNumberAreOneCall) {
  auto code = codeOf(
      "(def f (x) (set t 0.0) (for i (range (len x)) (aug + t (* (math sin (item x i)) (math cos (item x i))))) (return "
      "t))");
  EXPECT_THAT(code, HasSubstr("@epochly_math_sincos("));
  EXPECT_THAT(code, Not(HasSubstr("call double @epochly_math_cos(")));
}

TEST(Vectors, SinesOfDifferentNumbersAreNotPaired) {
  auto code =
      codeOf("(def f (x) (set t 0.0) (for i (range (len x)) (aug + t (* (math sin (item x i)) (math cos t)))) (return t))");
  EXPECT_THAT(code, Not(HasSubstr("@epochly_math_sincos(")));
}

// Promised bits rest on this: glibc computes sin, cos and sincos with the same code.
TEST(Vectors, SincosIsSinAndCosToTheBit) {
  double (*volatile sine)(double) = ::sin;  // or the compiler of this test pairs them itself
  double (*volatile cosine)(double) = ::cos;
  std::mt19937_64 random(4);
  for (int i = 0; i < 3'000'000; i++) {
    auto x = std::bit_cast<double>(random());
    if (i % 3 == 1) x = std::ldexp(static_cast<double>(random()), -62);            // up to 4
    if (i % 3 == 2) x = static_cast<double>(random() >> 40) * 1.5707963267948966;  // where one of them is nearly zero
    double both[2];
    ::sincos(x, &both[0], &both[1]);
    if (!std::isfinite(x)) continue;  // guarded: both are NaN
    ASSERT_EQ(std::bit_cast<uint64_t>(both[0]), std::bit_cast<uint64_t>(sine(x))) << std::hexfloat << x;
    ASSERT_EQ(std::bit_cast<uint64_t>(both[1]), std::bit_cast<uint64_t>(cosine(x))) << std::hexfloat << x;
  }
}

}  // namespace
}  // namespace epochly::jit

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/elaborated.h"

namespace epochly::program {
namespace {

using test::arrays;
using test::elaborate;
using test::NUMPY2;
using test::reasonOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto F64 = DType::F64, F32 = DType::F32, I64 = DType::I64, I8 = DType::I8, U8 = DType::U8, C128 = DType::C128;

std::string resultOf(const std::string& expression, std::vector<std::pair<DType, uint32_t>> parameters) {
  return elaborate("(def f (a b) (return " + expression + "))", arrays(parameters), NUMPY2).result();
}

// ---- fused expressions -------------------------------------------------------------------------------------------------------

TEST(FusedArrays, AnExpressionMakesOneArrayWhateverItsOperations) {
  auto one = elaborate("(def f (a b) (return (+ a b)))", arrays({{F64, 1}, {F64, 1}}), NUMPY2);
  auto four = elaborate("(def f (a b) (return (* (- (+ a b) (* a 2.0)) b)))", arrays({{F64, 1}, {F64, 1}}), NUMPY2);
  EXPECT_EQ(one.count("array_new"), 1u);
  EXPECT_EQ(four.count("array_new"), 1u);
}

TEST(FusedArrays, WhatAVariableHoldsHasMemory) {
  auto made = elaborate("(def f (a b) (set c (+ a b)) (return (* c c)))", arrays({{F64, 1}, {F64, 1}}), NUMPY2);
  EXPECT_EQ(made.count("array_new"), 2u);
}

TEST(FusedArrays, WhatOneOfTwoPathsGivesHasMemory) {
  auto made = elaborate("(def f (a b) (set c a) (if (> (len a) 2) (do (set c b))) (return (>= c c)))",
                        arrays({{F64, 1}, {F32, 1}}), NUMPY2);
  EXPECT_EQ(made.count("array_new"), 4u) << "one for each pair of types";
  EXPECT_EQ(made.result(), "array[bool, 1d]");
}

TEST(FusedArrays, ResultsHaveNumpysTypes) {
  EXPECT_EQ(resultOf("(+ a b)", {{F32, 1}, {F64, 1}}), "array[float64, 1d]");
  EXPECT_EQ(resultOf("(+ a 1.5)", {{F32, 1}, {F32, 1}}), "array[float32, 1d]");
  EXPECT_EQ(resultOf("(+ a b)", {{I8, 1}, {U8, 1}}), "array[int16, 1d]");
  EXPECT_EQ(resultOf("(/ a b)", {{I64, 1}, {I64, 1}}), "array[float64, 1d]");
  EXPECT_EQ(resultOf("(< a b)", {{F32, 1}, {F64, 1}}), "array[bool, 1d]");
  EXPECT_EQ(resultOf("(* a b)", {{F64, 1}, {C128, 1}}), "array[complex128, 1d]");
}

TEST(FusedArrays, FewerDimensionsAreBroadcastAndLengthsGuarded) {
  auto made = elaborate("(def f (a b) (return (+ a b)))", arrays({{F64, 2}, {F64, 1}}), NUMPY2);
  EXPECT_EQ(made.result(), "array[float64, 2d]");
  EXPECT_THAT(made.code(), HasSubstr("the shapes do not broadcast"));
}

TEST(FusedArrays, AssignmentThatOverlapsIsComputedApartFirst) {
  auto made = elaborate("(def f (a b) (aug + a b) (return none))", arrays({{F64, 1}, {F64, 1}}), NUMPY2);
  EXPECT_EQ(made.count("array_new"), 1u) << "the copy, on the path where they overlap";
  auto& types = made.unit->types;
  EXPECT_TRUE(types(types[made.unit->instances[0].arguments[0]].ref).written);
  EXPECT_FALSE(types(types[made.unit->instances[0].arguments[1]].ref).written);
}

TEST(FusedArrays, WhatAnArrayOfIntegersCannotHoldGivesTheCallBack) {
  EXPECT_THAT(reasonOf("(def f (a) (aug * a 1.5) (return none))", arrays({{I64, 1}}), NUMPY2), HasSubstr("no path"));
}

// ---- numpy's functions -------------------------------------------------------------------------------------------------------

TEST(NumpyCalls, WhatNumpyComputesInItsOwnWayRunsInItsLoops) {
  EXPECT_EQ(elaborate("(def f (a) (return (np exp a)))", arrays({{F64, 1}}), NUMPY2).count("ufunc"), 1u);
  EXPECT_EQ(elaborate("(def f (a) (return (np sqrt a)))", arrays({{F64, 1}}), NUMPY2).count("ufunc"), 0u);
  EXPECT_EQ(elaborate("(def f (a) (return (np sqrt a)))", arrays({{C128, 1}}), NUMPY2).count("ufunc"), 1u);
}

TEST(NumpyCalls, FunctionsOfAnotherNumberOfArgumentsDecline) {
  EXPECT_THAT(reasonOf("(def f (a) (return (np exp a a)))", arrays({{F64, 1}}), NUMPY2), HasSubstr("numpy.exp"));
  EXPECT_THAT(reasonOf("(def f (a) (return (np histogram a)))", arrays({{F64, 1}}), NUMPY2),
              HasSubstr("numpy.histogram is not compiled"));
}

TEST(NumpyCalls, NewArraysHaveTheTypeAndShapeThatIsAskedFor) {
  auto made = [](const std::string& expression) {
    return elaborate(
               "(def f (n) (return " + expression + "))", [](Types&) { return std::vector{Types::INT}; }, NUMPY2)
        .result();
  };
  EXPECT_EQ(made("(np zeros n)"), "array[float64, 1d]");
  EXPECT_EQ(made("(np ones (tuple n 3) :dtype 'int32)"), "array[int32, 2d]");
  EXPECT_EQ(made("(np full n 7)"), "array[int64, 1d]");
  EXPECT_EQ(made("(np arange n)"), "array[int64, 1d]");
}

TEST(NumpyCalls, AnArrayOfNoDimensionsIsANumberThatIsRead) {
  EXPECT_EQ(resultOf("(+ a b)", {{F64, 0}, {F64, 0}}), "numpy.float64");
  EXPECT_EQ(resultOf("(+ a b)", {{F32, 0}, {F64, 1}}), "array[float64, 1d]");
  EXPECT_EQ(resultOf("(float a)", {{F64, 0}, {F64, 0}}), "float");
  EXPECT_EQ(resultOf("(method item a)", {{I64, 0}, {F64, 0}}), "int");
  EXPECT_EQ(resultOf("(attribute shape a)", {{I64, 0}, {F64, 0}}), "tuple[]");
  EXPECT_THAT(reasonOf("(def f (a) (aug + a 1.0) (return a))", arrays({{F64, 0}}), NUMPY2),
              HasSubstr("writing an array of no dimensions"));
}

// ---- reductions along axes ---------------------------------------------------------------------------------------------------

TEST(Axes, ReducedOnesAreGoneOrKeptAsOne) {
  auto of = [](const std::string& expression, uint32_t dims) { return resultOf(expression, {{F64, dims}, {F64, 1}}); };
  EXPECT_EQ(of("(np sum a :axis 0)", 3), "array[float64, 2d]");
  EXPECT_EQ(of("(np sum a :axis -1 :keepdims true)", 3), "array[float64, 3d]");
  EXPECT_EQ(of("(np sum a :axis (tuple 0 1))", 3), "array[float64, 1d]");
  EXPECT_EQ(of("(np sum a :axis (tuple -1 1) :keepdims true)", 3), "array[float64, 3d]");
  EXPECT_EQ(of("(np sum a :axis (tuple 0 1))", 2), "numpy.float64");
  EXPECT_EQ(of("(np sum a :axis none :keepdims true)", 2), "array[float64, 2d]");
  EXPECT_EQ(of("(np sum a :axis 0 :keepdims true)", 1), "array[float64, 1d]");
  EXPECT_EQ(of("(method max a 1)", 2), "array[float64, 1d]");
}

TEST(Axes, SumsOfFloatsAreNumpysOwnAndIntegersAreNot) {
  EXPECT_GE(elaborate("(def f (a) (return (np sum a :axis 0)))", arrays({{F64, 2}}), NUMPY2).count("ufunc"), 1u);
  EXPECT_EQ(elaborate("(def f (a) (return (np sum a :axis 0)))", arrays({{I64, 2}}), NUMPY2).count("ufunc"), 0u);
}

TEST(Axes, ArraysWithGapsAreGivenBack) {
  EXPECT_THAT(elaborate("(def f (a) (return (np sum a :axis 0)))", arrays({{F64, 2}}), NUMPY2).code(),
              HasSubstr("not contiguous"));
}

TEST(Axes, WhatNumpyRefusesIsGivenBackAndTheRestDeclines) {
  auto why = [](const std::string& expression) {
    return reasonOf("(def f (a) (return " + expression + "))", arrays({{F64, 3}}), NUMPY2);
  };
  EXPECT_THAT(why("(np sum a :axis 3)"), HasSubstr("no path"));
  EXPECT_THAT(why("(np sum a :axis (tuple 1 1))"), HasSubstr("no path"));
  EXPECT_THAT(why("(np argmax a :axis (tuple 0 1))"), HasSubstr("no path"));
  EXPECT_THAT(why("(np sum a :axis (tuple 0 2))"), HasSubstr("not neighbours"));
  EXPECT_THAT(why("(np sum a :axis (len a))"), HasSubstr("no constant number"));
  EXPECT_THAT(why("(np sum a :out a)"), HasSubstr("the keyword 'out'"));
}

}  // namespace
}  // namespace epochly::program

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/elaborated.h"

namespace epochly::program {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using test::elaborate;
using test::floatList;
using test::reasonOf;

TEST(Elaborator, ArithmeticFollowsCpythonsResultTypes) {
  EXPECT_EQ(elaborate("(def f (a b) (return (+ a b)))", {Types::INT, Types::INT}).result(), "int");
  EXPECT_EQ(elaborate("(def f (a b) (return (+ a b)))", {Types::INT, Types::FLOAT}).result(), "float");
  EXPECT_EQ(elaborate("(def f (a b) (return (+ a b)))", {Types::BOOL, Types::BOOL}).result(), "int");
  EXPECT_EQ(elaborate("(def f (a b) (return (& a b)))", {Types::BOOL, Types::BOOL}).result(), "bool");
  EXPECT_EQ(elaborate("(def f (a b) (return (/ a b)))", {Types::INT, Types::INT}).result(), "float");
  EXPECT_EQ(elaborate("(def f (a) (return (** a -1)))", {Types::INT}).result(), "float");
}

TEST(Elaborator, ComplexTakesRealNumbersInAndGivesItsPartsAsFloats) {
  for (auto* op : {"+", "-", "*", "/", "**"}) {
    auto text = std::string("(def f (a b) (return (") + op + " a b)))";
    EXPECT_EQ(elaborate(text, {Types::COMPLEX, Types::INT}).result(), "complex") << op;
    EXPECT_EQ(elaborate(text, {Types::FLOAT, Types::COMPLEX}).result(), "complex") << op;
  }
  EXPECT_EQ(elaborate("(def f (a) (return (abs a)))", {Types::COMPLEX}).result(), "float");
  EXPECT_EQ(elaborate("(def f (a) (return (== a 1)))", {Types::COMPLEX}).result(), "bool");
  EXPECT_THAT(reasonOf("(def f (a) (return (< a a)))", {Types::COMPLEX}), HasSubstr("no path"));
}

TEST(Elaborator, MixedComplexArithmeticIsLeftToPythonsThatDoNotConvertFirst) {
  Dialect later{.python = 0x030e};
  EXPECT_THROW(elaborate(
                   "(def f (a) (return (+ a 1.0)))", [](Types&) { return std::vector{Types::COMPLEX}; }, later),
               Declined);
}

TEST(Elaborator, APathThatAssignsAnotherTypeMakesAUnion) {
  auto made = elaborate("(def f (a) (set x 1) (if (< a 0.0) (do (set x 2.5))) (return x))", {Types::FLOAT});
  EXPECT_EQ(made.result(), "int | float");
}

TEST(Elaborator, ALoopThatSettlesAfterOneIterationHasThatOneApart) {
  auto made = elaborate("(def f (data) (set r 0) (for x data (aug + r x)) (return r))", floatList);
  EXPECT_EQ(made.result(), "int | float");
  // The loop itself adds floats only: nothing is taken out of a union in it.
  auto code = made.code();
  auto loop = code.substr(code.find(" loop "));
  EXPECT_THAT(loop.substr(0, loop.find("poll")), Not(HasSubstr("from_bits")));
}

TEST(Elaborator, AVariableThatMayBeUnboundIsGuardedWhereItIsRead) {
  auto made = elaborate("(def f (a) (if (< a 0) (do (set x 2))) (return x))", {Types::INT});
  EXPECT_EQ(made.result(), "int");
  EXPECT_THAT(made.code(), HasSubstr("read before it is assigned"));
}

TEST(Elaborator, AnEmptyListTakesTheTypeOfWhatIsAppended) {
  auto made = elaborate("(def f (n) (set l (list)) (for i (range n) (expr (append l (/ i 2)))) (return l))", {Types::INT});
  EXPECT_EQ(made.result(), "list[float]");
}

TEST(Elaborator, WritingAParametersListMarksItsSite) {
  auto made = elaborate("(def f (data) (set (item data 0) 1) (return none))", floatList);
  auto type = made.unit->instances[0].arguments[0];
  auto& site = made.unit->types(made.unit->types[type].ref);
  EXPECT_TRUE(site.written);
  EXPECT_EQ(made.unit->types.show(type), "list[int | float]") << "an int was stored among the floats";
}

TEST(Elaborator, RecursionFindsItsResultTypeFromTheBaseCase) {
  auto made = elaborate("(def f (n) (if (< n 2) (do (return n))) (return (+ (f (- n 1)) (f (- n 2)))))", {Types::INT});
  EXPECT_EQ(made.result(), "int");
  EXPECT_TRUE(made.unit->instances[0].usedEarly);
}

TEST(Elaborator, AnotherFunctionIsElaboratedForItsArgumentTypes) {
  auto made = elaborate("(def f (a) (return (tuple (g a) (g 1)))) (def g (x) (return (* x x)))", {Types::FLOAT});
  EXPECT_EQ(made.result(), "tuple[float, int]");
  EXPECT_EQ(made.unit->instances.size(), 3u);
}

TEST(Elaborator, TheEntryIsTheFirstInstanceWhereParametersTurnOutToShareMemory) {
  auto made = elaborate("(def f (a b) (set s none) (for k (range 4) (set s k) (set a b)) (return (item a 0)))",
                        test::arrays({{DType::F64, 1}, {DType::F64, 1}}), test::NUMPY2);
  auto& entry = made.unit->instances[0];
  EXPECT_EQ(entry.round, made.unit->instances.back().round);
  EXPECT_EQ(entry.arguments[0], entry.arguments[1]) << "one site now";
  EXPECT_EQ(made.result(), "numpy.float64");
}

TEST(Elaborator, WhatItCannotDoDeclinesWithItsLine) {
  EXPECT_EQ(reasonOf("(def f (a) (set b a) (unsupported no) (return b))", {Types::INT}), "2: no");
}

TEST(Elaborator, APathThatIsNeverTakenDeclinesNothing) {
  EXPECT_EQ(reasonOf("(def f (a) (if false (do (unsupported no))) (return a))", {Types::INT}), "compiles");
}

TEST(Elaborator, AFunctionThatCanOnlyRaiseDeclines) {
  EXPECT_THAT(reasonOf("(def f (a) (return (+ a none)))", {Types::INT}), HasSubstr("no path through the function"));
}

TEST(Elaborator, RecursionThatGrowsItsTypesEnds) {
  EXPECT_NE(reasonOf("(def f (a) (return (f (tuple a 1))))", {Types::INT}), "compiles");
}

}  // namespace
}  // namespace epochly::program

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/elaborated.h"

namespace epochly::program {
namespace {

using test::elaborate;
using test::reasonOf;
using ::testing::HasSubstr;
using ::testing::Not;

// ---- str and bytes -----------------------------------------------------------------------------------------------------------

TEST(Texts, ThoseOfTheSourceAreComparedWhileCompiling) {
  auto made = elaborate("(def f (n) (if (== 'a 'b) (do (unsupported no))) (return n))", {Types::INT});
  EXPECT_EQ(made.result(), "int");
  EXPECT_EQ(made.count("if"), 0u);
}

TEST(Texts, ThoseOfTheCallAreComparedByNumber) {
  auto made = elaborate("(def f (s) (return (== s 'fast)))", {Types::STR});
  EXPECT_EQ(made.result(), "bool");
  EXPECT_EQ(made.count("icmp"), 1u);
  ASSERT_EQ(made.unit->texts.size(), 1u);
  EXPECT_EQ(made.unit->texts[0].content, "fast");
}

TEST(Texts, TheSameContentIsOneNumber) {
  auto made = elaborate("(def f (s) (return (tuple (== s 'a) (== s 'b) (!= s 'a))))", {Types::STR});
  EXPECT_EQ(made.unit->texts.size(), 2u);
}

TEST(Texts, IdentityOfEqualTextsIsGivenBackAndOrderDeclines) {
  EXPECT_THAT(elaborate("(def f (s) (return (is s 'a)))", {Types::STR}).code(), HasSubstr("one object or two"));
  EXPECT_EQ(elaborate("(def f (s) (return (is s none)))", {Types::STR}).count("guard"), 0u);
  EXPECT_THAT(reasonOf("(def f (s) (return (< s 'a)))", {Types::STR}), HasSubstr("comparing str and str"));
  EXPECT_THAT(reasonOf("(def f (s) (return (len s)))", {Types::STR}), HasSubstr("the length of str"));
}

TEST(Texts, FloatReadsInfinityAndNan) {
  EXPECT_EQ(elaborate("(def f () (return (float '-Infinity)))", std::vector<Type>{}).result(), "float");
  EXPECT_THAT(reasonOf("(def f (s) (return (float s)))", {Types::STR}), HasSubstr("float() of str"));
}

// ---- complex numbers ---------------------------------------------------------------------------------------------------------

TEST(Complex, AProductIsFourProductsAndNoGuard) {
  auto made = elaborate("(def f (a b) (return (* a b)))", {Types::COMPLEX, Types::COMPLEX});
  EXPECT_EQ(made.count("fmul"), 4u);
  EXPECT_EQ(made.count("fadd") + made.count("fsub"), 2u);
  EXPECT_EQ(made.count("guard"), 0u);
}

TEST(Complex, TheConjugateNegatesOnePart) {
  auto made = elaborate("(def f (a) (return (method conjugate a)))", {Types::COMPLEX});
  EXPECT_EQ(made.result(), "complex");
  EXPECT_EQ(made.count("fneg"), 1u);
}

TEST(Complex, ItsPartsAreFloatsAndTheQuotientIsGuarded) {
  EXPECT_EQ(elaborate("(def f (a) (return (tuple (attribute real a) (attribute imag a))))", {Types::COMPLEX}).result(),
            "tuple[float, float]");
  EXPECT_GE(elaborate("(def f (a b) (return (/ a b)))", {Types::COMPLEX, Types::COMPLEX}).count("guard"), 1u);
}

// ---- numbers -----------------------------------------------------------------------------------------------------------------

TEST(Numbers, MethodsAndAttributesOfIntegers) {
  auto of = [](const std::string& expression) { return elaborate("(def f (a) (return " + expression + "))", {Types::INT}); };
  EXPECT_EQ(of("(method bit_length a)").result(), "int");
  EXPECT_EQ(of("(method as_integer_ratio a)").result(), "tuple[int, int]");
  EXPECT_EQ(of("(attribute denominator a)").result(), "int");
  EXPECT_EQ(elaborate("(def f (a) (return (method is_integer a)))", {Types::FLOAT}).result(), "bool");
  EXPECT_THAT(reasonOf("(def f (a) (return (method hex a)))", {Types::FLOAT}), HasSubstr("the method 'hex' of float"));
}

TEST(Numbers, IsinstanceIsKnownWhileCompiling) {
  auto made = elaborate("(def f (a) (if (isinstance a (tuple list float)) (do (unsupported no))) (return a))", {Types::INT});
  EXPECT_EQ(made.result(), "int");
  EXPECT_EQ(elaborate("(def f (a) (if (isinstance a int) (do (return 1.5))) (return a))", {Types::BOOL}).result(), "float");
}

TEST(Math, EachFunctionHasItsTypes) {
  auto of = [](const std::string& expression) {
    return elaborate("(def f (a b) (return " + expression + "))", {Types::FLOAT, Types::INT}).result();
  };
  EXPECT_EQ(of("(math frexp a)"), "tuple[float, int]");
  EXPECT_EQ(of("(math modf a)"), "tuple[float, float]");
  EXPECT_EQ(of("(math ldexp a b)"), "float");
  EXPECT_EQ(of("(math gcd b b b)"), "int");
  EXPECT_EQ(of("(math lcm)"), "int");
  EXPECT_EQ(of("(math isclose a b :rel_tol 0.5)"), "bool");
  EXPECT_EQ(of("(math dist (tuple a b) (tuple b a))"), "float");
  EXPECT_EQ(of("(math floor a)"), "int");
}

TEST(Math, TwoSidesAreOneCallAndMoreOfThemGuarded) {
  auto two = elaborate("(def f (a b) (return (math hypot a b)))", {Types::FLOAT, Types::FLOAT});
  auto three = elaborate("(def f (a b) (return (math hypot a b a)))", {Types::FLOAT, Types::FLOAT});
  EXPECT_EQ(two.count("math2"), 1u);
  EXPECT_THAT(two.code(), HasSubstr("in the middle between two floats"));
  EXPECT_EQ(three.count("float_math"), 1u);
}

TEST(Math, WhatCpythonComputesInItsOwnWayDeclinesByName) {
  EXPECT_THAT(reasonOf("(def f (a) (return (math gamma a)))", {Types::FLOAT}), HasSubstr("math.gamma is not compiled"));
}

// ---- going through items -----------------------------------------------------------------------------------------------------

TEST(Folds, TheSumIsCompensatedFrom312On) {
  Dialect before{.python = 0x030b}, from{.python = 0x030c};
  auto steps = [](Dialect dialect) {
    return elaborate("(def f (v) (return (sum v)))", test::floatList, dialect).count("fsub");
  };
  EXPECT_EQ(steps(before), 0u);
  EXPECT_GE(steps(from), 2u);
}

TEST(Folds, TheLeastOfNothingIsTheDefaultOrGivenBack) {
  EXPECT_THAT(elaborate("(def f (v) (return (min v)))", test::floatList).code(), HasSubstr("min or max of nothing"));
  auto made = elaborate("(def f (v) (return (min v :default 0)))", test::floatList);
  EXPECT_EQ(made.result(), "int | float");
  EXPECT_THAT(made.code(), Not(HasSubstr("min or max of nothing")));
}

TEST(Folds, ProductsOfFloatsAreFloatsFromTheFirstOn) {
  EXPECT_EQ(elaborate("(def f (v) (return (math prod v :start 1.0)))", test::floatList).result(), "float");
  EXPECT_EQ(elaborate("(def f (v) (return (math fsum v)))", test::floatList).result(), "float");
}

// ---- loops and names ---------------------------------------------------------------------------------------------------------

TEST(Loops, IterationsOfTheProgramAreCountedAndThoseOfBuiltinsAreNot) {
  EXPECT_GE(elaborate("(def f (v) (set n 0) (for x v (set n x)) (return n))", test::floatList).count("count"), 1u);
  EXPECT_GE(elaborate("(def f (v) (set n 3) (while (> n 0) (aug - n 1)) (return n))", test::floatList).count("count"), 1u);
  EXPECT_EQ(elaborate("(def f (v) (return (sum v)))", test::floatList).count("count"), 0u);
  EXPECT_EQ(elaborate("(def f (v) (return (method copy v)))", test::floatList).count("count"), 0u);
}

TEST(Loops, ATupleIsUnrolledBesideAnotherTuple) {
  auto made =
      elaborate("(def f (a) (set n 0) (for x (zip (tuple a a) (tuple a a a)) (aug + n 1)) (return n))", {Types::INT});
  EXPECT_EQ(made.count("loop"), 0u);
  EXPECT_EQ(made.count("count"), 2u);
}

TEST(Names, AnAssignmentInAnExpressionGivesItsValue) {
  EXPECT_EQ(elaborate("(def f (a) (return (+ (named b (/ a 2)) b)))", {Types::INT}).result(), "float");
}

TEST(Names, WhatIsDeletedIsNotThereAnyMore) {
  EXPECT_THAT(reasonOf("(def f (a) (del a) (return a))", {Types::INT}), HasSubstr("no path"));
}

// ---- effects -----------------------------------------------------------------------------------------------------------------

Site siteOf(const std::string& statement) {
  auto made = elaborate("(def f (v) " + statement + " (return none))", test::floatList);
  auto& types = made.unit->types;
  return types(types[made.unit->instances[0].arguments[0]].ref);
}

TEST(Effects, AListThatIsOnlyReadIsNotWritten) {
  for (auto* reads : {"(set n (sum v))", "(set n (item v 0))", "(set n (in 1.5 v))", "(set n (method count v 1.5))",
                      "(set n (== v v))", "(set n (method copy v))"}) {
    EXPECT_FALSE(siteOf(reads).written) << reads;
    EXPECT_FALSE(siteOf(reads).resized) << reads;
  }
}

TEST(Effects, WhatChangesItemsOrTheirNumberIsNoted) {
  EXPECT_TRUE(siteOf("(set (item v 0) 1.0)").written);
  EXPECT_FALSE(siteOf("(set (item v 0) 1.0)").resized);
  for (auto* resizes : {"(expr (append v 1.0))", "(expr (method pop v))", "(expr (method clear v))",
                        "(expr (method remove v 1.5))", "(del (item v 0))", "(aug + v v)"}) {
    EXPECT_TRUE(siteOf(resizes).written) << resizes;
    EXPECT_TRUE(siteOf(resizes).resized) << resizes;
  }
}

}  // namespace
}  // namespace epochly::program

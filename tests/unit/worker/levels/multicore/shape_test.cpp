#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "levels/multicore/split.h"
#include "levels/program/elaborator.h"
#include "support/program_text.h"

namespace epochly::multicore {
namespace {

using program::DType;
using program::Op;
using program::Type;
using program::Types;
using ::testing::HasSubstr;

struct Looked {
  std::unique_ptr<program::Unit> unit;
  Split split;
  std::string kind(size_t loop = 0) const { return split.loops.at(loop).kind; }
  std::string reason(size_t loop = 0) const {
    auto& shape = split.loops.at(loop);
    return std::to_string(shape.reasonLine) + ": " + shape.reason;
  }
};

Looked look(const std::string& text, const std::function<std::vector<Type>(Types&)>& arguments) {
  test::ProgramText program(text);
  Looked looked{program::Elaborator(program, {}).run(arguments), {}};
  looked.split = split(*looked.unit);
  return looked;
}

// x, y of one dimension, and an int.
std::vector<Type> vectors(Types& types) {
  return {types.array(DType::F64, 1, types.site(0)), types.array(DType::F64, 1, types.site(1)), Types::INT};
}
// x, y of two dimensions, and an int.
std::vector<Type> matrices(Types& types) {
  return {types.array(DType::F64, 2, types.site(0)), types.array(DType::F64, 2, types.site(1)), Types::INT};
}

Looked lookAtVectors(const std::string& loop) { return look("(def f (x y n) " + loop + " (return n))", vectors); }

TEST(Shape, ALoopThatStoresAtItsOwnIndexIsAMap) {
  auto looked = lookAtVectors("(for i (range n) (set (item y i) (* (item x i) 2.0)))");
  EXPECT_EQ(looked.kind(), "map") << looked.reason();
  EXPECT_EQ(looked.split.parallel, 1u);
}

TEST(Shape, AStepOtherThanOneAndAnOffsetAreAMapToo) {
  EXPECT_EQ(lookAtVectors("(for i (range 1 n 3) (set (item y (- i 1)) 2.0))").kind(), "map");
  EXPECT_EQ(lookAtVectors("(for i (range n 0 -1) (set (item y i) 2.0))").kind(), "map");
}

TEST(Shape, ReadingTheElementThatIsWrittenIsAMapToo) {
  EXPECT_EQ(lookAtVectors("(for i (range n) (set (item y i) (* (item y i) 2.0)))").kind(), "map");
}

TEST(Shape, AStencilOfAnotherArrayIsAMap) {
  auto looked = lookAtVectors("(for i (range 1 n) (set (item y i) (+ (item x (- i 1)) (item x (+ i 1)))))");
  EXPECT_EQ(looked.kind(), "map") << looked.reason();
}

TEST(Shape, AStencilInPlaceIsCarried) {
  auto looked = lookAtVectors("(for i (range 1 n) (set (item y i) (+ (item y (- i 1)) 1.0)))");
  EXPECT_EQ(looked.kind(), "carried");
  EXPECT_THAT(looked.reason(), HasSubstr("reads elements of 'y' that other iterations write"));
  EXPECT_EQ(looked.split.parallel, 0u);
}

TEST(Shape, TwoIndicesOfOneArrayAreCarried) {
  auto looked = lookAtVectors("(for i (range n) (set (item y i) 1.0) (set (item y (+ i 1)) 2.0))");
  EXPECT_THAT(looked.reason(), HasSubstr("several iterations may write the same element of 'y'"));
}

TEST(Shape, AnIndexThatDoesNotMoveIsAScatter) {
  EXPECT_EQ(lookAtVectors("(for i (range n) (set (item y 0) 1.0))").kind(), "scatter");
  EXPECT_EQ(lookAtVectors("(for i (range n) (set (item y (// i 2)) 1.0))").kind(), "scatter");
}

TEST(Shape, AVariableThatOneIterationLeavesToTheNextIsCarried) {
  auto looked = lookAtVectors("(set a 0.0) (for i (range n) (set (item y i) a) (set a (item x i)))");
  EXPECT_EQ(looked.kind(), "carried");
  EXPECT_THAT(looked.reason(), HasSubstr("it reads 'a' as the iteration before left it"));
}

TEST(Shape, AVariableThatIsAssignedFirstIsTheIterationsOwn) {
  auto looked = lookAtVectors("(set a 0.0) (for i (range n) (set a (item x i)) (set (item y i) (* a a)))");
  EXPECT_EQ(looked.kind(), "map") << looked.reason();
}

TEST(Shape, AVariableThatSomeIterationsLeaveBehindIsCarried) {
  auto looked =
      look("(def f (x y n) (set a 0.0) (for i (range n) (if (> (item x i) 1.0) (do (set a 2.0)))) (return a))", vectors);
  EXPECT_EQ(looked.kind(), "carried");
  EXPECT_THAT(looked.reason(), HasSubstr("'a' is assigned in some iterations and read after the loop"));
}

TEST(Shape, ABreakIsCarried) {
  auto looked = lookAtVectors("(for i (range n) (if (> (item x i) 1.0) (do (break))) (set (item y i) 1.0))");
  EXPECT_EQ(looked.kind(), "carried");
  EXPECT_THAT(looked.reason(), HasSubstr("it may end early, by break or return"));
}

TEST(Shape, AWhileLoopThatCountsIsAMap) {
  auto counts = "(set i 0) (while (< i n) (set (item y i) 1.0) (aug + i 1))";
  EXPECT_EQ(lookAtVectors(counts).kind(), "map") << lookAtVectors(counts).reason();
  auto waits = lookAtVectors("(set a 100.0) (while (> a 1.0) (set a (/ a 2.0)))");
  EXPECT_EQ(waits.kind(), "carried");
}

TEST(Shape, RowsOfAMatrixAreIndependentOfTheColumnsInside) {
  auto looked =
      look("(def f (x y n) (for i (range n) (for j (range n) (set (item y (tuple i j)) (item x (tuple j i))))) (return n))",
           matrices);
  ASSERT_EQ(looked.split.loops.size(), 2u);
  EXPECT_EQ(looked.kind(0), "map") << looked.reason(0);
  EXPECT_EQ(looked.kind(1), "map") << looked.reason(1);
  EXPECT_EQ(looked.split.loops[1].depth, 1);
}

TEST(Shape, AMatrixThatIsWrittenAtOtherRowsIsNot) {
  auto looked =
      look("(def f (x y n) (for i (range n) (for j (range n) (set (item y (tuple j 0)) 1.0))) (return n))", matrices);
  EXPECT_EQ(looked.kind(0), "scatter");
  EXPECT_EQ(looked.kind(1), "map") << looked.reason(1);
}

TEST(Shape, ACalledFunctionThatWritesKeepsTheLoopWhole) {
  auto looked = look(
      "(def f (x y n) (for i (range n) (expr (g y i))) (return n)) (def g (y i) (set (item y i) 1.0) (return 0))", vectors);
  EXPECT_THAT(looked.reason(), HasSubstr("it calls a function that writes into an array or a list"));
}

TEST(Shape, ACalledFunctionThatOnlyComputesDoesNot) {
  auto looked = look(
      "(def f (x y n) (for i (range n) (set (item y i) (g (item x i)))) (return n)) (def g (v) (return (* v v)))", vectors);
  EXPECT_EQ(looked.kind(), "map") << looked.reason();
}

TEST(Shape, ALoopWithinASplitLoopSplitsOnceMore) {
  auto looked =
      look("(def f (x y n) (for i (range n) (for j (range n) (set (item y (tuple i j)) 1.0))) (return n))", matrices);
  EXPECT_EQ(looked.split.parallel, 2u);
  EXPECT_EQ(std::count_if(looked.unit->instructions.begin(), looked.unit->instructions.end(),
                          [](auto& one) { return one.op == Op::PARALLEL; }),
            2);
}

Looked lookAtTotal(const std::string& start, const std::string& loop, bool reorders = false) {
  test::ProgramText program("(def f (x y n) (set t " + start + ") (for i (range n) " + loop + ") (return t))");
  Looked looked{program::Elaborator(program, {}).run(vectors), {}};
  looked.split = split(*looked.unit, reorders);
  return looked;
}

TEST(Shape, SumsOfIntegersAreReductions) {
  auto looked = lookAtTotal("0", "(aug + t (* i i))");
  EXPECT_EQ(looked.kind(), "reduction") << looked.reason();
  EXPECT_FALSE(looked.split.loops[0].isOrdered);
  EXPECT_EQ(lookAtTotal("0", "(aug - t i) (if (> i 3) (do (aug + t 2)))").kind(), "reduction");
}

TEST(Shape, SumsOfFloatsKeepTheirOrderUnlessTheyMayBeReordered) {
  auto exact = lookAtTotal("0.5", "(aug + t (math sqrt (item x i)))");
  EXPECT_EQ(exact.kind(), "reduction") << exact.reason();
  EXPECT_TRUE(exact.split.loops[0].isOrdered);
  EXPECT_FALSE(exact.split.loops[0].isFixed);
  auto fast = lookAtTotal("0.5", "(aug + t (math sqrt (item x i)))", true);
  EXPECT_FALSE(fast.split.loops[0].isOrdered);
  EXPECT_TRUE(fast.split.loops[0].isFixed);
}

TEST(Shape, SumsAndProductsOfOneVariableAreCarried) {
  EXPECT_EQ(lookAtTotal("0", "(aug + t i) (aug * t 2)").kind(), "carried");
  EXPECT_EQ(lookAtTotal("0", "(set t (- i t))").kind(), "carried");
  EXPECT_EQ(lookAtTotal("0", "(aug + t t)").kind(), "carried");
}

TEST(Shape, ATotalThatAnIterationStoresIsCarried) {
  EXPECT_EQ(lookAtTotal("0.0", "(aug + t 1.0) (set (item y i) t)").kind(), "carried");
}

TEST(Shape, ARunningTotalOfFloatsIsCarriedForItsOrder) {
  constexpr auto IN_ORDER =
      "it reads the running total 't' on the way, whose floats several cores would add up in another order";
  EXPECT_THAT(lookAtTotal("0.0", "(aug + t (item x i)) (set (item y i) t)").reason(), HasSubstr(IN_ORDER));
  EXPECT_THAT(lookAtTotal("0.0", "(set (item y i) t) (aug - t (item x i))").reason(), HasSubstr(IN_ORDER));
  EXPECT_THAT(
      lookAtTotal("0.0", "(if (> (item x i) 1.0) (do (aug + t (math sqrt (item x i))))) (set (item y i) t)").reason(),
      HasSubstr(IN_ORDER));
}

TEST(Shape, ATotalThatIsReadOnTheWayOtherwiseIsCarriedForWhatItReads) {
  constexpr auto READS = "it reads 't' as the iteration before left it";
  auto declined = [](const std::string& loop, bool reorders = false) { return lookAtTotal("0.0", loop, reorders).reason(); };
  EXPECT_THAT(declined("(aug + t (item x i)) (set (item y i) t)", true),
              HasSubstr(READS));  // the order is not what keeps it
  EXPECT_THAT(declined("(aug + t (* t 0.5)) (set (item y i) t)"), HasSubstr(READS));
  EXPECT_THAT(declined("(set v (* t 0.5)) (aug + t v) (set (item y i) t)"), HasSubstr(READS));
  EXPECT_THAT(declined("(aug + t (item y i)) (set (item y i) t)"), HasSubstr(READS));  // from memory that the loop writes
  EXPECT_THAT(declined("(if (> t 1.0) (do (aug + t (math sqrt (item x i))))) (set (item y i) t)"), HasSubstr(READS));
  EXPECT_THAT(declined("(set v 0.0) (if (> t 1.0) (do (set v 1.0))) (aug + t v) (set (item y i) t)"), HasSubstr(READS));
  EXPECT_THAT(declined("(set t (- (item x i) t)) (set (item y i) t)"), HasSubstr(READS));
  EXPECT_THAT(declined("(aug + t (math sqrt (item x i))) (if (> t 9.0) (do (set t 0.0))) (set (item y i) t)"),
              HasSubstr(READS));
}

TEST(Shape, AnExtremeIsAReductionWhereWhatIsStoredIsWhatWasCompared) {
  auto looked = lookAtTotal("0", "(if (> (% i 7) t) (do (set t (% i 7))))");
  EXPECT_EQ(looked.kind(), "reduction") << looked.reason();  // computed twice, in the same way
  looked = lookAtTotal("0", "(if (> (% i 7) t) (do (set t (% i 8))))");
  EXPECT_EQ(looked.kind(), "carried");
  looked = lookAtTotal("0", "(set v (% i 7)) (if (> v t) (do (set t v)))");
  EXPECT_EQ(looked.kind(), "reduction") << looked.reason();
  looked = lookAtTotal("0", "(set v (% i 7)) (if (> v t) (do (set t v) (set at i)))");
  EXPECT_EQ(looked.kind(), "reduction") << looked.reason();  // nobody reads `at`
}

TEST(Shape, ConstantsAddedToElementsOfAnArrayAreAHistogram) {
  auto counts = [](const std::string& loop) {
    return look("(def f (h k n) " + loop + " (return n))", [](Types& types) {
      return std::vector<Type>{types.array(DType::I64, 1, types.site(0)), types.array(DType::I64, 1, types.site(1)),
                               Types::INT};
    });
  };
  auto looked = counts("(for i (range n) (aug + (item h (item k i)) 1))");
  EXPECT_EQ(looked.kind(), "histogram") << looked.reason();
  EXPECT_EQ(looked.split.parallel, 1u);
  EXPECT_EQ(counts("(for i (range n) (aug + (item h (item k i)) -1))").kind(), "scatter");
  EXPECT_EQ(counts("(for i (range n) (aug + (item h (item k i)) i))").kind(), "scatter");
  EXPECT_EQ(counts("(for i (range n) (set (item h (item k i)) 1))").kind(), "scatter");
}

}  // namespace
}  // namespace epochly::multicore

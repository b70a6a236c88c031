#include "levels/jit/compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <optional>
#include <random>

#include "levels/jit/runtime.h"
#include "levels/program/elaborator.h"
#include "support/program_text.h"

namespace epochly::jit {
namespace {

using program::Type;
using program::Types;

// A function of one or two numbers, compiled.
class Compiled {
 public:
  Compiled(const std::string& text, std::vector<Type> arguments) {
    test::ProgramText program(text);
    unit = program::Elaborator(program, {}).run([&](Types&) { return arguments; });
    code = compile(*unit, {});
  }
  // None: a guard failed; `reason` says which.
  std::optional<uint64_t> bits(std::vector<uint64_t> arguments) {
    Context context;
    context.depth = 100;
    uint64_t results[8];
    arguments.push_back(0);
    auto guard = code->entry(&context, arguments.data(), results);
    iterations = context.iterations;
    if (!guard) return results[0];
    reason = unit->guards[guard].reason;
    return {};
  }
  std::optional<int64_t> ints(std::vector<int64_t> arguments) {
    auto result = bits({arguments.begin(), arguments.end()});
    if (!result) return {};
    return static_cast<int64_t>(*result);
  }
  std::optional<double> reals(std::vector<double> arguments) {
    std::vector<uint64_t> leaves;
    for (auto x : arguments) leaves.push_back(std::bit_cast<uint64_t>(x));
    auto result = bits(leaves);
    if (!result) return {};
    return std::bit_cast<double>(*result);
  }
  std::string reason;
  uint64_t iterations = 0;  // of the last call

 private:
  std::unique_ptr<program::Unit> unit;
  std::shared_ptr<Code> code;
};

Compiled ofInts(const std::string& expression) {
  return {"(def f (a b) (return " + expression + "))", {Types::INT, Types::INT}};
}
Compiled ofReals(const std::string& expression) {
  return {"(def f (a b) (return " + expression + "))", {Types::FLOAT, Types::FLOAT}};
}

TEST(Compiler, IntegersNeverWrap) {
  auto sum = ofInts("(+ a b)");
  EXPECT_EQ(sum.ints({INT64_MAX - 1, 1}), INT64_MAX);
  EXPECT_EQ(sum.ints({INT64_MAX, 1}), std::nullopt);
  EXPECT_THAT(sum.reason, ::testing::HasSubstr("64 bits"));
  EXPECT_EQ(ofInts("(* a b)").ints({INT64_MIN, -1}), std::nullopt);
  EXPECT_EQ(ofInts("(- a b)").ints({INT64_MIN, 1}), std::nullopt);
}

TEST(Compiler, IterationsAreCountedWhereTheirLoopsEnd) {
  Compiled nested("(def f (a b) (set s 0) (for i (range a) (for j (range b) (aug + s (* i j)))) (return s))",
                  {Types::INT, Types::INT});
  nested.ints({7, 5});
  EXPECT_EQ(nested.iterations, 7u + 7 * 5);
  nested.ints({0, 5});
  EXPECT_EQ(nested.iterations, 0u);
  // As CPython counts: the one that breaks is not complete.
  Compiled breaks("(def f (a b) (for i (range a) (if (== i b) (do (break)))) (return a))", {Types::INT, Types::INT});
  breaks.ints({10, 4});
  EXPECT_EQ(breaks.iterations, 4u);
  Compiled calls("(def f (a b) (return (+ (g a) (g b)))) (def g (n) (while (> n 0) (aug - n 1)) (return n))",
                 {Types::INT, Types::INT});
  calls.ints({3, 4});
  EXPECT_EQ(calls.iterations, 7u);
}

TEST(Compiler, FloorDivisionRoundsDownAndModuloHasTheDivisorsSign) {
  auto quotient = ofInts("(// a b)"), rest = ofInts("(% a b)");
  for (auto [a, b] :
       std::vector<std::pair<int64_t, int64_t>>{{7, 2}, {-7, 2}, {7, -2}, {-7, -2}, {6, -3}, {0, -5}, {INT64_MIN, 3}}) {
    auto q = static_cast<int64_t>(std::floor(static_cast<long double>(a) / b));
    EXPECT_EQ(quotient.ints({a, b}), q) << a << " // " << b;
    EXPECT_EQ(rest.ints({a, b}), static_cast<int64_t>(a - __int128(q) * b)) << a << " % " << b;
  }
  EXPECT_EQ(quotient.ints({1, 0}), std::nullopt);
  EXPECT_EQ(quotient.ints({INT64_MIN, -1}), std::nullopt);
  EXPECT_EQ(rest.ints({INT64_MIN, -1}), 0);
}

TEST(Compiler, ShiftsStayInside64BitsOrGiveBack) {
  auto left = ofInts("(<< a b)");
  EXPECT_EQ(left.ints({3, 61}), int64_t(3) << 61);
  EXPECT_EQ(left.ints({3, 62}), std::nullopt);
  EXPECT_EQ(left.ints({1, 62}), int64_t(1) << 62);
  EXPECT_EQ(left.ints({1, 63}), std::nullopt);
  EXPECT_EQ(left.ints({1, -1}), std::nullopt);
  EXPECT_EQ(ofInts("(>> a b)").ints({-5, 1000}), -1);
}

TEST(Compiler, TheSquareIsLibmsPowBitForBit) {
  auto square = ofReals("(+ (** a 2) (* b 0.0))");
  volatile double two = 2;  // or the compiler of this test makes x * x of it
  std::mt19937_64 random(1);
  int checked = 0;
  while (checked < 200'000) {
    auto x = std::bit_cast<double>(random());
    if (!std::isfinite(x) || !std::isfinite(std::pow(x, two)) || std::fabs(std::pow(x, two)) < 1e-307) continue;
    ASSERT_EQ(square.reals({x, 0.0}), std::pow(x, two)) << std::hexfloat << x;
    checked++;
  }
}

TEST(Compiler, TheSquareRootPowerIsLibmsPowBitForBit) {
  auto root = ofReals("(+ (** a 0.5) (* b 0.0))");
  std::mt19937_64 random(2);
  for (int checked = 0; checked < 200'000;) {
    auto x = std::bit_cast<double>(random() >> 1);
    if (!std::isfinite(x) || x == 0) continue;
    ASSERT_EQ(root.reals({x, 0.0}), std::pow(x, 0.5)) << std::hexfloat << x;
    checked++;
  }
  EXPECT_EQ(root.reals({-1.0, 0.0}), std::nullopt) << "a complex number in CPython";
}

// CPython's float_rem.
double moduloOf(double x, double y) {
  auto mod = std::fmod(x, y);
  if (mod) return (y < 0) != (mod < 0) ? mod + y : mod;
  return std::copysign(0.0, y);
}

TEST(Compiler, TheFloatRemainderIsFmodsBitForBit) {
  auto rest = ofReals("(% a b)");
  std::mt19937_64 random(3);
  for (int i = 0; i < 300'000; i++) {
    auto x = std::bit_cast<double>(random()), y = std::bit_cast<double>(random());
    if (i % 2) x = std::ldexp(static_cast<double>(random()), -50), y = std::ldexp(static_cast<double>(random() >> 40), -10);
    if (i % 8 == 1) x = y * static_cast<double>(random() % 100000);
    if (y == 0 || std::isnan(x) || std::isnan(y)) continue;
    auto want = moduloOf(x, y);
    auto got = rest.reals({x, y});
    ASSERT_TRUE(got);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(*got));
    } else {
      ASSERT_EQ(std::bit_cast<uint64_t>(*got), std::bit_cast<uint64_t>(want)) << std::hexfloat << x << " % " << y;
    }
  }
  EXPECT_EQ(rest.reals({1.0, 0.0}), std::nullopt);
}

TEST(Compiler, MultiplyAndAddAreNotContracted) {
  auto f = ofReals("(+ (* a a) b)");
  double x = 1 + 0x1p-30;
  EXPECT_EQ(f.reals({x, -(x * x)}), 0.0);
}

TEST(Compiler, LargeIntegersAreNotComparedWithFloatsInexactly) {
  Compiled less("(def f (a b) (return (+ 0 (< a b))))", {Types::INT, Types::FLOAT});
  EXPECT_EQ(less.bits({3, std::bit_cast<uint64_t>(3.5)}), 1u);
  EXPECT_EQ(less.bits({(1ull << 53) + 1, std::bit_cast<uint64_t>(0x1p53)}), std::nullopt);
}

TEST(Compiler, ARecursionDeeperThanAllowedIsGivenBack) {
  Compiled down("(def f (n) (if (== n 0) (do (return 0))) (return (+ 1 (f (- n 1)))))", {Types::INT});
  EXPECT_EQ(down.ints({100}), 100);
  EXPECT_EQ(down.ints({101}), std::nullopt);
}

TEST(Compiler, AnInterruptedLoopGivesTheCallBack) {
  test::ProgramText text("(def f (n) (set s 0.0) (for i (range n) (aug + s 1.5)) (return s))");
  auto unit = program::Elaborator(text, {}).run([](Types&) { return std::vector<Type>{Types::INT}; });
  auto code = compile(*unit, {});
  Context context;
  context.interrupted = [](Context&) { return true; };
  uint64_t argument = uint64_t(1) << 40, result = 0;
  auto guard = code->entry(&context, &argument, &result);
  EXPECT_EQ(unit->guards[guard].reason, "interrupted");
}

// The counts that numpy's inner loop is called with.
std::vector<intptr_t> pieces;
void notePiece(char**, const intptr_t* count, const intptr_t*, void*) { pieces.push_back(*count); }

struct Reduced {
  std::vector<intptr_t> pieces;
  bool needsUsualBuffer;
};

// a.`method`() of `size` float64 under that version of numpy, whose inner loop of `ufunc` only takes notes.
Reduced reduce(const std::string& method, const std::string& ufunc, uint16_t numpy, program::DType dtype, int64_t size) {
  test::ProgramText text("(def f (a) (return (method " + method + " a)))");
  auto unit = program::Elaborator(text, {.numpy = numpy}).run([&](Types& types) {
    return std::vector<Type>{types.array(dtype, 1, types.site(0))};
  });
  auto code = compile(*unit, {});
  auto& loop = ufuncLoop(program::ufuncCell(*program::ufuncNamed(ufunc), program::DType::F64));
  loop = {notePiece, nullptr};
  std::vector<double> elements(size, 1.0);
  uint64_t arguments[] = {reinterpret_cast<uint64_t>(elements.data()), static_cast<uint64_t>(size), sizeof(double)}, result;
  Context context;
  pieces.clear();
  EXPECT_EQ(code->entry(&context, arguments, &result), 0u);
  loop = {};
  return {pieces, unit->needsUsualBuffer};
}

TEST(Compiler, ReductionsReachNumpysLoopInThePiecesOfItsVersion) {
  using program::DType;
  using ::testing::ElementsAre;
  constexpr uint16_t OLD = 0x0202, NEW = 0x0203;
  for (auto size : {1, 8191, 8192}) EXPECT_THAT(reduce("sum", "add", OLD, DType::F64, size).pieces, ElementsAre(size));
  EXPECT_THAT(reduce("sum", "add", OLD, DType::F64, 0).pieces, ElementsAre());
  EXPECT_THAT(reduce("sum", "add", OLD, DType::F64, 8193).pieces, ElementsAre(8192, 1));
  EXPECT_THAT(reduce("sum", "add", OLD, DType::F64, 20000).pieces, ElementsAre(8192, 8192, 3616));
  EXPECT_THAT(reduce("sum", "add", NEW, DType::F64, 20000).pieces, ElementsAre(20000));
  // An extreme starts with the first element, which the first piece then lacks.
  EXPECT_THAT(reduce("max", "maximum", OLD, DType::F64, 20000).pieces, ElementsAre(8191, 8192, 3616));
  EXPECT_THAT(reduce("max", "maximum", OLD, DType::F64, 8192).pieces, ElementsAre(8191));
  EXPECT_THAT(reduce("max", "maximum", NEW, DType::F64, 20000).pieces, ElementsAre(19999));
  // The mean of integers casts them: through the buffer in every version.
  for (auto numpy : {OLD, NEW})
    EXPECT_THAT(reduce("mean", "add", numpy, DType::I64, 20000).pieces, ElementsAre(8192, 8192, 3616));
}

TEST(Compiler, OnlyWhatReducesInPiecesNeedsTheUsualBuffer) {
  using program::DType;
  EXPECT_TRUE(reduce("sum", "add", 0x0202, DType::F64, 3).needsUsualBuffer);
  EXPECT_FALSE(reduce("sum", "add", 0x0203, DType::F64, 3).needsUsualBuffer);
  EXPECT_TRUE(reduce("mean", "add", 0x0203, DType::I64, 3).needsUsualBuffer);
  EXPECT_FALSE(reduce("sum", "add", 0x0202, DType::I64, 3).needsUsualBuffer) << "integers wrap around in any order";
}

TEST(Compiler, CodeIsFreedWithItsLastOwner) {
  std::weak_ptr<Code> watched;
  {
    test::ProgramText text("(def f (a) (return a))");
    auto unit = program::Elaborator(text, {}).run([](Types&) { return std::vector<Type>{Types::INT}; });
    watched = compile(*unit, {});
  }
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace epochly::jit

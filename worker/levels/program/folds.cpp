// Builtins that go through many values: min, max, sum, math.prod, any, all.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

namespace {

constexpr const char* NOTHING = "ValueError: min or max of nothing";

bool isLiteral(schema::Expression::Reader one) {
  if (one.isUnary()) return isLiteral(one.getUnary().getOperand());
  return one.isNone() || one.isBool() || one.isInt() || one.isFloat();
}

}  // namespace

// The items of an iterable, or of a generator expression.
void FunctionElaborator::items(Expression over, const std::function<void(const Value&)>& use) {
  if (over.isComprehension() && over.getComprehension().getLazy()) {
    auto parts = over.getComprehension();
    return generators(parts.getGenerators(), 0, [&] { use(expression(parts.getElement())); });
  }
  forEach(over, [&](const Value& item, Label&) { use(item); });
}

// min and max keep the first of equals, and compare as `<` and `>` do; so a NaN stays where it came first.
Value FunctionElaborator::better(const Value& best, const Value& item, bool isMin) {
  auto wins = truth(compare(isMin ? schema::CompareOp::LT : schema::CompareOp::GT, item, best));
  if (item.type == best.type && item.leaves.size() == 1) {
    return {item.type, {emit(Op::SELECT, {wins, item.leaves[0], best.leaves[0]}, {.prim = types.leaves(item.type)[0]})}};
  }
  return choose(
      wins, [&] { return item; }, [&] { return best; });
}

Value FunctionElaborator::minMax(Expression expression, bool isMin) {
  auto call = expression.getCall();
  std::optional<Expression> otherwise;
  for (auto keyword : call.getKeywords()) {
    if (keyword.getName() != "default" || call.getArguments().size() != 1)
      decline("min and max with the keyword '" + std::string(keyword.getName().cStr()) + "' are not compiled");
    otherwise = keyword.getValue();
  }
  if (call.getArguments().size() == 1) return extremeOf(call.getArguments()[0], otherwise, isMin);
  auto args = argumentsOf(expression);
  if (args.empty()) typeError("min and max expect an argument");
  auto best = args[0];
  for (size_t i = 1; i < args.size(); i++) best = better(best, args[i], isMin);
  return best;
}

// Of an iterable; `otherwise`: of an empty one.
Value FunctionElaborator::extremeOf(Expression over, std::optional<Expression> otherwise, bool isMin) {
  auto itsLine = line;
  bool isPlain = otherwise && (isLiteral(*otherwise) || (otherwise->isLocal() && over.isLocal()));
  if (otherwise && !isPlain) decline("min and max with a default that is neither a constant nor a variable");
  auto least = otherwise ? expression(*otherwise) : none();
  auto best = temporary();
  assign(best, none());  // None: nothing seen yet
  items(over, [&](const Value& item) {
    if (types.has(item.type, Types::NONE)) decline("min and max of None are not compiled");
    auto before = read(best);
    assign(best, split(before, [&](const Value& one) { return one.type == Types::NONE ? item : better(one, item, isMin); }));
  });
  line = itsLine;
  return split(take(best), [&](const Value& one) {
    if (one.type != Types::NONE) return one;
    if (!otherwise) fail(NOTHING);
    return least;
  });
}

// From 3.12 on the sum of floats is compensated (Neumaier): `lost` is what rounding took so far.
void FunctionElaborator::addCompensated(uint32_t total, uint32_t lost, ValueId x) {
  auto t = split(read(total), [&](const Value& one) { return real(asFloat(one)); }).leaves[0];
  auto sum = fop(Op::FADD, t, x);
  auto bigger = fcmp(Compare::GE, fop1(Op::FABS, t), fop1(Op::FABS, x));
  auto a = fop(Op::FADD, fop(Op::FSUB, t, sum), x), b = fop(Op::FADD, fop(Op::FSUB, x, sum), t);
  auto step = emit(Op::SELECT, {bigger, a, b}, {.prim = Prim::F});
  assign(lost, real(fop(Op::FADD, read(lost).leaves[0], step)));
  assign(total, real(sum));
}

Value FunctionElaborator::sum(Expression expression) {
  auto call = expression.getCall();
  auto args = call.getArguments();
  bool keyword = call.getKeywords().size() == 1 && call.getKeywords()[0].getName() == "start";
  if (args.size() < 1 || args.size() > 2 || (call.getKeywords().size() && (!keyword || args.size() == 2)))
    decline("this use of sum is not compiled");
  auto total = temporary();
  auto start = keyword            ? this->expression(call.getKeywords()[0].getValue())
               : args.size() == 2 ? this->expression(args[1])
                                  : integerConst(0);
  if (!isNumeric(start.type)) decline("sum from something else than a number is not compiled");
  assign(total, start);
  bool compensated = owner.dialect.python >= 0x030c;
  auto lost = temporary();
  if (compensated) assign(lost, realConst(0));
  items(args[0], [&](const Value& item) {
    if (!compensated || !(types.is(item.type, Kind::UNION) || types.has(item.type, Types::FLOAT)))
      return assign(total, settle(binary(schema::BinaryOp::ADD, read(total), item)));
    if (item.type != Types::FLOAT || !isPlainInt(start.type) || start.constInt != 0)
      decline("a sum of mixed numbers is not compiled for this version of Python");
    addCompensated(total, lost, item.leaves[0]);
  });
  line = expression.getLine();
  auto result = take(total);
  if (!compensated) return result;
  auto rest = take(lost).leaves[0];
  return split(result, [&](const Value& one) {
    if (one.type != Types::FLOAT || !isPlainInt(start.type)) return one;
    auto finite = fcmp(Compare::LT, fop1(Op::FABS, rest), constF(__builtin_inf()));
    auto useful = bop(Op::BAND, finite, fcmp(Compare::NE, rest, constF(0)));
    return real(emit(Op::SELECT, {useful, fop(Op::FADD, one.leaves[0], rest), one.leaves[0]}, {.prim = Prim::F}));
  });
}

// math.prod(iterable, *, start=1)
Value FunctionElaborator::product(Expression expression) {
  auto call = expression.getCall();
  auto keywords = call.getKeywords();
  bool hasStart = keywords.size() == 1 && keywords[0].getName() == "start";
  if (call.getArguments().size() != 1 || (keywords.size() && !hasStart)) typeError("math.prod expects one argument");
  auto start = hasStart ? this->expression(keywords[0].getValue()) : integerConst(1);
  if (!isNumeric(start.type)) decline("math.prod from something else than a number is not compiled");
  auto total = temporary();
  assign(total, start);
  items(call.getArguments()[0],
        [&](const Value& item) { assign(total, settle(binary(schema::BinaryOp::MUL, read(total), item))); });
  line = expression.getLine();
  return take(total);
}

Value FunctionElaborator::anyAll(Expression expression, bool isAny) {
  auto call = expression.getCall();
  if (call.getKeywords().size() || call.getArguments().size() != 1) typeError("any and all expect one argument");
  auto over = call.getArguments()[0];
  auto result = temporary();
  block([&](Label& done) {
    auto test = [&](ValueId holds) {
      branch(
          isAny ? bnot(holds) : holds, [] {},
          [&] {
            assign(result, boolean(constB(isAny)));
            jump(done);
            throw DeadCode();
          });
    };
    if (over.isComprehension() && over.getComprehension().getLazy()) {
      auto parts = over.getComprehension();
      generators(parts.getGenerators(), 0, [&] { test(condition(parts.getElement())); });
    } else {
      forEach(over, [&](const Value& item, Label&) { test(truth(item)); });
    }
    assign(result, boolean(constB(!isAny)));
  });
  return take(result);
}

}  // namespace epochly::program

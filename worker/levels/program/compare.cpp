// Truth and comparisons.
#include <algorithm>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

using schema::CompareOp;

namespace {

Compare orderOf(CompareOp op) {
  switch (op) {
    case CompareOp::EQ: return Compare::EQ;
    case CompareOp::NE: return Compare::NE;
    case CompareOp::LT: return Compare::LT;
    case CompareOp::LE: return Compare::LE;
    case CompareOp::GT: return Compare::GT;
    default: return Compare::GE;
  }
}

CompareOp mirrored(CompareOp op) {
  switch (op) {
    case CompareOp::LT: return CompareOp::GT;
    case CompareOp::LE: return CompareOp::GE;
    case CompareOp::GT: return CompareOp::LT;
    case CompareOp::GE: return CompareOp::LE;
    default: return op;
  }
}

bool isEquality(CompareOp op) { return op == CompareOp::EQ || op == CompareOp::NE; }

}  // namespace

ValueId FunctionElaborator::truth(const Value& value) {
  auto& data = types[value.type];
  switch (data.kind) {
    case Kind::BOOL: return value.leaves[0];
    case Kind::NONE: return constB(false);
    case Kind::STR:
    case Kind::BYTES: return bnot(sameText(value, textConst(value.type, "")));
    case Kind::INT: return icmp(Compare::NE, value.leaves[0], constI(0));
    case Kind::FLOAT: return fcmp(Compare::NE, value.leaves[0], constF(0));
    case Kind::COMPLEX:
    case Kind::SCALAR:
      if (isComplexLike(value.type)) {
        auto zero = constF(0);
        return bop(Op::BOR, fcmp(Compare::NE, value.leaves[0], zero), fcmp(Compare::NE, value.leaves[1], zero));
      }
      if (data.dtype == DType::BOOL) return value.leaves[0];
      if (isReal(data.dtype)) return fcmp(Compare::NE, value.leaves[0], constF(0));
      return icmp(Compare::NE, value.leaves[0], constI(0));
    case Kind::TUPLE: return constB(!data.parts.empty());
    case Kind::REF: return constB(true);
    case Kind::LIST:
    case Kind::RANGE: return icmp(Compare::NE, length(value).leaves[0], constI(0));
    case Kind::UNION: return split(value, [&](const Value& one) { return boolean(truth(one)); }).leaves[0];
    case Kind::ARRAY:
      if (isPoint(value)) return truth(pointElement(value));
      decline("the truth of an array is not compiled");
    case Kind::NEVER: throw DeadCode();
    default: decline("the truth of " + types.show(value.type) + " is not compiled yet");
  }
}

ValueId FunctionElaborator::condition(Expression expression) {
  line = expression.getLine();
  auto all = [&](Expressions parts, bool isAnd) {
    std::function<Value(uint)> from = [&](uint at) {
      auto first = condition(parts[at]);
      if (at + 1 == parts.size()) return boolean(first);
      auto rest = [&] { return from(at + 1); };
      auto known = [&] { return boolean(constB(!isAnd)); };
      return isAnd ? choose(first, rest, known) : choose(first, known, rest);
    };
    return from(0).leaves[0];
  };
  switch (expression.which()) {
    case schema::Expression::AND: return all(expression.getAnd(), true);
    case schema::Expression::OR: return all(expression.getOr(), false);
    case schema::Expression::UNARY:
      if (expression.getUnary().getOp() == schema::UnaryOp::NOT) return bnot(condition(expression.getUnary().getOperand()));
      break;
    default: break;
  }
  return truth(this->expression(expression));
}

ValueId FunctionElaborator::compareIntFloat(CompareOp op, ValueId integerLeaf, ValueId floatLeaf) {
  constexpr int64_t EXACT_MAX = int64_t(1) << 53;
  auto low = icmp(Compare::GE, integerLeaf, constI(-EXACT_MAX));
  auto high = icmp(Compare::LE, integerLeaf, constI(EXACT_MAX));
  guard(bop(Op::BAND, low, high), "an integer beyond 2**53 is compared with a float");
  return fcmp(orderOf(op), emit(Op::I_TO_F, {integerLeaf}, {.prim = Prim::F}), floatLeaf);
}

Value FunctionElaborator::compare(CompareOp op, const Value& left, const Value& right) {
  if (left.type == Types::NEVER || right.type == Types::NEVER) throw DeadCode();
  if (types.is(left.type, Kind::UNION)) {
    return split(left, [&](const Value& one) { return compare(op, one, right); });
  }
  if (types.is(right.type, Kind::UNION)) {
    return split(right, [&](const Value& one) { return compare(op, left, one); });
  }
  if (op <= CompareOp::IS_NOT && (isText(left.type) || isText(right.type))) return textCompare(op, left, right);
  if (op == CompareOp::IS || op == CompareOp::IS_NOT) {
    bool leftNone = left.type == Types::NONE, rightNone = right.type == Types::NONE;
    if (leftNone || rightNone) return boolean(constB((leftNone && rightNone) == (op == CompareOp::IS)));
    if (left.type == Types::BOOL && right.type == Types::BOOL) {
      auto differ = bop(Op::BXOR, left.leaves[0], right.leaves[0]);
      return boolean(op == CompareOp::IS ? bnot(differ) : differ);
    }
    decline("'is' between values other than None and bool is not compiled");
  }
  if (op == CompareOp::IN || op == CompareOp::NOT_IN) {
    auto found = contains(right, left);
    return op == CompareOp::IN ? found : boolean(bnot(found.leaves[0]));
  }
  if (isPoint(left) || isPoint(right)) return compare(op, pointElement(left), pointElement(right));
  if (isArray(left) || isArray(right)) return arrayCompare(op, left, right);
  if (isNumeric(left.type) && isNumeric(right.type) && (isComplexLike(left.type) || isComplexLike(right.type)))
    return complexCompare(op, left, right);
  if (isNumber(left.type) && isNumber(right.type)) {
    bool isScalar = types.is(left.type, Kind::SCALAR) || types.is(right.type, Kind::SCALAR);
    for (auto& side : {left, right}) {
      if (types.isScalar(side.type, DType::U64)) decline("comparing numpy.uint64 scalars is not compiled yet");
    }
    if (types.isScalar(left.type, DType::F32) || types.isScalar(right.type, DType::F32)) {
      // numpy 1 and 2 differ on a Python number that the type cannot hold.
      if (owner.dialect.numpy < 0x0200) decline("comparing numpy.float32 scalars is not compiled for numpy 1");
      auto dtype = resultDtype(left, right);
      bool large = dtype == DType::F64 && (types.isScalar(left.type, DType::I64) || types.isScalar(right.type, DType::I64));
      if (large) decline("comparing numpy.float32 with numpy.int64 is not compiled");
      return elementCompare(op, settleChecks(left), settleChecks(right), dtype);
    }
    ValueId result;
    bool leftFloat = isFloatLike(left.type), rightFloat = isFloatLike(right.type);
    if (leftFloat && rightFloat) {
      result = fcmp(orderOf(op), left.leaves[0], right.leaves[0]);
    } else if (leftFloat) {
      result = compareIntFloat(mirrored(op), asInt(right), left.leaves[0]);
    } else if (rightFloat) {
      result = compareIntFloat(op, asInt(left), right.leaves[0]);
    } else {
      result = icmp(orderOf(op), asInt(left), asInt(right));
    }
    return isScalar ? Value{types.scalar(DType::BOOL), {result}} : boolean(result);
  }
  if (types.is(left.type, Kind::TUPLE) && types.is(right.type, Kind::TUPLE)) return compareTuples(op, left, right);
  if (types.is(left.type, Kind::LIST) && types.is(right.type, Kind::LIST) && isEquality(op)) {
    auto equal = sameLists(left, right);
    return boolean(op == CompareOp::EQ ? equal : bnot(equal));
  }
  bool noneInvolved = left.type == Types::NONE || right.type == Types::NONE;
  if (noneInvolved && isEquality(op) &&
      (isPlainInt(left.type) || isPlainInt(right.type) || left.type == right.type || left.type == Types::FLOAT ||
       right.type == Types::FLOAT || left.type == Types::COMPLEX || right.type == Types::COMPLEX)) {
    return boolean(constB((left.type == right.type) == (op == CompareOp::EQ)));
  }
  decline("comparing " + types.show(left.type) + " and " + types.show(right.type) + " is not compiled");
}

// Whether containers take one item for the other: the same object, or equal. Two NaN may be one object.
ValueId FunctionElaborator::sameItem(const Value& left, const Value& right) {
  auto isReal = [&](const Value& one) { return one.type == Types::FLOAT || types.isScalar(one.type, DType::F64); };
  return truth(split(left, [&](const Value& a) {
    return split(right, [&](const Value& b) {
      bool isPlain = isIntLike(a.type) || isText(a.type) || a.type == Types::NONE || types.is(a.type, Kind::TUPLE) ||
                     types.is(a.type, Kind::LIST) || isReal(a);
      if (!isPlain) decline("looking for " + types.show(a.type) + " among items is not compiled");
      auto equal = truth(compare(CompareOp::EQ, a, b));
      if (isReal(a) && isReal(b)) {
        auto isNumber = [&](const Value& one) { return fcmp(Compare::EQ, one.leaves[0], one.leaves[0]); };
        guard(bop(Op::BOR, isNumber(a), isNumber(b)), "two NaN that may be one object");
      }
      return boolean(equal);
    });
  }));
}

Value FunctionElaborator::contains(const Value& all, const Value& wanted) {
  if (types.is(all.type, Kind::LIST)) return boolean(icmp(Compare::GE, find(all, wanted).leaves[0], constI(0)));
  if (!types.is(all.type, Kind::TUPLE)) decline("'in' " + types.show(all.type) + " is not compiled");
  std::function<Value(size_t)> from = [&](size_t at) {
    if (at == types[all.type].parts.size()) return boolean(constB(false));
    return choose(
        sameItem(tupleItem(all, at), wanted), [&] { return boolean(constB(true)); }, [&] { return from(at + 1); });
  };
  return from(0);
}

ValueId FunctionElaborator::sameLists(const Value& left, const Value& right) {
  auto result = temporary();
  auto size = listLength(left);
  auto sameSize = icmp(Compare::EQ, size, listLength(right));
  assign(result, boolean(sameSize));
  if (elementOf(left) == Types::NEVER || elementOf(right) == Types::NEVER) return take(result).leaves[0];
  block([&](Label& done) {
    leaveUnless(sameSize, done);
    forEach(iterateRange({Types::RANGE, {constI(0), size, constI(1)}, 1}, false), [&](const Value& at, Label&) {
      auto index = at.leaves[0];
      branch(
          sameItem(listLoad(left, index), listLoad(right, index)), [] {},
          [&] {
            assign(result, boolean(constB(false)));
            jump(done);
            throw DeadCode();
          });
    });
  });
  return take(result).leaves[0];
}

// By the first items that differ, else by their number.
Value FunctionElaborator::compareTuples(CompareOp op, const Value& left, const Value& right) {
  auto a = types[left.type].parts.size(), b = types[right.type].parts.size();
  std::function<Value(size_t)> from = [&](size_t at) {
    if (at == std::min(a, b)) return boolean(icmp(orderOf(op), constI(a), constI(b)));
    auto x = tupleItem(left, at), y = tupleItem(right, at);
    return choose(
        sameItem(x, y), [&] { return from(at + 1); },
        [&] { return isEquality(op) ? boolean(constB(op == CompareOp::NE)) : compare(op, x, y); });
  };
  return from(0);
}

Value FunctionElaborator::comparison(Expression expression) {
  auto compared = expression.getCompare();
  auto ops = compared.getOps();
  auto rest = compared.getRest();
  std::function<Value(Value, uint)> from = [&](Value left, uint at) {
    if (left.fused && mayWrite(rest[at])) left = settle(left);
    auto right = settleChecks(unsettled(rest[at]));
    line = expression.getLine();
    auto result = compare(ops[at], left, right);
    if (at + 1 == ops.size()) return result;
    return choose(
        truth(result), [&] { return from(right, at + 1); }, [&] { return result; });
  };
  return from(settleChecks(unsettled(compared.getFirst())), 0);
}

}  // namespace epochly::program

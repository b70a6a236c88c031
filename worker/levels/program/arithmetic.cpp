// Binary and unary operators: CPython's rules for int, float and bool, numpy's for its scalars.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

using schema::BinaryOp;

namespace {

constexpr const char* OVERFLOW_REASON = "an integer does not fit 64 bits";
constexpr const char* DIVISION_REASON = "division by zero";
// x ** n is unrolled up to here: 6 multiplications.
constexpr int64_t POWER_UNROLL_MAX = 64;

bool isBitwise(BinaryOp op) { return op == BinaryOp::BIT_AND || op == BinaryOp::BIT_OR || op == BinaryOp::BIT_XOR; }
bool isShift(BinaryOp op) { return op == BinaryOp::LSHIFT || op == BinaryOp::RSHIFT; }

}  // namespace

bool FunctionElaborator::isNumber(Type type) const {
  return type == Types::INT || type == Types::FLOAT || type == Types::BOOL ||
         (types.is(type, Kind::SCALAR) && !isComplex(types[type].dtype));
}

bool FunctionElaborator::isIntLike(Type type) const {
  return isPlainInt(type) || (types.is(type, Kind::SCALAR) && types[type].dtype < DType::F32);
}

ValueId FunctionElaborator::asInt(const Value& value) {
  if (isBoolLike(value.type)) return emit(Op::B_TO_I, value.leaves, {.prim = Prim::I});
  return value.leaves[0];
}

ValueId FunctionElaborator::asFloat(const Value& value) {
  if (value.constInt) return constF(static_cast<double>(*value.constInt));
  if (types.leaves(value.type)[0] == Prim::F) return value.leaves[0];
  return emit(Op::I_TO_F, {asInt(value)}, {.prim = Prim::F});
}

Value FunctionElaborator::binary(BinaryOp op, const Value& left, const Value& right) {
  // Behind a branch or in another type's operation nobody could look back.
  if (types.is(left.type, Kind::UNION) || types.is(right.type, Kind::UNION) ||
      !(isFloatLike(left.type) || isIntLike(left.type)) || !(isFloatLike(right.type) || isIntLike(right.type))) {
    if (!left.unchecked.empty() || !right.unchecked.empty()) return binary(op, settleChecks(left), settleChecks(right));
  }
  if (types.is(left.type, Kind::UNION)) {
    return split(left, [&](const Value& one) { return binary(op, one, right); });
  }
  if (types.is(right.type, Kind::UNION)) {
    return split(right, [&](const Value& one) { return binary(op, left, one); });
  }
  if (left.type == Types::NEVER || right.type == Types::NEVER) throw DeadCode();
  if (isPoint(left) || isPoint(right)) return binary(op, pointElement(left), pointElement(right));
  if (op == BinaryOp::MAT_MUL) return matmul(left, right);
  if (isNumeric(left.type) && isNumeric(right.type) && (isComplexLike(left.type) || isComplexLike(right.type)))
    return complexBinary(op, left, right);
  if (isNumber(left.type) && isNumber(right.type)) {
    if (types.is(left.type, Kind::SCALAR) || types.is(right.type, Kind::SCALAR)) return scalarBinary(op, left, right);
    if (left.type == Types::FLOAT || right.type == Types::FLOAT) return floatBinary(op, left, right);
    return intBinary(op, left, right);
  }
  auto a = types.kind(left.type), b = types.kind(right.type);
  if (a == Kind::ARRAY || b == Kind::ARRAY) return arrayBinary(op, left, right);
  if (a == Kind::TUPLE && b == Kind::TUPLE && op == BinaryOp::ADD) {
    std::vector<Value> items;
    for (size_t i = 0; i < types[left.type].parts.size(); i++) items.push_back(tupleItem(left, i));
    for (size_t i = 0; i < types[right.type].parts.size(); i++) items.push_back(tupleItem(right, i));
    return tupleOf(items);
  }
  if (isText(left.type) || isText(right.type) || a == Kind::LIST || b == Kind::LIST || a == Kind::TUPLE ||
      b == Kind::TUPLE || a == Kind::REF || b == Kind::REF) {
    decline("this operator between " + types.show(left.type) + " and " + types.show(right.type) + " is not compiled");
  }
  typeError("unsupported operand types " + types.show(left.type) + " and " + types.show(right.type));
}

ValueId FunctionElaborator::trueDivide(ValueId a, ValueId b) {
  guard(icmp(Compare::NE, b, constI(0)), DIVISION_REASON);
  return emit(Op::INT_TRUE_DIV, {a, b}, {.prim = Prim::F});
}

Value FunctionElaborator::intBinary(BinaryOp op, const Value& left, const Value& right) {
  if (isBitwise(op) && left.type == Types::BOOL && right.type == Types::BOOL) {
    auto leafOp = op == BinaryOp::BIT_AND ? Op::BAND : op == BinaryOp::BIT_OR ? Op::BOR : Op::BXOR;
    return boolean(bop(leafOp, left.leaves[0], right.leaves[0]));
  }
  auto a = asInt(left), b = asInt(right);
  switch (op) {
    case BinaryOp::ADD: return integer(iop(Op::ADD_CHECKED, a, b, OVERFLOW_REASON));
    case BinaryOp::SUB: return integer(iop(Op::SUB_CHECKED, a, b, OVERFLOW_REASON));
    case BinaryOp::MUL: return integer(iop(Op::MUL_CHECKED, a, b, OVERFLOW_REASON));
    case BinaryOp::DIV: return real(trueDivide(a, b));
    case BinaryOp::FLOOR_DIV:
      return integer(iop(Op::FLOOR_DIV, a, b, "integer division by zero, or a quotient beyond 64 bits"));
    case BinaryOp::MOD: return integer(iop(Op::FLOOR_MOD, a, b, "integer modulo by zero"));
    case BinaryOp::BIT_AND: return integer(iop(Op::AND, a, b));
    case BinaryOp::BIT_OR: return integer(iop(Op::OR, a, b));
    case BinaryOp::BIT_XOR: return integer(iop(Op::XOR, a, b));
    case BinaryOp::LSHIFT: return integer(iop(Op::SHL_CHECKED, a, b, "a shift that is negative or leaves 64 bits"));
    case BinaryOp::RSHIFT: guard(icmp(Compare::GE, b, constI(0)), "a negative shift"); return integer(iop(Op::SHR, a, b));
    case BinaryOp::POW:
      if (right.constInt && *right.constInt < 0) {
        return real(emit(Op::FPOW_PY, {asFloat(left), asFloat(right)},
                         {.prim = Prim::F, .guard = "a power that raises or is complex"}));
      }
      if (right.constInt && *right.constInt <= POWER_UNROLL_MAX) {
        std::optional<ValueId> result;
        auto base = a;
        for (auto n = *right.constInt; n > 0;) {
          if (n & 1) result = result ? iop(Op::MUL_CHECKED, *result, base, OVERFLOW_REASON) : base;
          n >>= 1;
          if (n) base = iop(Op::MUL_CHECKED, base, base, OVERFLOW_REASON);
        }
        return integer(result ? *result : constI(1));
      }
      return integer(iop(Op::POW_INT, a, b, "an integer power that is beyond 64 bits or has a negative exponent"));
    default: decline("this operator is not compiled yet");
  }
}

Value FunctionElaborator::floatBinary(BinaryOp op, const Value& left, const Value& right) {
  if (isBitwise(op) || isShift(op)) typeError("bitwise operator on floats");
  auto a = asFloat(left), b = asFloat(right);
  switch (op) {
    case BinaryOp::ADD: return real(fop(Op::FADD, a, b));
    case BinaryOp::SUB: return real(fop(Op::FSUB, a, b));
    case BinaryOp::MUL: return real(fop(Op::FMUL, a, b));
    case BinaryOp::POW:
      return real(emit(Op::FPOW_PY, {a, b}, {.prim = Prim::F, .guard = "a power that raises or is complex"}));
    default: break;
  }
  guard(fcmp(Compare::NE, b, constF(0)), DIVISION_REASON);
  switch (op) {
    case BinaryOp::DIV: return real(fop(Op::FDIV, a, b));
    case BinaryOp::FLOOR_DIV: return real(fop(Op::FFLOOR_DIV_PY, a, b));
    case BinaryOp::MOD: return real(fop(Op::FMOD_PY, a, b));
    default: decline("this operator is not compiled yet");
  }
}

void FunctionElaborator::guardWarnings(ValueId last, const std::vector<ValueId>& operations) {
  std::vector<ValueId> args{last};
  args.insert(args.end(), operations.begin(), operations.end());
  if (deferredChecks) return deferredChecks->push_back(last);
  emitVoid(Op::GUARD_WARNING, std::move(args), {.guard = "numpy warns (overflow, invalid value or division by zero)"});
}

// Scalars of bool, float32 and the smaller integers: what leaves an integer type numpy wraps around with a warning.
Value FunctionElaborator::narrowBinary(BinaryOp op, const Value& left, const Value& right) {
  auto isScalarBool = [&](const Value& side) { return isBoolLike(side.type); };
  if (isScalarBool(left) && isScalarBool(right) && isBitwise(op)) {
    return {types.scalar(DType::BOOL),
            {elementBinary(op, castElement(left, DType::BOOL), castElement(right, DType::BOOL), DType::BOOL).leaves[0]}};
  }
  if (owner.dialect.numpy < 0x0200) decline("scalars of this type are not compiled for numpy 1");
  auto dtype = resultDtype(left, right);
  if (op == BinaryOp::DIV && dtype != DType::F32) dtype = DType::F64;
  if (dtype == DType::F64 || dtype == DType::I64)
    return scalarBinary(op, settleChecks(castElement(settleChecks(left), dtype)),
                        settleChecks(castElement(settleChecks(right), dtype)));
  bool isSimple = op == BinaryOp::ADD || op == BinaryOp::SUB || op == BinaryOp::MUL || op == BinaryOp::DIV;
  if (dtype == DType::F32 && !isSimple) decline("this operator on numpy.float32 scalars is not compiled");
  if (dtype == DType::F32 || dtype == DType::BOOL) return elementBinary(op, left, right, dtype);
  if (dtype == DType::U64) decline("arithmetic on numpy.uint64 scalars is not compiled");
  auto a = settleChecks(castElement(left, dtype)), b = settleChecks(castElement(right, dtype));
  if (!isSimple) return elementBinary(op, a, b, dtype);
  auto leafOp = op == BinaryOp::ADD ? Op::ADD : op == BinaryOp::SUB ? Op::SUB : Op::MUL;
  auto exact = iop(leafOp, a.leaves[0], b.leaves[0]);  // of 32 bits at most: it fits 64
  auto kept = wrapped(exact, dtype);
  guard(icmp(Compare::EQ, exact, kept.leaves[0]), "numpy warns (overflow)");
  return kept;
}

Value FunctionElaborator::scalarBinary(BinaryOp op, const Value& left, const Value& right) {
  for (auto& side : {left, right}) {
    if (!isPlainInt(side.type) && side.type != Types::FLOAT && !types.isScalar(side.type, DType::F64) &&
        !types.isScalar(side.type, DType::I64))
      return narrowBinary(op, left, right);
  }
  bool isFloat = isFloatLike(left.type) || isFloatLike(right.type) || op == BinaryOp::DIV;
  if (isFloat) {
    if (isBitwise(op) || isShift(op)) typeError("bitwise operator on floats");
    auto a = asFloat(left), b = asFloat(right);
    ValueId result;
    switch (op) {
      case BinaryOp::ADD: result = fop(Op::FADD, a, b); break;
      case BinaryOp::SUB: result = fop(Op::FSUB, a, b); break;
      case BinaryOp::MUL: result = fop(Op::FMUL, a, b); break;
      case BinaryOp::DIV: result = fop(Op::FDIV, a, b); break;
      case BinaryOp::POW: result = emit(Op::FPOW_PY, {a, b}, {.prim = Prim::F, .guard = "numpy warns about a power"}); break;
      case BinaryOp::FLOOR_DIV:
      case BinaryOp::MOD: {
        guard(fcmp(Compare::NE, b, constF(0)), DIVISION_REASON);
        for (auto side : {a, b})
          guard(fcmp(Compare::LT, fop1(Op::FABS, side), constF(__builtin_inf())), "numpy warns (invalid value)");
        result = fop(op == BinaryOp::MOD ? Op::FMOD_PY : Op::FFLOOR_DIV_PY, a, b);
        break;
      }
      default: decline("this operator on numpy scalars is not compiled yet");
    }
    Value made{types.scalar(DType::F64), {result}};
    for (auto* side : {&left, &right})
      made.unchecked.insert(made.unchecked.end(), side->unchecked.begin(), side->unchecked.end());
    made.unchecked.insert(made.unchecked.end(), {result, a, b});
    bool spreads = op == BinaryOp::ADD || op == BinaryOp::SUB || op == BinaryOp::MUL;
    return spreads ? made : settleChecks(made);
  }
  auto a = asInt(left), b = asInt(right);
  ValueId result;
  switch (op) {
    case BinaryOp::ADD: result = iop(Op::ADD_CHECKED, a, b, OVERFLOW_REASON); break;
    case BinaryOp::SUB: result = iop(Op::SUB_CHECKED, a, b, OVERFLOW_REASON); break;
    case BinaryOp::MUL: result = iop(Op::MUL_CHECKED, a, b, OVERFLOW_REASON); break;
    case BinaryOp::FLOOR_DIV: result = iop(Op::FLOOR_DIV, a, b, DIVISION_REASON); break;
    case BinaryOp::MOD: result = iop(Op::FLOOR_MOD, a, b, DIVISION_REASON); break;
    case BinaryOp::BIT_AND: result = iop(Op::AND, a, b); break;
    case BinaryOp::BIT_OR: result = iop(Op::OR, a, b); break;
    case BinaryOp::BIT_XOR: result = iop(Op::XOR, a, b); break;
    case BinaryOp::POW:
      result = iop(Op::POW_INT, a, b, "an integer power that is beyond 64 bits or has a negative exponent");
      break;
    default: decline("this operator on numpy scalars is not compiled yet");
  }
  return {types.scalar(DType::I64), {result}};
}

Value FunctionElaborator::unary(schema::UnaryOp op, const Value& operand) {
  if (op == schema::UnaryOp::NOT) return boolean(bnot(truth(operand)));
  if (types.is(operand.type, Kind::UNION)) {
    return split(operand, [&](const Value& one) { return unary(op, one); });
  }
  if (operand.type == Types::NEVER) throw DeadCode();
  auto type = operand.type;
  if (isPoint(operand)) return unary(op, pointElement(operand));
  if (types.is(type, Kind::ARRAY)) return arrayUnary(op, operand);
  if (isComplexLike(type)) return complexUnary(op, operand);
  if (types.is(type, Kind::REF)) decline("this operator on " + types.show(type) + " is not compiled");
  if (types.is(type, Kind::SCALAR) && types[type].dtype == DType::F32 && op != schema::UnaryOp::INVERT)
    return op == schema::UnaryOp::NEGATIVE ? Value{type, {fop1(Op::FNEG, settleChecks(operand).leaves[0])}} : operand;
  if (types.is(type, Kind::SCALAR) && type != types.scalar(DType::F64) && type != types.scalar(DType::I64)) {
    decline("arithmetic on " + types.show(type) + " scalars is not compiled yet");
  }
  if (!isNumber(type)) typeError("bad operand type " + types.show(type));
  bool isFloat = isFloatLike(type);
  auto resultType = type == Types::BOOL ? Types::INT : type;
  switch (op) {
    case schema::UnaryOp::POSITIVE:
      return {resultType, {isFloat ? operand.leaves[0] : asInt(operand)}, operand.constInt, operand.constFloat};
    case schema::UnaryOp::NEGATIVE:
      if (operand.constInt && *operand.constInt != INT64_MIN) return integerConst(-*operand.constInt);
      if (operand.constFloat) return realConst(-*operand.constFloat);
      if (isFloat) return {resultType, {fop1(Op::FNEG, operand.leaves[0])}};
      return {resultType, {emit(Op::NEG_CHECKED, {asInt(operand)}, {.prim = Prim::I, .guard = OVERFLOW_REASON})}};
    case schema::UnaryOp::INVERT:
      if (isFloat) typeError("bad operand type for ~");
      if (type == Types::BOOL && owner.dialect.python >= 0x030c) fail("~bool warns");
      return {resultType, {emit(Op::INVERT, {asInt(operand)}, {.prim = Prim::I})}};
    default: decline("this operator is not compiled yet");
  }
}

}  // namespace epochly::program

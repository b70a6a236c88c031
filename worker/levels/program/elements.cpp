// numpy's arithmetic on elements of arrays: its result types, its wrapping around, and which results it warns about.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

using schema::BinaryOp;
using schema::CompareOp;

namespace {

int64_t lowest(DType dtype) { return isUnsigned(dtype) ? 0 : INT64_MIN >> (64 - 8 * bytesOf(dtype)); }
// Of all but uint64.
int64_t highest(DType dtype) {
  return isUnsigned(dtype) ? (int64_t(1) << 8 * bytesOf(dtype)) - 1 : INT64_MAX >> (64 - 8 * bytesOf(dtype));
}

Compare orderOf(CompareOp op) { return static_cast<Compare>(op); }
static_assert(static_cast<int>(CompareOp::EQ) == static_cast<int>(Compare::EQ) &&
              static_cast<int>(CompareOp::NE) == static_cast<int>(Compare::NE) &&
              static_cast<int>(CompareOp::LT) == static_cast<int>(Compare::LT) &&
              static_cast<int>(CompareOp::LE) == static_cast<int>(Compare::LE) &&
              static_cast<int>(CompareOp::GT) == static_cast<int>(Compare::GT) &&
              static_cast<int>(CompareOp::GE) == static_cast<int>(Compare::GE));

}  // namespace

// numpy.promote_types.
DType FunctionElaborator::promote(DType a, DType b) {
  if (a == b) return a;
  if (b == DType::BOOL) return a;
  if (a == DType::BOOL) return b;
  if (isComplex(a) || isComplex(b)) {
    auto widens = [](DType dtype) {
      return dtype == DType::F64 || dtype == DType::C128 || (!isReal(dtype) && !isComplex(dtype) && bytesOf(dtype) > 2);
    };
    return widens(a) || widens(b) ? DType::C128 : DType::C64;
  }
  if (isReal(a) || isReal(b)) {
    if (isReal(a) && isReal(b)) return DType::F64;
    auto real = isReal(a) ? a : b, other = isReal(a) ? b : a;
    return real == DType::F32 && bytesOf(other) <= 2 ? DType::F32 : DType::F64;
  }
  if (isUnsigned(a) == isUnsigned(b)) return bytesOf(a) > bytesOf(b) ? a : b;
  auto plain = isUnsigned(a) ? b : a, positive = isUnsigned(a) ? a : b;
  if (bytesOf(plain) > bytesOf(positive)) return plain;
  switch (positive) {
    case DType::U8: return DType::I16;
    case DType::U16: return DType::I32;
    case DType::U32: return DType::I64;
    default: return DType::F64;
  }
}

// NEP 50: a Python number takes the array's type, a numpy scalar has its own.
DType FunctionElaborator::resultDtype(const Value& left, const Value& right) {
  auto typed = [&](const Value& side) { return isArray(side) || types.is(side.type, Kind::SCALAR); };
  if (typed(left) && typed(right)) {
    bool sameKind = isArray(left) == isArray(right) || dtypeOf(left) == dtypeOf(right);
    if (owner.dialect.numpy < 0x0200 && !sameKind)
      decline("arrays with scalars of another type are not compiled for numpy 1");
    return promote(dtypeOf(left), dtypeOf(right));
  }
  auto dtype = dtypeOf(typed(left) ? left : right);
  auto& weak = typed(left) ? right : left;
  if (weak.type == Types::BOOL) return dtype;
  if (isComplex(dtype) || weak.type == Types::COMPLEX) {
    if (owner.dialect.numpy < 0x0200) decline("numpy 1 looks at a scalar's value");
    if (isComplex(dtype)) return dtype;
    return dtype == DType::F32 ? DType::C64 : DType::C128;
  }
  if (weak.type == Types::FLOAT) {
    if (owner.dialect.numpy < 0x0200 && dtype == DType::F32) decline("numpy 1 looks at a scalar's value");
    return isReal(dtype) ? dtype : DType::F64;
  }
  if (dtype == DType::BOOL) return DType::I64;
  if (owner.dialect.numpy < 0x0200 && dtype != DType::F64 && dtype != DType::I64)
    decline("numpy 1 looks at a scalar's value");
  return dtype;
}

Value FunctionElaborator::wrapped(ValueId leaf, DType dtype) {
  if (bytesOf(dtype) < 8) leaf = emit(Op::WRAP, {leaf}, {.prim = Prim::I, .imm = static_cast<int64_t>(dtype)});
  return scalarOf(dtype, leaf);
}

// As numpy casts where a Python number or another element type enters an operation.
Value FunctionElaborator::castElement(const Value& given, DType to) {
  bool isScalar = types.is(given.type, Kind::SCALAR);
  if (isScalar && dtypeOf(given) == to) return given;
  // A float that is none shows in a float that it is cast to, and in nothing else.
  auto value = isReal(to) ? given : settleChecks(given);
  bool fromUnsigned64 = isScalar && dtypeOf(value) == DType::U64;
  bool fromReal = value.type == Types::FLOAT || (isScalar && isReal(dtypeOf(value)));
  if (to == DType::BOOL) return scalarOf(to, truth(value));
  if (isComplex(to)) return complexCast(value, to);
  if (isComplexLike(value.type)) decline("a complex number as " + std::string(nameOf(to)) + " is not compiled");
  if (isReal(to)) {
    auto leaf = fromUnsigned64 ? emit(Op::U_TO_F, value.leaves, {.prim = Prim::F}) : asFloat(value);
    auto made = scalarOf(to, leaf);
    made.unchecked = value.unchecked;
    if (to == DType::F64) return made;
    bool exact = fromReal || isBoolLike(value.type) || value.constInt || (isScalar && bytesOf(dtypeOf(value)) <= 4);
    if (!exact) {
      guard(bop(Op::BAND, icmp(Compare::GE, value.leaves[0], constI(-(int64_t(1) << 53))),
                icmp(Compare::LE, value.leaves[0], constI(int64_t(1) << 53))),
            "an integer beyond 2**53 becomes a float32");
    }
    auto rounded = emit(Op::ROUND_F32, {leaf}, {.prim = Prim::F});
    made.leaves = {rounded};
    if (fromReal) made.unchecked.insert(made.unchecked.end(), {rounded, leaf, leaf});
    return made;
  }
  if (fromReal) {
    if (to == DType::U64) decline("a float as numpy.uint64 is not compiled");
    auto leaf = emit(Op::F_TO_I, {value.leaves[0]}, {.prim = Prim::I, .guard = "a float that the integer type cannot hold"});
    if (bytesOf(to) < 8) {
      guard(bop(Op::BAND, icmp(Compare::GE, leaf, constI(lowest(to))), icmp(Compare::LE, leaf, constI(highest(to)))),
            "a float that the integer type cannot hold");
    }
    return scalarOf(to, leaf);
  }
  auto leaf = asInt(value);
  if (isScalar) return wrapped(leaf, to);
  // A Python integer out of range is an OverflowError.
  if (isPlainInt(value.type) && to != DType::I64) {
    auto low = icmp(Compare::GE, leaf, constI(lowest(to)));
    if (to == DType::U64) {
      guard(low, "a value out of the array type's range");
    } else {
      guard(bop(Op::BAND, low, icmp(Compare::LE, leaf, constI(highest(to)))), "a value out of the array type's range");
    }
  }
  return scalarOf(to, leaf);
}

// `dtype`: what both are cast to first. Integers wrap around; what numpy warns about is left in `unchecked` or guarded.
Value FunctionElaborator::elementBinary(BinaryOp op, const Value& left, const Value& right, DType dtype) {
  bool spreads = op == BinaryOp::ADD || op == BinaryOp::SUB || op == BinaryOp::MUL;
  if (isComplex(dtype)) return complexElementBinary(op, castElement(left, dtype), castElement(right, dtype), dtype);
  auto x = castElement(left, dtype), y = castElement(right, dtype);
  if (!spreads) x = settleChecks(x), y = settleChecks(y);
  auto a = x.leaves[0], b = y.leaves[0];
  if (isReal(dtype)) {
    Op leafOp;
    switch (op) {
      case BinaryOp::ADD: leafOp = Op::FADD; break;
      case BinaryOp::SUB: leafOp = Op::FSUB; break;
      case BinaryOp::MUL: leafOp = Op::FMUL; break;
      case BinaryOp::DIV: leafOp = Op::FDIV; break;
      default: decline("this operator on " + std::string(nameOf(dtype)) + " arrays is not compiled");
    }
    auto result = fop(leafOp, a, b);
    // + - * / and the root of float32 in double precision, rounded once more, are the float32 results.
    if (dtype == DType::F32) result = emit(Op::ROUND_F32, {result}, {.prim = Prim::F});
    auto made = scalarOf(dtype, result);
    made.unchecked = x.unchecked;
    made.unchecked.insert(made.unchecked.end(), y.unchecked.begin(), y.unchecked.end());
    made.unchecked.insert(made.unchecked.end(), {result, a, b});
    return spreads ? made : settleChecks(made);
  }
  if (dtype == DType::BOOL) {
    switch (op) {
      case BinaryOp::ADD:
      case BinaryOp::BIT_OR: return scalarOf(dtype, bop(Op::BOR, a, b));
      case BinaryOp::MUL:
      case BinaryOp::BIT_AND: return scalarOf(dtype, bop(Op::BAND, a, b));
      case BinaryOp::BIT_XOR: return scalarOf(dtype, bop(Op::BXOR, a, b));
      case BinaryOp::SUB: fail("TypeError: numpy boolean subtract");
      default: decline("this operator on bool arrays is not compiled");
    }
  }
  constexpr const char* ZERO = "numpy warns (division by zero or overflow)";
  switch (op) {
    case BinaryOp::ADD: return wrapped(iop(Op::ADD, a, b), dtype);
    case BinaryOp::SUB: return wrapped(iop(Op::SUB, a, b), dtype);
    case BinaryOp::MUL: return wrapped(iop(Op::MUL, a, b), dtype);
    case BinaryOp::BIT_AND: return scalarOf(dtype, iop(Op::AND, a, b));
    case BinaryOp::BIT_OR: return scalarOf(dtype, iop(Op::OR, a, b));
    case BinaryOp::BIT_XOR: return scalarOf(dtype, iop(Op::XOR, a, b));
    case BinaryOp::FLOOR_DIV:
    case BinaryOp::MOD: {
      bool quotient = op == BinaryOp::FLOOR_DIV;
      if (dtype == DType::U64) return scalarOf(dtype, iop(quotient ? Op::UNSIGNED_DIV : Op::UNSIGNED_MOD, a, b, ZERO));
      auto result = iop(quotient ? Op::FLOOR_DIV : Op::FLOOR_MOD, a, b, ZERO);
      if (quotient && !isUnsigned(dtype) && bytesOf(dtype) < 8)
        guard(icmp(Compare::LE, result, constI(highest(dtype))), ZERO);
      return scalarOf(dtype, result);
    }
    default: decline("this operator on " + std::string(nameOf(dtype)) + " arrays is not compiled");
  }
}

Value FunctionElaborator::elementCompare(CompareOp op, const Value& left, const Value& right, DType dtype) {
  if (isComplex(dtype)) {
    bool isEqual = op == CompareOp::EQ;
    if (!isEqual && op != CompareOp::NE) decline("ordering complex arrays is not compiled");
    auto x = partsOf(castElement(left, dtype)), y = partsOf(castElement(right, dtype));
    auto test = [&](ValueId a, ValueId b) { return fcmp(isEqual ? Compare::EQ : Compare::NE, a, b); };
    return scalarOf(DType::BOOL, bop(isEqual ? Op::BAND : Op::BOR, test(x.real, y.real), test(x.imag, y.imag)));
  }
  auto a = settleChecks(castElement(left, dtype)).leaves[0], b = settleChecks(castElement(right, dtype)).leaves[0];
  auto order = orderOf(op);
  if (isReal(dtype)) return scalarOf(DType::BOOL, fcmp(order, a, b));
  if (dtype == DType::BOOL) {
    a = emit(Op::B_TO_I, {a}, {.prim = Prim::I});
    b = emit(Op::B_TO_I, {b}, {.prim = Prim::I});
  }
  if (dtype == DType::U64) {
    a = iop(Op::XOR, a, constI(INT64_MIN));
    b = iop(Op::XOR, b, constI(INT64_MIN));
  }
  return scalarOf(DType::BOOL, icmp(order, a, b));
}

}  // namespace epochly::program

// Complex numbers: CPython's rules for complex, numpy's for its scalars and for elements of arrays.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

using schema::BinaryOp;
using schema::CompareOp;

namespace {

constexpr const char* POWER_REASON = "a complex power that raises";
// Exponents up to here CPython's complex_pow multiplies out.
constexpr double POWER_WHOLE_MAX = 100.0;

}  // namespace

bool FunctionElaborator::isComplexLike(Type type) const {
  return type == Types::COMPLEX || (types.is(type, Kind::SCALAR) && isComplex(types[type].dtype));
}

FunctionElaborator::Parts FunctionElaborator::partsOf(const Value& value) {
  if (isComplexLike(value.type)) return {value.leaves[0], value.leaves[1]};
  return {asFloat(value), constF(0)};
}

Value FunctionElaborator::complexBinary(BinaryOp op, const Value& left, const Value& right) {
  // complex's own method takes numpy.float64 for the float that it is.
  bool isPlain = left.type == Types::COMPLEX && types.isScalar(right.type, DType::F64);
  bool isScalar = types.is(left.type, Kind::SCALAR) || types.is(right.type, Kind::SCALAR);
  if (isScalar && !isPlain) return complexScalarBinary(op, left, right);
  bool isMixed = left.type != right.type;
  if (owner.dialect.python >= 0x030e && (isMixed || op == BinaryOp::MUL || op == BinaryOp::DIV || op == BinaryOp::POW))
    decline("this operator on complex numbers is not compiled for this version of Python");
  auto x = partsOf(left), y = partsOf(right);
  switch (op) {
    case BinaryOp::ADD: return complex({fop(Op::FADD, x.real, y.real), fop(Op::FADD, x.imag, y.imag)});
    case BinaryOp::SUB: return complex({fop(Op::FSUB, x.real, y.real), fop(Op::FSUB, x.imag, y.imag)});
    case BinaryOp::MUL: return complex(product(x, y));
    case BinaryOp::DIV: return complex(quotient(x, y, DType::C128, false));
    case BinaryOp::POW: return complexPower(x, y, right);
    case BinaryOp::FLOOR_DIV:
    case BinaryOp::MOD: fail("TypeError: no floor division of complex numbers");
    default: typeError("this operator on complex numbers");
  }
}

// In the precision of the parts of `dtype`. numpy rounds each step to it.
ValueId FunctionElaborator::partOp(Op op, ValueId a, ValueId b, DType dtype) {
  auto result = fop(op, a, b);
  return dtype == DType::C64 ? emit(Op::ROUND_F32, {result}, {.prim = Prim::F}) : result;
}

FunctionElaborator::Parts FunctionElaborator::product(const Parts& x, const Parts& y, DType dtype) {
  auto times = [&](ValueId a, ValueId b) { return partOp(Op::FMUL, a, b, dtype); };
  auto real = partOp(Op::FSUB, times(x.real, y.real), times(x.imag, y.imag), dtype);
  return {real, partOp(Op::FADD, times(x.real, y.imag), times(x.imag, y.real), dtype)};
}

// Smith's method, scaled by the larger part of the divisor, as _Py_c_quot and numpy have it: numpy multiplies by a reciprocal.
FunctionElaborator::Parts FunctionElaborator::quotient(const Parts& x, const Parts& y, DType dtype, bool asNumpy) {
  auto zero = constF(0);
  guard(bop(Op::BOR, fcmp(Compare::NE, y.real, zero), fcmp(Compare::NE, y.imag, zero)), "division by zero");
  auto byReal = fcmp(Compare::GE, fop1(Op::FABS, y.real), fop1(Op::FABS, y.imag));
  auto pick = [&](ValueId yes, ValueId no) { return emit(Op::SELECT, {byReal, yes, no}, {.prim = Prim::F}); };
  auto step = [&](Op op, ValueId a, ValueId b) { return partOp(op, a, b, dtype); };
  auto large = pick(y.real, y.imag), small = pick(y.imag, y.real);
  auto u = pick(x.real, x.imag), v = pick(x.imag, x.real);
  auto ratio = step(Op::FDIV, small, large);
  auto scale = step(Op::FADD, large, step(Op::FMUL, small, ratio));
  auto real = step(Op::FADD, u, step(Op::FMUL, v, ratio));
  auto t = step(Op::FMUL, u, ratio);
  auto imag = pick(step(Op::FSUB, v, t), step(Op::FSUB, t, v));
  if (!asNumpy) return {fop(Op::FDIV, real, scale), fop(Op::FDIV, imag, scale)};
  guardFinite(scale);
  auto by = step(Op::FDIV, constF(1), scale);
  return {step(Op::FMUL, real, by), step(Op::FMUL, imag, by)};
}

// c_powu(): 1 is a factor too, which tells where a zero has a sign.
Value FunctionElaborator::complexPower(const Parts& base, const Parts& exponent, const Value& power) {
  auto known = power.constInt ? std::optional<double>(*power.constInt) : power.constFloat;
  Parts result{constF(1), constF(0)};
  if (known && *known == __builtin_floor(*known) && __builtin_fabs(*known) <= POWER_WHOLE_MAX) {
    auto factor = base;
    for (auto n = static_cast<int>(__builtin_fabs(*known)); n; n >>= 1) {
      if (n & 1) result = product(result, factor);
      if (n > 1) factor = product(factor, factor);
    }
    if (*known <= 0) result = quotient({constF(1), constF(0)}, result, DType::C128, false);
  } else {
    auto first = emit(Op::CPOW_PY, {base.real, base.imag, exponent.real, exponent.imag},
                      {.prim = Prim::F, .guard = POWER_REASON, .results = 2});
    result = {first, first + 1};
  }
  for (auto part : {result.real, result.imag})
    guard(fcmp(Compare::NE, fop1(Op::FABS, part), constF(__builtin_inf())), POWER_REASON);
  return complex(result);
}

void FunctionElaborator::guardFinite(ValueId leaf) {
  guard(fcmp(Compare::LT, fop1(Op::FABS, leaf), constF(__builtin_inf())), "numpy may warn (a result is not finite)");
}

Value FunctionElaborator::complexScalarBinary(BinaryOp op, const Value& left, const Value& right) {
  if (owner.dialect.numpy < 0x0200) decline("complex scalars are not compiled for numpy 1");
  auto dtype = resultDtype(left, right);
  auto x = partsOf(castElement(left, dtype)), y = partsOf(castElement(right, dtype));
  Parts result;
  switch (op) {
    case BinaryOp::ADD:
    case BinaryOp::SUB: {
      auto step = op == BinaryOp::ADD ? Op::FADD : Op::FSUB;
      result = {partOp(step, x.real, y.real, dtype), partOp(step, x.imag, y.imag, dtype)};
      break;
    }
    case BinaryOp::MUL: result = product(x, y, dtype); break;
    case BinaryOp::DIV: result = quotient(x, y, dtype, true); break;
    default: decline("this operator on numpy's complex scalars is not compiled");
  }
  guardFinite(result.real);
  guardFinite(result.imag);
  return complex(result, dtype);
}

// Elements of arrays: products and quotients are numpy's own, whose vector code fuses steps.
Value FunctionElaborator::complexElementBinary(BinaryOp op, const Value& left, const Value& right, DType dtype) {
  if (op != BinaryOp::ADD && op != BinaryOp::SUB) decline("internal: this operator on complex elements");
  auto x = partsOf(left), y = partsOf(right);
  auto step = op == BinaryOp::ADD ? Op::FADD : Op::FSUB;
  auto part = [&](ValueId a, ValueId b) {
    auto result = partOp(step, a, b, dtype);
    guardWarnings(result, {result, a, b});
    return result;
  };
  auto real = part(x.real, y.real);
  return complex({real, part(x.imag, y.imag)}, dtype);
}

Value FunctionElaborator::complexArrayBinary(BinaryOp op, const Value& left, const Value& right, DType dtype) {
  switch (op) {
    case BinaryOp::ADD:
    case BinaryOp::SUB:
      return combine({operandAs(left, dtype), operandAs(right, dtype)}, dtype, [=, this](const std::vector<Value>& items) {
        return complexElementBinary(op, castElement(items[0], dtype), castElement(items[1], dtype), dtype);
      });
    case BinaryOp::MUL: return ufunc("multiply", {left, right});
    case BinaryOp::DIV: return ufunc("divide", {left, right});
    default: typeError("this operator on complex arrays");
  }
}

Value FunctionElaborator::complexCast(const Value& value, DType to) {
  auto part = [&](ValueId leaf, bool isExact) {
    if (to == DType::C128 || isExact) return leaf;
    auto rounded = emit(Op::ROUND_F32, {leaf}, {.prim = Prim::F});
    guardWarnings(rounded, {rounded, leaf, leaf});
    return rounded;
  };
  if (!isComplexLike(value.type)) {
    auto real = settleChecks(castElement(value, partOf(to)));
    return complex({real.leaves[0], constF(0)}, to);
  }
  bool isExact = types.isScalar(value.type, DType::C64);
  auto parts = partsOf(value);
  auto real = part(parts.real, isExact);
  return complex({real, part(parts.imag, isExact)}, to);
}

Value FunctionElaborator::complexUnary(schema::UnaryOp op, const Value& operand) {
  if (op == schema::UnaryOp::POSITIVE) return operand;
  if (op != schema::UnaryOp::NEGATIVE) typeError("bad operand type for ~");
  return {operand.type, {fop1(Op::FNEG, operand.leaves[0]), fop1(Op::FNEG, operand.leaves[1])}};
}

Value FunctionElaborator::complexAbsolute(const Value& value) {
  auto isFinite = [&](ValueId x) { return fcmp(Compare::LT, fop1(Op::FABS, x), constF(__builtin_inf())); };
  if (types.isScalar(value.type, DType::C64)) decline("abs() of numpy.complex64 scalars is not compiled");
  auto [real, imag] = partsOf(value);
  auto result = emit(Op::MATH2, {real, imag}, {.prim = Prim::F, .text = "abs_complex"});
  if (value.type != Types::COMPLEX) {
    guardFinite(result);
    return scalarOf(DType::F64, result);
  }
  auto isOpen = bop(Op::BOR, bnot(isFinite(real)), bnot(isFinite(imag)));
  guard(bop(Op::BOR, isFinite(result), isOpen), "OverflowError: an absolute value too large");
  return this->real(result);
}

Value FunctionElaborator::complexCompare(CompareOp op, const Value& left, const Value& right) {
  if (op != CompareOp::EQ && op != CompareOp::NE) {
    if (!types.is(left.type, Kind::SCALAR) && !types.is(right.type, Kind::SCALAR)) typeError("no order of complex numbers");
    decline("ordering numpy's complex scalars is not compiled");
  }
  bool isScalar = types.is(left.type, Kind::SCALAR) || types.is(right.type, Kind::SCALAR);
  auto& other = isComplexLike(left.type) ? right : left;
  if (isScalar && !isComplexLike(other.type)) decline("comparing numpy's complex scalars with real numbers is not compiled");
  if (types.isScalar(left.type, DType::C64) != types.isScalar(right.type, DType::C64))
    decline("comparing numpy.complex64 scalars with others is not compiled");
  auto realOf = [&](const Value& side) { return isComplexLike(side.type) ? real(side.leaves[0]) : side; };
  // An integer is compared exactly, as with a float.
  auto same = truth(compare(CompareOp::EQ, realOf(left), realOf(right)));
  same = bop(Op::BAND, same, fcmp(Compare::EQ, partsOf(left).imag, partsOf(right).imag));
  auto result = op == CompareOp::EQ ? same : bnot(same);
  return isScalar ? scalarOf(DType::BOOL, result) : boolean(result);
}

// complex(a), complex(a, b)
Value FunctionElaborator::makeComplex(const std::vector<Value>& args) {
  if (args.empty()) return complex({constF(0), constF(0)});
  if (args.size() > 2) typeError("complex expects at most two arguments");
  for (size_t i = 0; i < args.size(); i++) {
    if (!types.is(args[i].type, Kind::UNION)) continue;
    return split(args[i], [&](const Value& one) {
      auto known = args;
      known[i] = one;
      return makeComplex(known);
    });
  }
  for (auto& arg : args) {
    if (arg.type == Types::NONE) typeError("complex() of None");
    bool fits =
        (isNumber(arg.type) && !types.isScalar(arg.type, DType::U64)) || (args.size() == 1 && isComplexLike(arg.type));
    if (!fits) decline("complex() of " + types.show(arg.type) + " is not compiled");
  }
  if (args.size() == 1) return complex(partsOf(args[0]));
  return complex({asFloat(args[0]), asFloat(args[1])});
}

// real, imag and conjugate() of any number.
std::optional<Value> FunctionElaborator::numberAttribute(const Value& of, const std::string& name) {
  bool isConjugate = name == "conjugate()";
  if (isPlainInt(of.type) && name == "numerator") return integer(asInt(of));
  if (isPlainInt(of.type) && name == "denominator") return integerConst(1);
  if (name != "real" && name != "imag" && !isConjugate) return {};
  if (isComplexLike(of.type)) {
    auto wrap = [&](ValueId part) { return of.type == Types::COMPLEX ? real(part) : scalarOf(partOf(dtypeOf(of)), part); };
    if (name == "real") return wrap(of.leaves[0]);
    if (name == "imag") return wrap(of.leaves[1]);
    return Value{of.type, {of.leaves[0], fop1(Op::FNEG, of.leaves[1])}};
  }
  if (of.type == Types::FLOAT) return name == "imag" ? realConst(0) : of;
  if (!isPlainInt(of.type)) return {};
  return name == "imag" ? integerConst(0) : integer(asInt(of));
}

// z.real and z.imag are views.
Value FunctionElaborator::partView(const Value& array, bool isImag) {
  auto dtype = dtypeOf(array);
  if (!isComplex(dtype)) {
    if (isImag) decline("the imaginary part of a real array is not compiled");
    return array;
  }
  auto part = partOf(dtype);
  Value view{types.array(part, types[array.type].dims, types[array.type].ref), array.leaves};
  if (isImag) view.leaves[0] = emit(Op::POINTER_ADD, {array.leaves[0], constI(bytesOf(part))}, {.prim = Prim::P});
  return view;
}

// Of one element of a complex array: null where numpy's own loop has to do it.
std::optional<Value> FunctionElaborator::complexElementFunction(const std::string& name, const Value& item) {
  auto dtype = dtypeOf(item);
  auto [real, imag] = partsOf(item);
  if (name == "copy" || name == "positive") return item;
  if (name == "negative") return complexUnary(schema::UnaryOp::NEGATIVE, item);
  if (name == "conjugate") return complex({real, fop1(Op::FNEG, imag)}, dtype);
  if (name == "logical_not") return scalarOf(DType::BOOL, bnot(truth(item)));
  auto infinity = constF(__builtin_inf());
  auto either = [&](Op op, ValueId a, ValueId b) { return scalarOf(DType::BOOL, bop(op, a, b)); };
  auto size = [&](Compare compare, ValueId part) { return fcmp(compare, fop1(Op::FABS, part), infinity); };
  if (name == "isnan") return either(Op::BOR, fcmp(Compare::NE, real, real), fcmp(Compare::NE, imag, imag));
  if (name == "isinf") return either(Op::BOR, size(Compare::EQ, real), size(Compare::EQ, imag));
  if (name == "isfinite") return either(Op::BAND, size(Compare::LT, real), size(Compare::LT, imag));
  return {};
}

}  // namespace epochly::program

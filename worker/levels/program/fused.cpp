// Operations on whole arrays that become one loop.
#include <algorithm>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

using schema::BinaryOp;
using schema::CompareOp;

std::vector<ValueId> FunctionElaborator::shapeOf(const Value& array) const {
  auto dims = types[array.type].dims;
  return {array.leaves.begin() + 1, array.leaves.begin() + 1 + dims};
}

Fused FunctionElaborator::fusedOf(const Value& value) {
  if (value.fused) return *value.fused;
  if (!isArray(value)) {
    auto scalar = settleChecks(value);
    return {types.is(scalar.type, Kind::SCALAR) ? dtypeOf(scalar) : DType::F64, {}, {}, [scalar](const Value*) {
              return scalar;
            }};
  }
  auto dtype = dtypeOf(value);
  auto dims = types[value.type].dims;
  Stream stream{dtype, value.leaves[0], {value.leaves.begin() + 1 + dims, value.leaves.end()}};
  return {dtype, shapeOf(value), {stream}, [](const Value* items) { return items[0]; }};
}

Value FunctionElaborator::lazily(Fused fused) {
  auto site = types.site((uint64_t(instance.function) + 1) << 32 | currentId);
  Value made{types.array(fused.dtype, fused.shape.size(), site), {emit(Op::NULL_P, {}, {.prim = Prim::P})}};
  made.leaves.insert(made.leaves.end(), fused.shape.begin(), fused.shape.end());
  made.leaves.insert(made.leaves.end(), fused.shape.size(), constI(0));
  made.fused = std::make_shared<const Fused>(std::move(fused));
  return made;
}

// Elements that are broadcast to none would never be computed, and what numpy warns about them never seen.
void FunctionElaborator::keepsElements(const std::vector<ValueId>& own, const std::vector<ValueId>& result) {
  auto missing = result.size() - own.size();
  for (size_t dim = 0; dim < result.size(); dim++) {
    if (dim >= missing && own[dim - missing] == result[dim]) continue;
    auto some = icmp(Compare::NE, result[dim], constI(0));
    if (dim >= missing) some = bop(Op::BOR, some, icmp(Compare::NE, own[dim - missing], constI(1)));
    guard(some, "an array is broadcast to no elements");
  }
}

// An elementwise operation: shapes broadcast, operands side by side.
Value FunctionElaborator::combine(const std::vector<Value>& operands, DType dtype, const Compute& compute) {
  std::vector<Fused> parts;
  size_t dims = 0;
  for (auto& operand : operands) {
    parts.push_back(fusedOf(operand));
    dims = std::max(dims, parts.back().shape.size());
  }
  if (dims > 4) decline("arrays of more than 4 dimensions are not compiled");
  Fused made{dtype, {}, {}, {}};
  auto dimOf = [&](const Fused& part, size_t dim) -> std::optional<ValueId> {
    auto missing = dims - part.shape.size();
    return dim < missing ? std::nullopt : std::optional(part.shape[dim - missing]);
  };
  auto one = constI(1);
  for (size_t dim = 0; dim < dims; dim++) {
    std::optional<ValueId> size;
    for (auto& part : parts) {
      auto own = dimOf(part, dim);
      if (!own || own == size) continue;
      if (!size) {
        size = own;
        continue;
      }
      auto isOne = icmp(Compare::EQ, *size, one);
      auto fits = bop(Op::BOR, icmp(Compare::EQ, *size, *own), bop(Op::BOR, isOne, icmp(Compare::EQ, *own, one)));
      guard(fits, "ValueError: the shapes do not broadcast");
      size = emit(Op::SELECT, {isOne, *own, *size}, {.prim = Prim::I});
    }
    made.shape.push_back(*size);
  }
  for (size_t i = 0; i < parts.size(); i++) {
    if (operands[i].fused) keepsElements(parts[i].shape, made.shape);
  }
  std::vector<size_t> first;
  for (auto& part : parts) {
    first.push_back(made.streams.size());
    for (auto& stream : part.streams) {
      Stream aligned{stream.dtype, stream.pointer, {}};
      for (size_t dim = 0; dim < dims; dim++) {
        auto own = dimOf(part, dim);
        auto stride = own ? stream.strides[dim - (dims - part.shape.size())] : constI(0);
        if (own && *own != made.shape[dim])
          stride = emit(Op::SELECT, {icmp(Compare::EQ, *own, one), constI(0), stride}, {.prim = Prim::I});
        aligned.strides.push_back(stride);
      }
      made.streams.push_back(std::move(aligned));
    }
  }
  made.compute = [parts, first, compute](const Value* items) {
    std::vector<Value> values;
    for (size_t i = 0; i < parts.size(); i++) values.push_back(parts[i].compute(items + first[i]));
    return compute(values);
  };
  return lazily(std::move(made));
}

// A scalar is cast once, before the loop.
Value FunctionElaborator::operandAs(const Value& value, DType dtype) {
  return isArray(value) ? value : settleChecks(castElement(settleChecks(value), dtype));
}

Value FunctionElaborator::arrayBinary(BinaryOp op, const Value& left, const Value& right) {
  for (auto* side : {&left, &right}) {
    if (!isArray(*side) && !isNumeric(side->type)) decline("an array with " + types.show(side->type) + " is not compiled");
  }
  if (op == BinaryOp::POW) return arrayPower(left, right);
  if (op == BinaryOp::LSHIFT || op == BinaryOp::RSHIFT) decline("shifts of arrays are not compiled");
  auto dtype = resultDtype(left, right);
  if (isComplex(dtype)) return complexArrayBinary(op, left, right, dtype);
  if (isReal(dtype) && (op == BinaryOp::BIT_AND || op == BinaryOp::BIT_OR || op == BinaryOp::BIT_XOR))
    typeError("bitwise operator on floats");
  if (op == BinaryOp::DIV && !isReal(dtype)) dtype = DType::F64;
  if ((op == BinaryOp::FLOOR_DIV || op == BinaryOp::MOD) && isReal(dtype)) {
    return ufunc(op == BinaryOp::MOD ? "remainder" : "floor_divide", {left, right});
  }
  if ((op == BinaryOp::FLOOR_DIV || op == BinaryOp::MOD) && dtype == DType::BOOL)
    decline("this operator on bool arrays is not compiled");
  return combine({operandAs(left, dtype), operandAs(right, dtype)}, dtype,
                 [=, this](const std::vector<Value>& items) { return elementBinary(op, items[0], items[1], dtype); });
}

// numpy takes the square, the root and the reciprocal for these exponents.
Value FunctionElaborator::arrayPower(const Value& base, const Value& exponent) {
  auto dtype = resultDtype(base, exponent);
  auto is = [&](double n) {
    return (exponent.constInt && *exponent.constInt == n) || (exponent.constFloat && *exponent.constFloat == n);
  };
  bool isPlain = isArray(base) && dtype == dtypeOf(base) && dtype != DType::BOOL;
  if (isPlain && isComplex(dtype)) {
    if (is(2)) return ufunc("square", {base});
    if (is(0.5)) return ufunc("sqrt", {base});
    if (is(-1)) return ufunc("reciprocal", {base});
    if (is(1)) return elementwise("positive", {base});
    decline("this power of a complex array is not compiled");
  }
  if (isPlain && is(2)) {
    return combine({base}, dtype, [=, this](const std::vector<Value>& items) {
      return elementBinary(BinaryOp::MUL, items[0], items[0], dtype);
    });
  }
  if (isPlain && isReal(dtype) && is(0.5)) return elementwise("sqrt", {base});
  if (isPlain && isReal(dtype) && is(-1)) return elementwise("reciprocal", {base});
  if (isPlain && isReal(dtype) && is(1)) return elementwise("positive", {base});
  if (!isReal(dtype) || !isPlain) decline("this power of an array is not compiled");
  return ufunc("power", {base, exponent});
}

Value FunctionElaborator::arrayCompare(CompareOp op, const Value& left, const Value& right) {
  for (auto* side : {&left, &right}) {
    if (!isArray(*side) && !isNumeric(side->type))
      decline("comparing an array with " + types.show(side->type) + " is not compiled");
  }
  if (op > CompareOp::GE) decline("'is' and 'in' of arrays are not compiled");
  auto dtype = resultDtype(left, right);
  // Integers of both signs, and integers with floats, are compared exactly by newer numpy.
  for (auto* side : {&left, &right}) {
    bool typed = isArray(*side) || types.is(side->type, Kind::SCALAR);
    bool isInteger = typed && !isReal(dtypeOf(*side)) && !isComplex(dtypeOf(*side));
    bool mixed = isInteger && (dtype == DType::F64 || isComplex(dtype)) && bytesOf(dtypeOf(*side)) == 8;
    if (mixed) decline("comparing 64-bit integers with floats in arrays is not compiled");
  }
  return combine({operandAs(left, dtype), operandAs(right, dtype)}, DType::BOOL,
                 [=, this](const std::vector<Value>& items) { return elementCompare(op, items[0], items[1], dtype); });
}

Value FunctionElaborator::arrayUnary(schema::UnaryOp op, const Value& operand) {
  auto dtype = dtypeOf(operand);
  if (op == schema::UnaryOp::POSITIVE) return elementwise("positive", {operand});
  if (op == schema::UnaryOp::NEGATIVE) return elementwise("negative", {operand});
  if (isReal(dtype) || isComplex(dtype)) typeError("bad operand type for ~");
  return combine({operand}, dtype, [=, this](const std::vector<Value>& items) {
    auto leaf = items[0].leaves[0];
    return dtype == DType::BOOL ? scalarOf(dtype, bnot(leaf)) : wrapped(emit(Op::INVERT, {leaf}, {.prim = Prim::I}), dtype);
  });
}

}  // namespace epochly::program

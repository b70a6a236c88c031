// Reductions of whole arrays. Sums of floats are numpy's own, whose order of additions decides the last bits.
#include "levels/program/function_elaborator.h"
#include "levels/program/ufuncs.h"

namespace epochly::program {

using schema::BinaryOp;
using schema::CompareOp;

Value FunctionElaborator::reduce(const std::string& name, const Value& array) {
  auto dtype = dtypeOf(array);
  bool isMin = name == "min" || name == "amin" || name == "argmin";
  if (name == "any" || name == "all") return anyAllOf(array, name == "any");
  if (isComplex(dtype)) {
    if (name == "sum") return reduceFloats("add", array, 0.0);
    if (name == "prod") return reduceFloats("multiply", array, 1.0);
    decline("numpy." + name + " of complex arrays is not compiled");
  }
  if (name == "argmin" || name == "argmax") return argExtreme(array, isMin);
  if (name == "mean") return mean(array);
  if (name == "var" || name == "std") return variance(array, name == "std");
  if (!isReal(dtype)) return reduceIntegers(name, array);
  if (name == "sum") return reduceFloats("add", array, 0.0);
  if (name == "prod") return reduceFloats("multiply", array, 1.0);
  return reduceFloats(isMin ? "minimum" : "maximum", array, {});
}

// cell = cell op element, for `count` elements.
void FunctionElaborator::reduceChunk(const char* ufunc, DType dtype, ValueId cell, ValueId pointer, ValueId stride,
                                     ValueId count) {
  auto zero = constI(0);
  emitVoid(Op::UFUNC, {count, cell, zero, pointer, stride, cell, zero},
           {.imm = ufuncCell(*ufuncNamed(ufunc), dtype), .guard = "numpy warns here"});
}

// Reduces a row into `cell` in the pieces in which numpy does. `skip`: the first elements, none or one, that the cell holds already.
void FunctionElaborator::reduceRow(const char* ufunc, DType dtype, ValueId cell, const Row& row, int64_t skip,
                                   bool inPieces) {
  auto reduceFrom = [&](ValueId from, ValueId count) {
    auto pointer = emit(Op::POINTER_ADD, {row.pointer, iop(Op::MUL, from, row.stride)}, {.prim = Prim::P});
    reduceChunk(ufunc, dtype, cell, pointer, row.stride, count);
  };
  if (!inPieces) return reduceFrom(constI(skip), iop(Op::SUB, row.count, constI(skip)));
  unit.needsUsualBuffer = true;
  auto size = constI(NUMPY_BUFFER);
  auto pieces = iop(Op::SHR, iop(Op::ADD, row.count, constI(NUMPY_BUFFER - 1)), constI(NUMPY_BUFFER_BITS));
  counted(pieces, true, [&](ValueId piece) {
    auto start = iop(Op::MUL, piece, size);
    auto left = iop(Op::SUB, row.count, start);
    auto count = emit(Op::SELECT, {icmp(Compare::LT, left, size), left, size}, {.prim = Prim::I});
    if (!skip) return reduceFrom(start, count);
    auto held = emit(Op::SELECT, {icmp(Compare::EQ, piece, constI(0)), constI(skip), constI(0)}, {.prim = Prim::I});
    reduceFrom(iop(Op::ADD, start, held), iop(Op::SUB, count, held));
  });
}

// The elements of an array as one row: numpy reduces arrays without gaps so.
FunctionElaborator::Row FunctionElaborator::asRow(const Value& array) {
  auto dims = types[array.type].dims;
  if (dims == 1) return {array.leaves[0], arrayStride(array, 0), arrayDim(array, 0)};
  auto byColumns = transposed(array);
  guard(bop(Op::BOR, isRowMajor(array), isRowMajor(byColumns)), "reducing an array that is not contiguous");
  return {array.leaves[0], constI(bytesOf(dtypeOf(array))), sizeOf(shapeOf(array))};
}

Value FunctionElaborator::reduceFloats(const char* ufunc, const Value& lazy, std::optional<double> start) {
  auto array = settle(lazy);
  auto dtype = dtypeOf(array);
  auto row = asRow(array);
  if (!start) guard(icmp(Compare::GT, row.count, constI(0)), "ValueError: a reduction of nothing");
  auto first = start ? castElement(realConst(*start), dtype) : loadElement(dtype, row.pointer);
  auto cell = scratch(bytesOf(dtype));
  storeAt(cell, first, dtype);
  reduceRow(ufunc, dtype, cell, row, start ? 0 : 1, owner.dialect.reducesInPieces());
  release(lazy, array);
  return loadElement(dtype, cell);
}

Value FunctionElaborator::reduceIntegers(const std::string& name, const Value& array) {
  auto dtype = dtypeOf(array);
  bool isSum = name == "sum", isProduct = name == "prod";
  auto result = !isSum && !isProduct ? dtype : isUnsigned(dtype) ? DType::U64 : DType::I64;
  auto fused = fusedOf(array);
  auto size = sizeOf(fused.shape);
  if (!isSum && !isProduct) guard(icmp(Compare::GT, size, constI(0)), "ValueError: a reduction of nothing");
  if (dtype == DType::BOOL && !isSum && !isProduct) return anyAllOf(array, name == "max" || name == "amax");
  bool isMin = name == "min" || name == "amin";
  // uint64 is ordered by its bits less the lowest signed number.
  auto bias = constI(dtype == DType::U64 ? INT64_MIN : 0);
  auto total = newSlot(Prim::I);
  auto start = isSum ? 0 : isProduct ? 1 : isMin ? INT64_MAX : INT64_MIN;
  emitVoid(Op::STORE, {constI(start)}, {.imm = total});
  elementLoop(fused, fused.streams, true, [&](const Value& element, const std::vector<ValueId>&) {
    auto item = asInt(element);
    auto before = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = total});
    ValueId after;
    if (isSum || isProduct) {
      after = iop(isSum ? Op::ADD : Op::MUL, before, item);
    } else {
      item = iop(Op::XOR, item, bias);
      after = emit(Op::SELECT, {icmp(isMin ? Compare::LT : Compare::GT, item, before), item, before}, {.prim = Prim::I});
    }
    emitVoid(Op::STORE, {after}, {.imm = total});
  });
  auto last = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = total});
  return scalarOf(result, isSum || isProduct ? last : iop(Op::XOR, last, bias));
}

Value FunctionElaborator::anyAllOf(const Value& array, bool isAny) {
  auto fused = fusedOf(array);
  auto found = newSlot(Prim::B);
  emitVoid(Op::STORE, {constB(!isAny)}, {.imm = found});
  elementLoop(fused, fused.streams, true, [&](const Value& element, const std::vector<ValueId>&) {
    auto before = emit(Op::LOAD, {}, {.prim = Prim::B, .imm = found});
    emitVoid(Op::STORE, {bop(isAny ? Op::BOR : Op::BAND, before, truth(element))}, {.imm = found});
  });
  return scalarOf(DType::BOOL, emit(Op::LOAD, {}, {.prim = Prim::B, .imm = found}));
}

// Whether an element takes the place of the extreme before it; a NaN does, and keeps it.
ValueId FunctionElaborator::winsExtreme(const Value& element, const Value& before, bool isMin) {
  auto dtype = dtypeOf(element);
  auto wins = elementCompare(isMin ? CompareOp::LT : CompareOp::GT, element, before, dtype).leaves[0];
  if (!isReal(dtype)) return wins;
  auto known = before.leaves[0], item = element.leaves[0];
  return bop(Op::BAND, fcmp(Compare::EQ, known, known), bop(Op::BOR, wins, fcmp(Compare::NE, item, item)));
}

// The position of the first extreme; of the first NaN, if there is one.
Value FunctionElaborator::argExtreme(const Value& lazy, bool isMin) {
  auto array = settle(lazy);
  auto dtype = dtypeOf(array);
  auto fused = fusedOf(array);
  guard(icmp(Compare::GT, sizeOf(fused.shape), constI(0)), "ValueError: attempt to get argmin of an empty sequence");
  auto prim = types.leaves(types.scalar(dtype))[0];
  auto best = newSlot(prim), position = newSlot(Prim::I), at = newSlot(Prim::I);
  emitVoid(Op::STORE, {loadElement(dtype, array.leaves[0]).leaves[0]}, {.imm = best});
  emitVoid(Op::STORE, {constI(0)}, {.imm = position});
  emitVoid(Op::STORE, {constI(0)}, {.imm = at});
  elementLoop(fused, fused.streams, true, [&](const Value& element, const std::vector<ValueId>&) {
    auto before = scalarOf(dtype, emit(Op::LOAD, {}, {.prim = prim, .imm = best}));
    auto wins = winsExtreme(element, before, isMin);
    auto here = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = at});
    auto was = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = position});
    emitVoid(Op::STORE, {emit(Op::SELECT, {wins, element.leaves[0], before.leaves[0]}, {.prim = prim})}, {.imm = best});
    emitVoid(Op::STORE, {emit(Op::SELECT, {wins, here, was}, {.prim = Prim::I})}, {.imm = position});
    emitVoid(Op::STORE, {iop(Op::ADD, here, constI(1))}, {.imm = at});
  });
  release(lazy, array);
  return scalarOf(DType::I64, emit(Op::LOAD, {}, {.prim = Prim::I, .imm = position}));
}

// left @ right, by numpy's own loop, which calls its BLAS.
Value FunctionElaborator::matmul(const Value& lazyLeft, const Value& lazyRight) {
  if (!isArray(lazyLeft) || !isArray(lazyRight))
    decline("@ of " + types.show(lazyLeft.type) + " and " + types.show(lazyRight.type) + " is not compiled");
  auto left = settle(lazyLeft), right = settle(lazyRight);
  auto dtype = dtypeOf(left);
  auto a = types[left.type].dims, b = types[right.type].dims;
  if (dtype != dtypeOf(right) || !(isReal(dtype) || isComplex(dtype)) || a > 2 || b > 2)
    decline("@ of " + types.show(left.type) + " and " + types.show(right.type) + " is not compiled");
  auto zero = constI(0), one = constI(1);
  auto rows = a == 2 ? arrayDim(left, 0) : one, columns = b == 2 ? arrayDim(right, 1) : one;
  auto inner = arrayDim(left, a - 1);
  guard(icmp(Compare::EQ, inner, arrayDim(right, 0)), "ValueError: the shapes do not fit");
  std::vector<ValueId> shape;
  if (a == 2) shape.push_back(rows);
  if (b == 2) shape.push_back(columns);
  auto cell = shape.empty() ? scratch(bytesOf(dtype)) : 0;
  auto made = shape.empty() ? Value{} : newArray(dtype, shape);
  auto pointer = shape.empty() ? cell : made.leaves[0];
  auto outRow = a == 2 ? arrayStride(made, 0) : zero;
  auto outColumn = b == 2 ? arrayStride(made, shape.size() - 1) : zero;
  emitVoid(Op::MATMUL,
           {left.leaves[0], right.leaves[0], pointer, rows, inner, columns, a == 2 ? arrayStride(left, 0) : zero,
            arrayStride(left, a - 1), arrayStride(right, 0), b == 2 ? arrayStride(right, 1) : zero, outRow, outColumn},
           {.imm = static_cast<int64_t>(dtype), .guard = "numpy warns here"});
  release(lazyLeft, left);
  release(lazyRight, right);
  return shape.empty() ? loadElement(dtype, cell) : made;
}

// The sum as float64 of integers, added up as numpy's buffered reduction does.
ValueId FunctionElaborator::sumAsDouble(const Value& array) {
  if (isReal(dtypeOf(array))) return reduceFloats("add", array, 0.0).leaves[0];
  auto whole = settle(array);
  if (types[whole.type].dims > 1) guard(isRowMajor(whole), "reducing an array that is not contiguous");
  auto doubles = astype(whole, DType::F64);
  auto count = sizeOf(shapeOf(doubles));
  auto cell = scratch(8);
  emitVoid(Op::ARRAY_STORE, {cell, constF(0)}, {.imm = static_cast<int64_t>(DType::F64)});
  reduceRow("add", DType::F64, cell, {doubles.leaves[0], constI(bytesOf(DType::F64)), count}, 0, true);
  if (slotOfArray.count(doubles.leaves[0]))
    emitVoid(Op::ARRAY_FREE, {doubles.leaves[0]}, {.imm = slotOfArray[doubles.leaves[0]]});
  return loadElement(DType::F64, cell).leaves[0];
}

Value FunctionElaborator::divided(ValueId sum, ValueId count, DType dtype) {
  auto quotient = fop(Op::FDIV, sum, emit(Op::I_TO_F, {count}, {.prim = Prim::F}));
  if (dtype == DType::F32) quotient = emit(Op::ROUND_F32, {quotient}, {.prim = Prim::F});
  auto made = scalarOf(dtype, quotient);
  made.unchecked = {quotient, sum, sum};
  return settleChecks(made);
}

Value FunctionElaborator::mean(const Value& lazy) {
  auto array = settle(lazy);
  auto count = sizeOf(shapeOf(array));
  guard(icmp(Compare::GT, count, constI(0)), "numpy warns (the mean of nothing)");
  auto result = divided(sumAsDouble(array), count, dtypeOf(array) == DType::F32 ? DType::F32 : DType::F64);
  release(lazy, array);
  return result;
}

Value FunctionElaborator::variance(const Value& lazy, bool isRoot) {
  auto array = settle(lazy);
  auto average = mean(array);
  auto dtype = dtypeOf(average);
  auto apart = arrayBinary(BinaryOp::SUB, array, average);
  auto lazySquares = combine({apart}, dtype, [=, this](const std::vector<Value>& items) {
    auto item = castElement(items[0], dtype);
    return elementBinary(BinaryOp::MUL, item, item, dtype);
  });
  auto squares = settle(lazySquares);
  auto result = divided(sumAsDouble(squares), sizeOf(shapeOf(squares)), dtype);
  release(lazySquares, squares);
  release(lazy, array);
  return isRoot ? elementwise("sqrt", {result}) : result;
}

}  // namespace epochly::program

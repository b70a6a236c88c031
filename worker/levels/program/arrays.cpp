// Items and views of arrays, and assignment to them.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

// numpy's "same_kind" casting.
bool FunctionElaborator::castsInPlace(DType from, DType to) const {
  auto rank = [](DType dtype) {
    return dtype == DType::BOOL ? 0 : isUnsigned(dtype) ? 1 : isComplex(dtype) ? 4 : isReal(dtype) ? 3 : 2;
  };
  return rank(from) <= rank(to);
}

std::vector<FunctionElaborator::Index> FunctionElaborator::indicesOf(const Value& array, Expression index) {
  std::vector<Index> result;
  uint32_t dim = 0;
  auto dims = types[array.type].dims;
  auto add = [&](const Value& value) {
    if (isArray(value)) decline("an array among several indices is not compiled");
    // numpy takes True as a mask.
    if (isBoolLike(value.type)) decline("an array indexed by a bool is not compiled");
    if (value.type == Types::FLOAT) fail("IndexError: an array indexed by a float");
    result.push_back({Index::NUMBER, value});
    dim++;
  };
  auto addExpression = [&](Expression one) {
    if (one.isNone()) return result.push_back({Index::NEW_AXIS});
    if (!one.isSlice()) return add(expression(one));
    if (dim >= dims) fail("IndexError: too many indices");
    result.push_back({Index::SLICE, {}, sliceOf(one, arrayDim(array, dim))});
    dim++;
  };
  if (index.isTuple()) {
    for (auto one : index.getTuple()) addExpression(one);
    return result;
  }
  if (index.isSlice() || index.isNone()) {
    addExpression(index);
    return result;
  }
  auto value = expression(index);
  if (types.is(value.type, Kind::TUPLE)) {
    for (size_t i = 0; i < types[value.type].parts.size(); i++) add(tupleItem(value, i));
  } else {
    add(value);
  }
  return result;
}

Value FunctionElaborator::viewAt(const Value& array, const std::vector<Index>& indices) {
  auto data = types[array.type];
  uint32_t dim = 0;
  auto pointer = array.leaves[0];
  std::vector<ValueId> shape, strides;
  auto advance = [&](ValueId at) {
    pointer = emit(Op::POINTER_ADD, {pointer, iop(Op::MUL, at, arrayStride(array, dim))}, {.prim = Prim::P});
  };
  for (auto& one : indices) {
    if (one.what == Index::NEW_AXIS) {
      shape.push_back(constI(1));
      strides.push_back(constI(0));
      continue;
    }
    if (dim >= data.dims) fail("IndexError: too many indices");
    if (one.what == Index::NUMBER) {
      advance(checkedIndex(one.number, arrayDim(array, dim)));
    } else {
      // An empty slice may start behind the end: its address is never used.
      advance(one.slice.start);
      shape.push_back(one.slice.count);
      strides.push_back(iop(Op::MUL, one.slice.step, arrayStride(array, dim)));
    }
    dim++;
  }
  for (; dim < data.dims; dim++) {
    shape.push_back(arrayDim(array, dim));
    strides.push_back(arrayStride(array, dim));
  }
  if (shape.size() > 4) decline("arrays of more than 4 dimensions are not compiled");
  Value view{types.array(data.dtype, shape.size(), data.ref), {pointer}};
  view.leaves.insert(view.leaves.end(), shape.begin(), shape.end());
  view.leaves.insert(view.leaves.end(), strides.begin(), strides.end());
  return view;
}

Value FunctionElaborator::loadView(const Value& view) {
  if (types[view.type].dims) return view;
  return loadElement(dtypeOf(view), view.leaves[0]);
}

Value FunctionElaborator::arrayItem(const Value& array, ValueId index) {
  auto data = types[array.type];
  auto pointer = emit(Op::POINTER_ADD, {array.leaves[0], iop(Op::MUL, index, arrayStride(array, 0))}, {.prim = Prim::P});
  Value view{types.array(data.dtype, data.dims - 1, data.ref), {pointer}};
  for (uint32_t i = 1; i < data.dims; i++) view.leaves.push_back(arrayDim(array, i));
  for (uint32_t i = 1; i < data.dims; i++) view.leaves.push_back(arrayStride(array, i));
  return loadView(view);
}

Value FunctionElaborator::arraySubscript(const Value& array, Expression index) {
  if (!index.isTuple() && !index.isSlice() && !index.isNone()) {
    auto value = expression(index);
    if (isArray(value)) return dtypeOf(value) == DType::BOOL ? masked(array, value) : gathered(array, value);
    if (types.is(value.type, Kind::TUPLE)) {
      std::vector<Index> indices;
      for (size_t i = 0; i < types[value.type].parts.size(); i++) indices.push_back({Index::NUMBER, tupleItem(value, i)});
      checkNumbers(indices);
      return loadView(viewAt(array, indices));
    }
    std::vector<Index> indices{{Index::NUMBER, value}};
    checkNumbers(indices);
    return loadView(viewAt(array, indices));
  }
  return loadView(viewAt(array, indicesOf(array, index)));
}

void FunctionElaborator::checkNumbers(const std::vector<Index>& indices) {
  for (auto& one : indices) {
    if (isArray(one.number)) decline("an array among several indices is not compiled");
    if (isBoolLike(one.number.type)) decline("an array indexed by a bool is not compiled");
    if (one.number.type == Types::FLOAT) fail("IndexError: an array indexed by a float");
  }
}

// A number as an item: a numpy integer is taken as a Python one, and what does not fit raises.
Value FunctionElaborator::storable(const Value& item, DType dtype) {
  bool isInteger = isIntLike(item.type) && !isBoolLike(item.type);
  if (types.isScalar(item.type, DType::U64) && dtype != DType::U64)
    guard(icmp(Compare::GE, item.leaves[0], constI(0)), "a value out of the array type's range");
  bool checked =
      isInteger && !isReal(dtype) && !isComplex(dtype) && dtype != DType::BOOL && !types.isScalar(item.type, dtype);
  return settleChecks(castElement(checked ? integer(asInt(item)) : item, dtype));
}

void FunctionElaborator::storeElement(const Value& array, ValueId pointer, const Value& item) {
  if (types.is(item.type, Kind::UNION)) {
    split(item, [&](const Value& one) {
      storeElement(array, pointer, one);
      return none();
    });
    return;
  }
  auto dtype = dtypeOf(array);
  if (!isNumeric(item.type)) decline("assigning " + types.show(item.type) + " to an item of an array is not compiled");
  types.mark(types[array.type].ref, &Site::written);
  auto cast = storable(item, dtype);
  storeAt(pointer, cast, dtype);
}

void FunctionElaborator::assignToArray(const Value& array, Expression index,
                                       const std::function<Value(const Value& before)>& value) {
  auto atLine = line;
  auto assign = [&](const Value& view) {
    line = atLine;
    if (types[view.type].dims) return assignArray(view, value(view));
    auto item = value(loadView(view));
    if (isArray(item)) decline("assigning an array to an item is not compiled");
    storeElement(view, view.leaves[0], item);
  };
  if (index.isTuple() || index.isSlice() || index.isNone()) return assign(viewAt(array, indicesOf(array, index)));
  auto at = expression(index);
  if (isArray(at)) {
    if (dtypeOf(at) != DType::BOOL) decline("assigning to items chosen by an array of positions is not compiled");
    auto item = value(array);
    return assignMasked(array, at, item);
  }
  std::vector<Index> indices;
  if (types.is(at.type, Kind::TUPLE)) {
    for (size_t i = 0; i < types[at.type].parts.size(); i++) indices.push_back({Index::NUMBER, tupleItem(at, i)});
  } else {
    indices.push_back({Index::NUMBER, at});
  }
  checkNumbers(indices);
  assign(viewAt(array, indices));
}

// ---- masks and positions ---------------------------------------------------------------------------------------------------

Value FunctionElaborator::masked(const Value& array, const Value& mask) {
  if (types[array.type].dims != types[mask.type].dims) decline("a mask of fewer dimensions is not compiled");
  auto dtype = dtypeOf(array);
  for (uint32_t i = 0; i < types[mask.type].dims; i++)
    guard(icmp(Compare::EQ, arrayDim(array, i), arrayDim(mask, i)), "IndexError: the mask has another shape");
  auto count = newSlot(Prim::I);
  emitVoid(Op::STORE, {constI(0)}, {.imm = count});
  auto add = [&](ValueId chosen) {
    auto before = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = count});
    emitVoid(Op::STORE, {iop(Op::ADD, before, emit(Op::B_TO_I, {chosen}, {.prim = Prim::I}))}, {.imm = count});
    return before;
  };
  auto chosen = fusedOf(mask);
  elementLoop(chosen, chosen.streams, true,
              [&](const Value& element, const std::vector<ValueId>&) { add(element.leaves[0]); });
  auto made = newArray(dtype, {emit(Op::LOAD, {}, {.prim = Prim::I, .imm = count})});
  emitVoid(Op::STORE, {constI(0)}, {.imm = count});
  // Every element is written to the next place; the chosen ones stay. The last place is looked at before it is behind the end.
  auto both = combine({mask, array}, DType::BOOL, [](const std::vector<Value>& items) { return items[0]; });
  loopNest(both.fused->streams, both.fused->shape, false, [&](const std::vector<ValueId>& addresses) {
    auto isChosen = loadElement(DType::BOOL, addresses[0]).leaves[0];
    branch(
        isChosen,
        [&] {
          auto at = add(isChosen);
          auto where = emit(Op::POINTER_ADD, {made.leaves[0], iop(Op::MUL, at, constI(bytesOf(dtype)))}, {.prim = Prim::P});
          storeAt(where, loadElement(dtype, addresses[1]), dtype);
        },
        [] {});
  });
  return made;
}

void FunctionElaborator::assignMasked(const Value& array, const Value& mask, const Value& value) {
  if (types[array.type].dims != types[mask.type].dims) decline("a mask of fewer dimensions is not compiled");
  if (isArray(value) || !isNumeric(value.type)) decline("assigning this to items chosen by a mask is not compiled");
  auto dtype = dtypeOf(array);
  for (uint32_t i = 0; i < types[mask.type].dims; i++)
    guard(icmp(Compare::EQ, arrayDim(array, i), arrayDim(mask, i)), "IndexError: the mask has another shape");
  auto scalar = storable(value, dtype);
  assignArray(array, combine({mask, array, scalar}, dtype, [=, this](const std::vector<Value>& items) {
                return selectElement(items[0].leaves[0], items[2], items[1]);
              }));
}

Value FunctionElaborator::gathered(const Value& array, const Value& positions) {
  if (types[array.type].dims != 1) decline("positions in an array of several dimensions are not compiled");
  auto index = dtypeOf(positions);
  if (isReal(index) || isComplex(index) || index == DType::U64) fail("IndexError: positions that are no integers");
  auto dtype = dtypeOf(array);
  auto length = arrayDim(array, 0);
  auto lazy = combine({positions}, dtype, [=, this](const std::vector<Value>& items) {
    auto at = checkedIndex(integer(items[0].leaves[0]), length);
    auto where = emit(Op::POINTER_ADD, {array.leaves[0], iop(Op::MUL, at, arrayStride(array, 0))}, {.prim = Prim::P});
    return loadElement(dtype, where);
  });
  return materialise(lazy);
}

}  // namespace epochly::program

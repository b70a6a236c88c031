// Whole arrays: operations that become one loop, the memory of what they give, and the loop.
#include <algorithm>
#include <utility>

#include "levels/program/elaborator.h"
#include "levels/program/ufuncs.h"

namespace epochly::program {

using schema::BinaryOp;
using schema::CompareOp;

namespace {

// Elements between two looks for Ctrl-C: about 10 us of work, and enough for vector code.
// A call's memory is bounded by a GiB; squared it is far from 64 bits.
constexpr int64_t ELEMENTS_MAX = int64_t(1) << 30;
constexpr int64_t CHUNK_BITS = 13, CHUNK = int64_t(1) << CHUNK_BITS;

}  // namespace

// ---- what is fused ---------------------------------------------------------------------------------------------------------

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

// ---- memory ------------------------------------------------------------------------------------------------------------------

uint32_t FunctionElaborator::newSlot(Prim prim) {
  instance.slots.push_back(prim);
  return instance.slots.size() - 1;
}

ValueId FunctionElaborator::sizeOf(const std::vector<ValueId>& shape) {
  if (shape.empty()) return constI(1);
  auto size = shape[0];
  for (size_t i = 1; i < shape.size(); i++) size = iop(Op::MUL_CHECKED, size, shape[i], "an array beyond 64 bits");
  return size;
}

std::vector<ValueId> FunctionElaborator::rowMajor(DType dtype, const std::vector<ValueId>& shape) {
  std::vector<ValueId> strides(shape.size());
  auto step = constI(bytesOf(dtype));
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    if (i) step = iop(Op::MUL, step, shape[i]);
  }
  return strides;
}

ValueId FunctionElaborator::isRowMajor(const Value& array) {
  auto shape = shapeOf(array);
  auto expected = rowMajor(dtypeOf(array), shape);
  auto all = constB(true);
  for (size_t i = 0; i < shape.size(); i++) {
    auto fits = bop(Op::BOR, icmp(Compare::EQ, arrayStride(array, i), expected[i]), icmp(Compare::LE, shape[i], constI(1)));
    all = i ? bop(Op::BAND, all, fits) : fits;
  }
  return all;
}

// The pointers into arrays that the function's variables hold here: an array site must not take their memory again.
std::vector<ValueId> FunctionElaborator::arrayRoots() {
  std::vector<ValueId> roots;
  for (uint32_t i = 0; i < env.size(); i++) addRoots(env[i], slotsOf(i, env[i]), roots);
  return roots;
}

void FunctionElaborator::addRoots(Type type, uint32_t slot, std::vector<ValueId>& roots) {
  auto data = types[type];
  if (data.kind == Kind::ARRAY) roots.push_back(emit(Op::LOAD, {}, {.prim = Prim::P, .imm = slot}));
  if (data.kind == Kind::TUPLE) {
    for (auto part : data.parts) {
      addRoots(part, slot, roots);
      slot += types.leaves(part).size();
    }
  }
  if (data.kind != Kind::UNION) return;
  for (size_t i = 1; i < types.leaves(type).size(); i++) {
    auto bits = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = static_cast<int64_t>(slot + i)});
    roots.push_back(emit(Op::FROM_BITS, {bits}, {.prim = Prim::P}));
  }
}

void FunctionElaborator::noteEscape(Type type) {
  auto data = types[type];
  if (data.kind == Kind::ARRAY) types.mark(data.ref, &Site::escapes);
  for (auto part : data.parts) noteEscape(part);
}

Value FunctionElaborator::newArray(DType dtype, const std::vector<ValueId>& shape, const std::vector<ValueId>& strides) {
  auto site = types.site((uint64_t(instance.function) + 1) << 32 | currentId);
  // Comparisons, as these guards may not wait: what follows writes so much.
  auto count = constI(1);
  for (auto size : shape) {
    guard(icmp(Compare::GE, size, constI(0)), "ValueError: a negative dimension");
    guard(icmp(Compare::LE, size, constI(ELEMENTS_MAX)), "an array too large for a compiled call");
    count = iop(Op::MUL, count, size);
    guard(icmp(Compare::LE, count, constI(ELEMENTS_MAX)), "an array too large for a compiled call");
  }
  auto bytes = iop(Op::MUL, count, constI(bytesOf(dtype)));
  int64_t slot = -1;
  std::vector<ValueId> args{bytes};
  if (!types(site).escapes) {
    slot = newSlot(Prim::P);
    arraySlots.push_back(slot);
    auto roots = arrayRoots();
    args.insert(args.end(), roots.begin(), roots.end());
  }
  auto pointer = emit(Op::ARRAY_NEW, std::move(args), {.prim = Prim::P, .imm = slot, .guard = "out of memory for arrays"});
  if (slot >= 0) slotOfArray[pointer] = slot;
  Value made{types.array(dtype, shape.size(), site), {pointer}};
  made.leaves.insert(made.leaves.end(), shape.begin(), shape.end());
  made.leaves.insert(made.leaves.end(), strides.begin(), strides.end());
  return made;
}

void FunctionElaborator::release(const Value& lazy, const Value& settled) {
  if (!lazy.fused) return;
  auto found = slotOfArray.find(settled.leaves[0]);
  if (found != slotOfArray.end()) emitVoid(Op::ARRAY_FREE, {settled.leaves[0]}, {.imm = found->second});
}

// numpy lays a result out as its operands lie: rows first, unless all of them that tell have columns first.
std::vector<ValueId> FunctionElaborator::resultStrides(const Fused& fused) {
  auto rows = rowMajor(fused.dtype, fused.shape);
  auto dims = fused.shape.size();
  bool tells = false;
  for (auto& stream : fused.streams) tells |= stream.strides.size() > 1;
  if (dims < 2 || !tells) return rows;
  auto zero = constI(0);
  auto magnitude = [&](ValueId x) {
    return emit(Op::SELECT, {icmp(Compare::LT, x, zero), iop(Op::SUB, zero, x), x}, {.prim = Prim::I});
  };
  std::optional<ValueId> allRows, allColumns;
  for (size_t i = 0; i < dims; i++) {
    for (size_t j = i + 1; j < dims; j++) {
      auto agrees = constB(false);
      auto silent = bop(Op::BOR, icmp(Compare::LE, fused.shape[i], constI(1)), icmp(Compare::LE, fused.shape[j], constI(1)));
      std::optional<ValueId> allSilent;
      for (auto& stream : fused.streams) {
        auto a = stream.strides[i], b = stream.strides[j];
        auto mute = bop(Op::BOR, silent, bop(Op::BOR, icmp(Compare::EQ, a, zero), icmp(Compare::EQ, b, zero)));
        agrees = bop(Op::BOR, agrees, bop(Op::BAND, bnot(mute), icmp(Compare::LE, magnitude(b), magnitude(a))));
        allSilent = allSilent ? bop(Op::BAND, *allSilent, mute) : mute;
      }
      auto keeps = bop(Op::BOR, agrees, *allSilent);
      auto swaps = bnot(keeps);
      allRows = allRows ? bop(Op::BAND, *allRows, keeps) : keeps;
      allColumns = allColumns ? bop(Op::BAND, *allColumns, swaps) : swaps;
    }
  }
  guard(bop(Op::BOR, *allRows, *allColumns), "arrays whose axes lie in an order that is neither C's nor Fortran's");
  std::vector<ValueId> strides;
  auto step = constI(bytesOf(fused.dtype));
  for (size_t i = 0; i < dims; i++) {
    strides.push_back(emit(Op::SELECT, {*allRows, rows[i], step}, {.prim = Prim::I}));
    step = iop(Op::MUL, step, fused.shape[i]);
  }
  return strides;
}

Value FunctionElaborator::materialise(const Value& value) {
  auto& fused = *value.fused;
  auto made = newArray(fused.dtype, fused.shape, resultStrides(fused));
  made.type = value.type;
  fill(made, fused, true);
  return made;
}

// ---- the loop ----------------------------------------------------------------------------------------------------------------

// `body` for 0 .. count - 1. Not for code that assigns variables: their types are not looked at.
void FunctionElaborator::counted(ValueId count, bool polls, const std::function<void(ValueId at)>& body) {
  instance.hasLoop = true;
  auto slot = newSlot(Prim::I);
  emitVoid(Op::STORE, {constI(0)}, {.imm = slot});
  auto exit = labelCount++, head = labelCount++;
  auto* before = out;
  auto open = [&](Instruction& one) {
    one.bodies.push_back(&unit.blocks.emplace_back());
    return one.bodies.back();
  };
  auto jumpTo = [&](int64_t label) {
    auto& one = emitVoid(Op::JUMP, {}, {.imm = label});
    open(one);
  };
  out = open(emitVoid(Op::BLOCK, {}, {.imm = exit}));
  auto& loop = emitVoid(Op::LOOP, {}, {.imm = head});
  loop.anyOrder = anyOrder;
  out = open(loop);
  auto at = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = slot});
  auto& test = emitVoid(Op::IF, {icmp(Compare::LT, at, count)});
  auto* then = open(test);
  out = open(test);
  jumpTo(exit);
  out = then;
  body(at);
  emitVoid(Op::STORE, {iop(Op::ADD, at, constI(1))}, {.imm = slot});
  if (polls) emitVoid(Op::POLL, {}, {.guard = "interrupted"});
  jumpTo(head);
  out = before;
}

// One iteration per element, in row order; `use` takes the elements' addresses.
void FunctionElaborator::loopNest(const std::vector<Stream>& streams, const std::vector<ValueId>& counts, bool contiguous,
                                  const std::function<void(const std::vector<ValueId>& addresses)>& use) {
  auto dims = counts.size();
  auto advance = [&](ValueId pointer, ValueId at, ValueId stride) {
    return emit(Op::POINTER_ADD, {pointer, iop(Op::MUL, at, stride)}, {.prim = Prim::P});
  };
  std::function<void(size_t, std::vector<ValueId>)> nest = [&](size_t dim, std::vector<ValueId> pointers) {
    if (dim + 1 < dims) {
      return counted(counts[dim], false, [&](ValueId at) {
        auto next = pointers;
        for (size_t i = 0; i < streams.size(); i++) next[i] = advance(pointers[i], at, streams[i].strides[dim]);
        nest(dim + 1, next);
      });
    }
    auto chunks = iop(Op::SHR, iop(Op::ADD, counts[dim], constI(CHUNK - 1)), constI(CHUNK_BITS));
    counted(chunks, true, [&](ValueId chunk) {
      auto from = iop(Op::MUL, chunk, constI(CHUNK));
      auto left = iop(Op::SUB, counts[dim], from);
      auto count = emit(Op::SELECT, {icmp(Compare::LT, left, constI(CHUNK)), left, constI(CHUNK)}, {.prim = Prim::I});
      std::vector<ValueId> bases, steps;
      for (size_t i = 0; i < streams.size(); i++) {
        steps.push_back(contiguous ? constI(bytesOf(streams[i].dtype)) : streams[i].strides[dim]);
        bases.push_back(advance(pointers[i], from, steps[i]));
      }
      counted(count, false, [&](ValueId at) {
        std::vector<ValueId> addresses;
        for (size_t i = 0; i < streams.size(); i++) addresses.push_back(advance(bases[i], at, steps[i]));
        use(addresses);
      });
    });
  };
  std::vector<ValueId> pointers;
  for (auto& stream : streams) pointers.push_back(stream.pointer);
  nest(0, pointers);
}

Value FunctionElaborator::loadElement(DType dtype, ValueId address) {
  auto type = types.scalar(dtype);
  if (isComplex(dtype)) {
    auto part = partOf(dtype);
    auto real = loadElement(part, address).leaves[0];
    return complex({real, loadElement(part, behind(address, part)).leaves[0]}, dtype);
  }
  return {type, {emit(Op::ARRAY_LOAD, {address}, {.prim = types.leaves(type)[0], .imm = static_cast<int64_t>(dtype)})}};
}

ValueId FunctionElaborator::behind(ValueId address, DType dtype) {
  return emit(Op::POINTER_ADD, {address, constI(bytesOf(dtype))}, {.prim = Prim::P});
}

void FunctionElaborator::storeAt(ValueId address, const Value& element, DType dtype) {
  auto part = isComplex(dtype) ? partOf(dtype) : dtype;
  emitVoid(Op::ARRAY_STORE, {address, element.leaves[0]}, {.imm = static_cast<int64_t>(part)});
  if (isComplex(dtype))
    emitVoid(Op::ARRAY_STORE, {behind(address, part), element.leaves[1]}, {.imm = static_cast<int64_t>(part)});
}

// Of two of one type.
Value FunctionElaborator::selectElement(ValueId condition, const Value& yes, const Value& no) {
  Value result{yes.type, {}};
  auto prims = types.leaves(yes.type);
  for (size_t i = 0; i < prims.size(); i++)
    result.leaves.push_back(emit(Op::SELECT, {condition, yes.leaves[i], no.leaves[i]}, {.prim = prims[i]}));
  return result;
}

Value FunctionElaborator::loadFused(const Fused& fused, const std::vector<ValueId>& addresses) {
  std::vector<Value> items;
  for (size_t i = 0; i < fused.streams.size(); i++) items.push_back(loadElement(fused.streams[i].dtype, addresses[i]));
  return settleChecks(castElement(settleChecks(fused.compute(items.data())), fused.dtype));
}

// The loop in two versions: rows without gaps have unit steps for the vector unit; arrays without gaps are one row. `again`: what
// was read is still as it was, so that a second run may find out which results numpy warns about; without it all of them count.
void FunctionElaborator::elementLoop(const Fused& fused, const std::vector<Stream>& streams, bool again,
                                     const ElementUse& use) {
  auto dims = fused.shape.size();
  std::optional<ValueId> contiguous, flat;
  for (auto& stream : streams) {
    auto expected = rowMajor(stream.dtype, fused.shape);
    for (size_t i = 0; i < dims; i++) {
      auto fits = icmp(Compare::EQ, stream.strides[i], expected[i]);
      flat = flat ? bop(Op::BAND, *flat, fits) : fits;
      if (i + 1 == dims) contiguous = contiguous ? bop(Op::BAND, *contiguous, fits) : fits;
    }
  }
  auto counts = fused.shape;
  if (dims > 1 && flat) {
    auto size = sizeOf(fused.shape);
    for (size_t i = 0; i < dims; i++) {
      counts[i] = emit(Op::SELECT, {*flat, i + 1 == dims ? size : constI(1), counts[i]}, {.prim = Prim::I});
    }
  }
  // One flag instead of a branch per element.
  auto flag = newSlot(Prim::B);
  emitVoid(Op::STORE, {constB(false)}, {.imm = flag});
  bool checks = false;
  auto run = [&](bool unitSteps) {
    std::vector<ValueId> deferred;
    auto* outer = std::exchange(deferredChecks, &deferred);
    // New memory has a place for each element; a row of the caller's has, where it steps from one to the next.
    anyOrder = again || (unitSteps && dims == 1);
    loopNest(streams, counts, unitSteps, [&](const std::vector<ValueId>& addresses) {
      use(loadFused(fused, addresses), addresses);
      if (deferred.empty()) return;
      checks = true;
      auto bad = emit(Op::LOAD, {}, {.prim = Prim::B, .imm = flag});
      for (auto last : deferred) {
        bad = bop(Op::BOR, bad, bnot(fcmp(Compare::LT, fop1(Op::FABS, last), constF(__builtin_inf()))));
      }
      emitVoid(Op::STORE, {bad}, {.imm = flag});
      deferred.clear();
    });
    deferredChecks = outer;
    anyOrder = false;
  };
  if (contiguous) {
    branch(
        *contiguous, [&] { run(true); }, [&] { run(false); });
  } else {
    run(true);
  }
  if (!checks) return;
  auto bad = emit(Op::LOAD, {}, {.prim = Prim::B, .imm = flag});
  if (!again) return guard(bnot(bad), "numpy may warn (a result is not finite)");
  branch(
      bad,
      [&] {
        auto* outer = std::exchange(deferredChecks, nullptr);
        loopNest(streams, fused.shape, false, [&](const std::vector<ValueId>& addresses) { loadFused(fused, addresses); });
        deferredChecks = outer;
      },
      [] {});
}

void FunctionElaborator::fill(const Value& target, const Fused& fused, bool again) {
  auto streams = fused.streams;
  auto dtype = dtypeOf(target);
  streams.push_back({dtype, target.leaves[0], {}});
  for (size_t i = 0; i < fused.shape.size(); i++) streams.back().strides.push_back(arrayStride(target, i));
  elementLoop(fused, streams, again, [&](const Value& element, const std::vector<ValueId>& addresses) {
    auto stored = settleChecks(castElement(element, dtype));
    storeAt(addresses.back(), stored, dtype);
  });
}

// A stream that reads what the target holds, element for element, or nothing of it.
ValueId FunctionElaborator::isApart(const Stream& stream, const Value& target) {
  auto shape = shapeOf(target);
  auto zero = constI(0);
  auto extent = [&](ValueId pointer, const std::vector<ValueId>& strides, DType dtype) {
    auto low = emit(Op::TO_BITS, {pointer}, {.prim = Prim::I}), high = low;
    for (size_t i = 0; i < shape.size(); i++) {
      auto reach = iop(Op::MUL, iop(Op::SUB, shape[i], constI(1)), strides[i]);
      auto falls = icmp(Compare::LT, strides[i], zero);
      low = iop(Op::ADD, low, emit(Op::SELECT, {falls, reach, zero}, {.prim = Prim::I}));
      high = iop(Op::ADD, high, emit(Op::SELECT, {falls, zero, reach}, {.prim = Prim::I}));
    }
    return std::pair(low, iop(Op::ADD, high, constI(bytesOf(dtype))));
  };
  std::vector<ValueId> strides{target.leaves.begin() + 1 + shape.size(), target.leaves.end()};
  auto [lowA, highA] = extent(stream.pointer, stream.strides, stream.dtype);
  auto [lowB, highB] = extent(target.leaves[0], strides, dtypeOf(target));
  auto apart = bop(Op::BOR, icmp(Compare::LE, highA, lowB), icmp(Compare::LE, highB, lowA));
  if (stream.dtype != dtypeOf(target)) return apart;
  auto same = icmp(Compare::EQ, emit(Op::TO_BITS, {stream.pointer}, {.prim = Prim::I}),
                   emit(Op::TO_BITS, {target.leaves[0]}, {.prim = Prim::I}));
  for (size_t i = 0; i < shape.size(); i++) same = bop(Op::BAND, same, icmp(Compare::EQ, stream.strides[i], strides[i]));
  return bop(Op::BOR, apart, same);
}

// The elements of `value` as the target's shape has them; a dimension of one is repeated.
Fused FunctionElaborator::broadcastTo(const Value& target, const Value& value) {
  auto dims = types[target.type].dims;
  auto fused = fusedOf(value);
  if (fused.shape.size() > dims) decline("assigning an array of more dimensions is not compiled");
  auto one = constI(1);
  auto shape = shapeOf(target);
  auto missing = dims - fused.shape.size();
  if (value.fused) keepsElements(fused.shape, shape);
  std::vector<ValueId> repeats;
  for (size_t i = 0; i < fused.shape.size(); i++) {
    auto isOne = icmp(Compare::EQ, fused.shape[i], one);
    guard(bop(Op::BOR, icmp(Compare::EQ, fused.shape[i], shape[missing + i]), isOne),
          "ValueError: the shapes do not broadcast");
    repeats.push_back(isOne);
  }
  for (auto& stream : fused.streams) {
    std::vector<ValueId> strides(missing, constI(0));
    for (size_t i = 0; i < repeats.size(); i++) {
      strides.push_back(emit(Op::SELECT, {repeats[i], constI(0), stream.strides[i]}, {.prim = Prim::I}));
    }
    stream.strides = strides;
  }
  fused.shape = shape;
  return fused;
}

// target[...] = value. What overlaps is computed apart first, as numpy does.
void FunctionElaborator::assignArray(const Value& target, const Value& value) {
  types.mark(types[target.type].ref, &Site::written);
  if (!isArray(value) && !isNumeric(value.type))
    decline("assigning " + types.show(value.type) + " to an array is not compiled");
  auto fused = broadcastTo(target, isArray(value) ? value : storable(value, dtypeOf(target)));
  if (!isArray(value)) fused.dtype = dtypeOf(target);
  auto apart = constB(true);
  for (size_t i = 0; i < fused.streams.size(); i++) {
    auto one = isApart(fused.streams[i], target);
    apart = i ? bop(Op::BAND, apart, one) : one;
  }
  branch(
      apart, [&] { fill(target, fused, false); },
      [&] {
        auto copy = newArray(fused.dtype, fused.shape);
        fill(copy, fused, true);
        fill(target, fusedOf(copy), false);
        if (auto slot = slotOfArray.find(copy.leaves[0]); slot != slotOfArray.end())
          emitVoid(Op::ARRAY_FREE, {copy.leaves[0]}, {.imm = slot->second});
      });
}

}  // namespace epochly::program

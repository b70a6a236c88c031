// The loop over the elements of arrays, and assignment to whole arrays.
#include <utility>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

namespace {

// Elements between two looks for Ctrl-C: about 10 us of work, and enough for vector code.
constexpr int64_t CHUNK_BITS = 13, CHUNK = int64_t(1) << CHUNK_BITS;

}  // namespace

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

// The memory of arrays: how results lie in it, and who may take it again.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

namespace {

// A call's memory is bounded by a GiB; squared it is far from 64 bits.
constexpr int64_t ELEMENTS_MAX = int64_t(1) << 30;

}  // namespace

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

}  // namespace epochly::program

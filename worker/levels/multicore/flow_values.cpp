// What the instructions of a walk compute, and what memory they touch.
#include "levels/multicore/flow.h"

namespace epochly::multicore {

using program::Compare;
using program::Instruction;
using program::Op;
using program::Prim;
using program::ValueId;

PolyPtr Flow::load(const Instruction& one) {
  auto slot = static_cast<uint32_t>(one.imm);
  for (auto index : open) {
    auto& loop = all[index];
    if (state[slot].stale & loop.bit) loop.headReads.try_emplace(slot, &one);
  }
  slotUsersOf[slot].push_back(&one);
  slotValues[&one] = state[slot].value;
  return state[slot].value;
}

void Flow::store(const Instruction& one) {
  auto slot = static_cast<uint32_t>(one.imm);
  slotUsersOf[slot].push_back(&one);
  slotValues[&one] = state[slot].value;
  auto value = values[one.args[0]];
  if (strideSlots.count(slot) && !(value->terms().size() == 1 && value->terms().begin()->first.size() == 1)) {
    auto [known, isNew] = strides.try_emplace(*value, 0);
    if (isNew) known->second = newSymbol({.kind = SymbolData::STRIDE, .loop = innermost(*value), .of = value});
    value = share(Poly::of(known->second));
  }
  state[slot] = {value, 0};
}

PolyPtr Flow::arithmetic(const Instruction& one) {
  auto& a = *values[one.args[0]];
  auto& b = *values[one.args.back()];
  switch (one.op) {
    case Op::ADD_CHECKED:
    case Op::ADD:
    case Op::POINTER_ADD: return share(a.plus(b));
    case Op::SUB_CHECKED:
    case Op::SUB: return share(a.minus(b));
    case Op::NEG_CHECKED: return share(Poly().minus(a));
    default: return share(a.times(b));
  }
}

// Python's index of a negative number: index + length where index < 0.
PolyPtr Flow::select(const Instruction& one) {
  auto below = comparisons(one.args[0]);
  auto& index = values[one.args[2]];
  if (one.prim != Prim::I || below.size() != 1 || below[0].compare != Compare::LT || !(*below[0].left == *index) ||
      !below[0].right->isConstant() || below[0].right->constantPart() != 0)
    return nullptr;
  if (index->isConstant() && index->constantPart() >= 0) return index;
  return fresh({.kind = SymbolData::WRAPPED, .loop = innermost(*index), .value = one.result, .hasValue = true, .of = index});
}

PolyPtr Flow::evaluate(const Instruction& one) {
  switch (one.op) {
    case Op::CONST_I: return share(Poly::constant(one.imm));
    case Op::LOAD: return load(one);
    case Op::ADD_CHECKED:
    case Op::ADD:
    case Op::SUB_CHECKED:
    case Op::SUB:
    case Op::NEG_CHECKED:
    case Op::MUL_CHECKED:
    case Op::MUL:
    case Op::POINTER_ADD: {
      auto result = arithmetic(one);
      return result->isTooLarge() ? nullptr : result;
    }
    case Op::ICMP:
      conditions[one.result] = {{static_cast<Compare>(one.imm), values[one.args[0]], values[one.args[1]]}};
      return nullptr;
    case Op::BAND: {
      auto both = comparisons(one.args[0]), right = comparisons(one.args[1]);
      both.insert(both.end(), right.begin(), right.end());
      if (!comparisons(one.args[0]).empty() && !right.empty()) conditions[one.result] = both;
      return nullptr;
    }
    case Op::SELECT: return select(one);
    case Op::LIST_LENGTH:
      return fresh(
          {.kind = SymbolData::LENGTH, .loop = here(), .value = one.result, .hasValue = true, .of = values[one.args[0]]});
    default: return nullptr;
  }
}

// ---- memory ------------------------------------------------------------------------------------------------------------------

void Flow::access(const Instruction& one, bool isWrite, PolyPtr address) {
  touched.push_back({&one, here(), isWrite, false, std::move(address), nullptr});
}

void Flow::accessList(const Instruction& one, bool isWrite, PolyPtr list, PolyPtr index) {
  touched.push_back({&one, here(), isWrite, true, std::move(list), std::move(index)});
}

// `pointer` and what lies any number of strides further.
PolyPtr Flow::anywhereAlong(PolyPtr pointer, std::vector<ValueId> along) {
  auto result = *pointer;
  for (auto stride : along) {
    auto steps = newSymbol({.kind = SymbolData::MERGED, .loop = here()});
    result = result.plus(Poly::of(steps).times(*values[stride]));
  }
  return share(std::move(result));
}

void Flow::touchUfunc(const Instruction& one) {
  for (size_t i = 1; i + 1 < one.args.size(); i += 2) {
    bool isLast = i + 2 >= one.args.size();
    access(one, isLast, anywhereAlong(values[one.args[i]], {one.args[i + 1]}));
  }
}

// args: a, b, c; m, n, p; byte strides of m and n in a, n and p in b, m and p in c.
void Flow::touchMatmul(const Instruction& one) {
  for (size_t i = 0; i < 3; i++)
    access(one, i == 2, anywhereAlong(values[one.args[i]], {one.args[6 + 2 * i], one.args[7 + 2 * i]}));
}

void Flow::touchCall(const Instruction& one) {
  for (auto index : open) all[index].calls.push_back(&one);
  bool isWrite = writes(static_cast<uint32_t>(one.imm));
  for (auto arg : one.args) {
    if (instance.values[arg] != Prim::P) continue;
    auto anywhere = newSymbol({.kind = SymbolData::MERGED, .loop = here()});
    access(one, isWrite, share(values[arg]->plus(Poly::of(anywhere))));
    accessList(one, isWrite, values[arg], nullptr);
  }
}

void Flow::touch(const Instruction& one) {
  switch (one.op) {
    case Op::ARRAY_LOAD:
    case Op::ARRAY_STORE: return access(one, one.op == Op::ARRAY_STORE, values[one.args[0]]);
    case Op::UFUNC: return touchUfunc(one);
    case Op::MATMUL: return touchMatmul(one);
    case Op::CALL: return touchCall(one);
    case Op::LIST_LOAD:
    case Op::LIST_STORE: return accessList(one, one.op == Op::LIST_STORE, values[one.args[0]], values[one.args[1]]);
    case Op::LIST_PUSH:
    case Op::LIST_POP:
    case Op::LIST_SORT: return accessList(one, true, values[one.args[0]], nullptr);
    case Op::LIST_LENGTH: return accessList(one, false, values[one.args[0]], nullptr);
    default: return;
  }
}

}  // namespace epochly::multicore

#include "levels/multicore/flow.h"

#include <algorithm>

#include "levels/program/decline.h"

namespace epochly::multicore {

using program::Block;
using program::Compare;
using program::Instruction;
using program::Op;
using program::Prim;
using program::ValueId;

namespace {

PolyPtr share(Poly poly) { return std::make_shared<const Poly>(std::move(poly)); }

bool keepsLengths(Op write) {
  return write == Op::LIST_STORE || write == Op::LIST_SORT || write == Op::ARRAY_STORE || write == Op::UFUNC;
}

void forEach(const Block& block, const std::function<void(const Instruction&)>& use) {
  for (auto* one : block.code) {
    use(*one);
    for (auto* body : one->bodies) forEach(*body, use);
  }
}

}  // namespace

Flow::Flow(program::Unit& unit, uint32_t index, WritesMemory writes)
    : unit(unit), instance(unit.instances[index]), writes(std::move(writes)) {
  values.resize(instance.values.size());
  makers.resize(instance.values.size());
  for (auto& array : instance.arrays) {
    for (uint32_t dim = 0; dim < array.dims; dim++) strideSlots.insert(array.slot + 1 + array.dims + dim);
  }
  state.resize(instance.slots.size());
  for (uint32_t slot = 0; slot < state.size(); slot++) {
    state[slot].value = fresh({.kind = SymbolData::MERGED, .isPointer = instance.slots[slot] == Prim::P, .slot = slot});
  }
  walk(*instance.body);
}

Symbol Flow::newSymbol(SymbolData data) {
  symbols.push_back(std::move(data));
  return symbols.size() - 1;
}

PolyPtr Flow::fresh(SymbolData data) { return share(Poly::of(newSymbol(std::move(data)))); }

bool Flow::isWithin(int loop, int outer) const {
  for (; loop >= 0; loop = all[loop].parent) {
    if (loop == outer) return true;
  }
  return false;
}

bool Flow::varies(Symbol symbol, const Loop& loop) const { return isWithin(symbols[symbol].loop, loop.index); }

bool Flow::varies(const Poly& poly, const Loop& loop) const {
  return std::any_of(poly.terms().begin(), poly.terms().end(), [&](auto& term) {
    return std::any_of(term.first.begin(), term.first.end(), [&](auto symbol) { return varies(symbol, loop); });
  });
}

int Flow::innermost(const Poly& poly) const {
  int result = -1;
  for (auto& [product, factor] : poly.terms()) {
    for (auto symbol : product) {
      if (result < 0 || isWithin(symbols[symbol].loop, result)) result = std::max(result, symbols[symbol].loop);
    }
  }
  return result;
}

bool Flow::isInside(const Instruction* one, const Loop& loop) const {
  auto at = positions.find(one);
  if (at == positions.end() || at->second <= loop.first || at->second > loop.last) return false;
  auto leaves = leavingAt.find(one);
  return leaves == leavingAt.end() || !(leaves->second & loop.bit);
}

std::vector<Comparison> Flow::comparisons(ValueId condition) const {
  auto found = conditions.find(condition);
  return found == conditions.end() ? std::vector<Comparison>() : found->second;
}

const std::vector<const Instruction*>& Flow::users(ValueId id) const {
  static const std::vector<const Instruction*> none;
  auto found = usersOf.find(id);
  return found == usersOf.end() ? none : found->second;
}

const std::vector<const Instruction*>& Flow::slotUsers(uint32_t slot) const {
  static const std::vector<const Instruction*> none;
  auto found = slotUsersOf.find(slot);
  return found == slotUsersOf.end() ? none : found->second;
}

bool Flow::isSame(ValueId a, ValueId b, const Loop& loop) const {
  if (a == b) return true;
  auto *one = makers[a], *other = makers[b];
  if (!one || !other || one->op != other->op || one->prim != other->prim || one->imm != other->imm ||
      one->fimm != other->fimm || one->text != other->text || one->args.size() != other->args.size())
    return false;
  switch (one->op) {
    case Op::LOAD: return *stateAt(one) == *stateAt(other);
    case Op::POINTER_ADD: break;
    case Op::ARRAY_LOAD:
    case Op::LIST_LOAD:
    case Op::LIST_LENGTH: {
      bool isLength = one->op == Op::LIST_LENGTH;
      bool isWritten = std::any_of(touched.begin(), touched.end(), [&](auto& access) {
        return access.isWrite && isInside(access.at, loop) && !(isLength && keepsLengths(access.at->op));
      });
      if (isWritten) return false;
      break;
    }
    default:
      if (program::familyOf(one->op) >= program::OpFamily::CONTROL || one->op == Op::ARG) return false;
  }
  for (size_t i = 0; i < one->args.size(); i++) {
    if (!isSame(one->args[i], other->args[i], loop)) return false;
  }
  return true;
}

std::string Flow::nameOf(uint32_t slot) const {
  return slot < instance.slotNames.size() ? instance.slotNames[slot] : std::string();
}

std::optional<Symbol> Flow::root(const Poly& address) const {
  std::optional<Symbol> found;
  for (auto& [product, factor] : address.terms()) {
    auto pointers = std::count_if(product.begin(), product.end(), [&](auto one) { return symbols[one].isPointer; });
    if (pointers == 0) continue;
    if (product.size() != 1 || factor != 1 || found) return {};
    found = product[0];
  }
  return found;
}

// ---- the walk ----------------------------------------------------------------------------------------------------------------

void Flow::walk(const Block& block) {
  for (auto* one : block.code) {
    if (!alive) return;
    positions.try_emplace(one, positions.size() + 1);
    if (leaving) leavingAt[one] = leaving;
    walk(*one);
  }
}

void Flow::walk(const Instruction& one) {
  for (auto arg : one.args) usersOf[arg].push_back(&one);
  switch (one.op) {
    case Op::IF: return walkIf(one);
    case Op::BLOCK:
      labels[one.imm] = {-1, open.size()};
      pending[one.imm] = std::nullopt;
      walk(*one.bodies[0]);
      if (alive) bring(pending[one.imm]);
      alive = pending[one.imm].has_value();
      if (alive) state = *pending[one.imm];
      return;
    case Op::LOOP: return walkLoop(one);
    case Op::JUMP: return jump(one);
    case Op::RETURN:
      leave(one, 0);
      alive = false;
      return;
    case Op::FAIL: alive = false; return;
    case Op::STORE: return store(one);
    default: break;
  }
  touch(one);
  if (one.results == 0) return;
  makers[one.result] = &one;
  for (uint32_t i = 0; i < one.results; i++) {
    auto id = one.result + i;
    values[id] = i == 0 ? evaluate(one) : nullptr;
    if (!values[id])
      values[id] = fresh({.kind = SymbolData::VALUE,
                          .loop = here(),
                          .value = id,
                          .hasValue = true,
                          .isPointer = instance.values[id] == Prim::P,
                          .isFresh = one.op == Op::ARRAY_NEW || one.op == Op::LIST_NEW,
                          .isArgument = one.op == Op::ARG});
  }
}

void Flow::walkIf(const Instruction& one) {
  auto before = state;
  walk(*one.bodies[0]);
  std::optional<State> after;
  if (alive) after = std::move(state);
  state = std::move(before);
  alive = true;
  walk(*one.bodies[1]);
  if (!after) return;
  if (alive) merge(*after, state);
  state = std::move(*after);
  alive = true;
}

void Flow::walkLoop(const Instruction& one) {
  if (all.size() >= LOOPS_MAX) throw program::Declined(one.line, "more than 64 loops in a function");
  int index = all.size();
  all.push_back({&one, index, here(), one.line, uint64_t(1) << index});
  all[index].first = positions[&one];
  all[index].entry = state;
  open.push_back(index);
  labels[one.imm] = {index, open.size()};
  forEach(*one.bodies[0], [&](const Instruction& inner) {
    auto slot = static_cast<uint32_t>(inner.imm);
    if (inner.op != Op::STORE || all[index].heads.count(slot)) return;
    auto symbol =
        newSymbol({.kind = SymbolData::HEAD, .loop = index, .isPointer = instance.slots[slot] == Prim::P, .slot = slot});
    all[index].heads[slot] = symbol;
    state[slot] = {share(Poly::of(symbol)), state[slot].stale | all[index].bit};
  });
  walk(*one.bodies[0]);
  all[index].last = positions.size();
  alive = false;  // the way out is a jump
  open.pop_back();
}

void Flow::leave(const Instruction& one, size_t loopsKept) {
  for (size_t i = loopsKept; i < open.size(); i++) all[open[i]].exits.push_back(&one);
}

// What a jump does on its way out of a loop is no part of that loop any more.
void Flow::jump(const Instruction& one) {
  auto [head, around] = labels.at(one.imm);
  leave(one, around);
  auto inside = open;
  open.resize(around);
  for (size_t i = around; i < inside.size(); i++) leaving |= all[inside[i]].bit;
  walk(*one.bodies[0]);
  leaving = 0;
  open = inside;
  if (head < 0) {
    bring(pending[one.imm]);
  } else if (all[head].back.empty()) {
    all[head].back = state;
  } else {
    merge(all[head].back, state);
  }
  alive = false;
}

void Flow::bring(std::optional<State>& target) {
  if (target) {
    merge(*target, state);
  } else {
    target = state;
  }
}

void Flow::merge(State& into, const State& other) {
  for (uint32_t slot = 0; slot < into.size(); slot++) {
    into[slot].stale |= other[slot].stale;
    if (into[slot].value == other[slot].value || *into[slot].value == *other[slot].value) continue;
    into[slot].value =
        fresh({.kind = SymbolData::MERGED, .loop = here(), .isPointer = instance.slots[slot] == Prim::P, .slot = slot});
  }
}

// ---- values ------------------------------------------------------------------------------------------------------------------

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

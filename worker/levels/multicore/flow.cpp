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

}  // namespace epochly::multicore

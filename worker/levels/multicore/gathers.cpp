#include "levels/multicore/gathers.h"

#include <algorithm>

namespace epochly::multicore {

using program::Instruction;
using program::Op;
using program::Prim;
using program::ValueId;

namespace {

// Both reach the same element: of an array by its address, of a list by its index.
bool reachSame(const Flow& flow, const Loop& loop, const Instruction& load, const Instruction& store) {
  if (load.imm != store.imm) return false;
  if (store.op == Op::ARRAY_STORE) return load.op == Op::ARRAY_LOAD && load.args[0] == store.args[0];
  return load.op == Op::LIST_LOAD && load.args[0] == store.args[0] && flow.isSame(load.args[1], store.args[1], loop);
}

// The load of the element that `store` adds to; null: it does something else.
const Instruction* countedBy(const Flow& flow, const Loop& loop, const Instruction& store) {
  bool isStore = store.op == Op::ARRAY_STORE || store.op == Op::LIST_STORE;
  auto* sum = isStore ? flow.maker(store.args.back()) : nullptr;
  if (!sum || (sum->op != Op::ADD && sum->op != Op::ADD_CHECKED) || flow.users(sum->result).size() != 1) return nullptr;
  for (size_t i = 0; i < 2; i++) {
    auto* load = flow.maker(sum->args[i]);
    auto& term = *flow.value(sum->args[1 - i]);
    if (!load || !reachSame(flow, loop, *load, store)) continue;
    if (term.isConstant() && term.constantPart() >= 0 && flow.users(load->result).size() == 1) return load;
  }
  return nullptr;
}

// It may point to a list, but not to one that has never been given away.
bool isAnother(const Flow& flow, const Poly& address) {
  auto root = flow.root(address);
  auto* maker = root && flow.symbol(*root).hasValue ? flow.maker(flow.symbol(*root).value) : nullptr;
  if (!maker) return false;
  return maker->op == Op::ARG || maker->op == Op::LIST_NEW || maker->op == Op::LIST_LOAD || maker->op == Op::CALL;
}

bool isAppend(const Instruction& one, ValueId list) {
  return one.op == Op::LIST_PUSH && one.args[0] == list && std::count(one.args.begin(), one.args.end(), list) == 1;
}

// Whether `user` leaves nobody else with the list `id`.
bool keeps(const Instruction& user, ValueId id) {
  switch (user.op) {
    case Op::LIST_PUSH: return isAppend(user, id);
    case Op::LIST_STORE: return user.args[2] != id;
    case Op::LIST_LENGTH:
    case Op::LIST_LOAD:
    case Op::LIST_POP:
    case Op::LIST_SORT:
    case Op::STORE:
    case Op::TO_BITS:
    case Op::RETURN: return true;
    default: return false;
  }
}

}  // namespace

bool countsOnly(const Flow& flow, const Loop& loop, const std::vector<const Access*>& reads,
                const std::vector<const Access*>& writes) {
  std::vector<const Instruction*> counted;
  for (auto* write : writes) {
    auto* load = countedBy(flow, loop, *write->at);
    if (!load) return false;
    counted.push_back(load);
  }
  return std::all_of(reads.begin(), reads.end(),
                     [&](auto* read) { return std::find(counted.begin(), counted.end(), read->at) != counted.end(); });
}

bool countsOnly(const Flow& flow, const Loop& loop, Symbol list, std::vector<std::pair<Symbol, Symbol>>& others) {
  if (flow.varies(list, loop)) return false;
  bool isOwn = flow.symbol(list).isFresh;
  std::vector<const Access*> reads, writes;
  for (auto& access : flow.accesses()) {
    if (!access.isList || !flow.isInside(access.at, loop)) continue;
    auto root = flow.root(*access.address);
    if (root == list) {
      if (access.at->op != Op::LIST_LENGTH) (access.isWrite ? writes : reads).push_back(&access);
    } else if (!root || flow.varies(*root, loop)) {
      if (!isOwn || !isAnother(flow, *access.address)) return false;
    } else if (!flow.symbol(*root).isFresh || !isOwn) {
      others.emplace_back(list, *root);
    }
  }
  for (ValueId id = 0; id < flow.valueCount(); id++) {
    if (!flow.value(id) || !flow.value(id)->is(list)) continue;
    for (auto* user : flow.users(id)) {
      if (flow.isInside(user, loop) && user->op != Op::STORE && user->op != Op::LIST_LENGTH && user->op != Op::LIST_LOAD &&
          user->op != Op::LIST_STORE)
        return false;
      if (isOwn && !keeps(*user, id)) return false;
    }
  }
  auto one = [](const Access* access) { return access->at->imm == int64_t(1) << 32; };  // an element is one leaf
  return std::all_of(writes.begin(), writes.end(), one) && countsOnly(flow, loop, reads, writes);
}

std::optional<int64_t> appendsOnly(const Flow& flow, const Loop& loop, Symbol list) {
  if (!flow.symbol(list).isFresh || flow.varies(list, loop)) return {};
  std::optional<int64_t> leaves;
  for (auto& access : flow.accesses()) {
    if (!access.isList || !flow.isInside(access.at, loop)) continue;
    if (flow.root(*access.address) != list) {
      if (!isAnother(flow, *access.address)) return {};
      continue;
    }
    if (access.at->op != Op::LIST_PUSH) return {};
    for (size_t i = 1; i < access.at->args.size(); i++) {
      if (flow.of().values[access.at->args[i]] == Prim::P) return {};  // it may lie in the memory of a chunk
    }
    leaves = access.at->imm;
  }
  for (ValueId id = 0; id < flow.valueCount(); id++) {
    if (!flow.value(id) || !flow.value(id)->is(list)) continue;
    for (auto* user : flow.users(id)) {
      if (!keeps(*user, id) || (flow.isInside(user, loop) && !isAppend(*user, id))) return {};
    }
  }
  return leaves;
}

}  // namespace epochly::multicore

#include "levels/multicore/reductions.h"

#include <algorithm>

namespace epochly::multicore {

using program::Compare;
using program::Instruction;
using program::Op;
using program::Prim;
using program::ValueId;

namespace {

struct NoReduction {};

// What an operation folds with; a difference folds the opposite in.
std::optional<Op> foldOf(Op op) {
  switch (op) {
    case Op::SUB_CHECKED: return Op::ADD_CHECKED;
    case Op::SUB: return Op::ADD;
    case Op::FSUB: return Op::FADD;
    case Op::ADD_CHECKED:
    case Op::ADD:
    case Op::MUL_CHECKED:
    case Op::MUL:
    case Op::AND:
    case Op::OR:
    case Op::XOR:
    case Op::BAND:
    case Op::BOR:
    case Op::FADD:
    case Op::FMUL: return op;
    default: return {};
  }
}

bool isDifference(Op op) { return op == Op::SUB_CHECKED || op == Op::SUB || op == Op::FSUB; }

Compare oppositeOf(Compare compare) {
  switch (compare) {
    case Compare::LT: return Compare::GE;
    case Compare::LE: return Compare::GT;
    case Compare::GT: return Compare::LE;
    case Compare::GE: return Compare::LT;
    case Compare::EQ: return Compare::NE;
    default: return Compare::EQ;
  }
}

// Directly: a store under a further condition is another thing.
bool isWithin(const program::Block& block, const Instruction* one) {
  return std::find(block.code.begin(), block.code.end(), one) != block.code.end();
}

// All of it is executed, or the call is given back.
bool isStraight(const program::Block& block) {
  return std::all_of(block.code.begin(), block.code.end(),
                     [&](auto* one) { return one->bodies.empty() || (one->op == Op::JUMP && one == block.code.back()); });
}

class Finder {
 public:
  Finder(const Flow& flow, const Loop& loop, uint32_t slot) : flow(flow), loop(loop), slot(slot) {
    found.prim = flow.of().slots[slot];
  }

  Reduction run() {
    std::vector<const Instruction*> loads, stores;
    for (auto* user : flow.slotUsers(slot)) {
      if (flow.isInside(user, loop)) (user->op == Op::LOAD ? loads : stores).push_back(user);
    }
    auto nothing = found;
    if (isExtreme(loads, stores)) return found;
    found = nothing;
    for (auto* load : loads) follow(load->result, flow.stateAt(load));
    for (auto* store : stores) {
      auto base = bases.find(store->args[0]);
      // The variable is still what it was when the operation read it.
      if (base == bases.end() || !(*base->second == *flow.stateAt(store))) throw NoReduction();
    }
    // total += total
    for (auto& [one, isSecond] : found.additions) {
      if (bases.count(one->args[isSecond ? 1 : 0])) throw NoReduction();
    }
    if (!isKnown) throw NoReduction();
    return found;
  }

 private:
  const Flow& flow;
  const Loop& loop;
  const uint32_t slot;
  Reduction found{};
  bool isKnown = false;
  std::map<ValueId, PolyPtr> bases;  // of totals: what the variable held where they began

  // Everything that is done with a value that is the variable, or has been folded into it.
  void follow(ValueId total, const PolyPtr& base) {
    bases[total] = base;
    for (auto* user : flow.users(total)) {
      if (!flow.isInside(user, loop)) throw NoReduction();
      if (user->op == Op::STORE && user->imm == slot) continue;
      if (user->op == Op::GUARD_WARNING) {
        found.warningGuard = user->guard;
        continue;
      }
      fold(*user, total);
      follow(user->result, base);
    }
  }
  void fold(const Instruction& one, ValueId total) {
    auto op = foldOf(one.op);
    if (!op || (isKnown && *op != found.op)) throw NoReduction();
    bool isFirst = one.args[0] == total;
    if (isFirst == (one.args[1] == total) || (isDifference(one.op) && !isFirst)) throw NoReduction();
    isKnown = true;
    found.op = *op;
    found.guard = one.guard;
    found.totals.insert(one.result);
    found.additions[&one] = isFirst;
  }

  // if x > best: best = x. Or best = max(best, x), where the store keeps what is there or replaces it.
  bool isExtreme(const std::vector<const Instruction*>& loads, const std::vector<const Instruction*>& stores) {
    if (stores.size() != 1) return false;
    found.store = stores[0];
    bool isTested = false;
    for (auto* load : loads) {
      auto& users = flow.users(load->result);
      if (users.empty()) continue;
      if (isTested || !(users.size() == 1 ? isReplaced(*load, *users[0]) : isChosen(*load, users))) return false;
      if (!(*flow.stateAt(load) == *flow.stateAt(found.store))) return false;
      isTested = true;
    }
    return isTested;
  }
  // What is compared with the variable; none: `test` compares otherwise.
  std::optional<ValueId> candidateOf(const Instruction& load, const Instruction& test) {
    if (test.op != Op::ICMP && test.op != Op::FCMP) return {};
    found.op = test.op;
    found.compare = static_cast<Compare>(test.imm);
    if (found.compare == Compare::EQ || found.compare == Compare::NE || test.args[0] == test.args[1]) return {};
    found.candidateFirst = test.args[1] == load.result;
    return test.args[found.candidateFirst ? 0 : 1];
  }
  bool isReplaced(const Instruction& load, const Instruction& test) {
    auto candidate = candidateOf(load, test);
    if (!candidate || flow.users(test.result).size() != 1) return false;
    auto* choice = flow.users(test.result)[0];
    if (choice->op != Op::IF) return false;
    found.block = choice->bodies[0];
    return isWithin(*found.block, found.store) && flow.isSame(*candidate, found.store->args[0], loop);
  }
  bool isChosen(const Instruction& load, const std::vector<const Instruction*>& users) {
    if (users.size() != 2) return false;
    auto* test = users[0]->op == Op::SELECT ? users[1] : users[0];
    auto* choice = users[0]->op == Op::SELECT ? users[0] : users[1];
    auto candidate = candidateOf(load, *test);
    if (!candidate || choice->op != Op::SELECT || choice->args[0] != test->result || found.store->args[0] != choice->result)
      return false;
    for (auto* user : flow.users(choice->result)) {
      if (user != found.store && flow.isInside(user, loop)) return false;
    }
    found.chosen = test->result;
    if (choice->args[2] == load.result) return flow.isSame(*candidate, choice->args[1], loop);
    // The candidate where the comparison does not hold: with floats that is where one of them is NaN, too.
    if (found.op != Op::ICMP || choice->args[1] != load.result) return false;
    found.isChosenFalse = true;
    found.compare = oppositeOf(found.compare);
    return flow.isSame(*candidate, choice->args[2], loop);
  }
};

}  // namespace

std::optional<Reduction> reductionOf(const Flow& flow, const Loop& loop, uint32_t slot) {
  try {
    return Finder(flow, loop, slot).run();
  } catch (NoReduction&) {
    return {};
  }
}

bool follows(const Flow& flow, const Loop& loop, uint32_t slot, const Reduction& extreme) {
  if (extreme.chosen || flow.of().slots[slot] == program::Prim::P) return false;
  const Instruction* only = nullptr;
  for (auto* user : flow.slotUsers(slot)) {
    if (!flow.isInside(user, loop)) continue;
    if (user->op != Op::STORE || only) return false;
    only = user;
  }
  return only && isWithin(*extreme.block, only) && isStraight(*extreme.block);
}

}  // namespace epochly::multicore

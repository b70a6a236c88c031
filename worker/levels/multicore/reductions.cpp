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
    if (isExtreme(loads, stores)) return found;
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

  // if x > best: best = x
  bool isExtreme(const std::vector<const Instruction*>& loads, const std::vector<const Instruction*>& stores) {
    if (stores.size() != 1) return false;
    const Instruction* choice = nullptr;
    for (auto* load : loads) {
      auto& users = flow.users(load->result);
      if (users.empty()) continue;
      if (choice || users.size() != 1) return false;
      auto* test = users[0];
      if ((test->op != Op::ICMP && test->op != Op::FCMP) || flow.users(test->result).size() != 1) return false;
      auto compare = static_cast<Compare>(test->imm);
      if (compare == Compare::EQ || compare == Compare::NE) return false;
      choice = flow.users(test->result)[0];
      if (choice->op != Op::IF || !isWithin(*choice->bodies[0], stores[0])) return false;
      found.op = test->op;
      found.compare = compare;
      found.candidateFirst = test->args[1] == load->result;
      auto candidate = test->args[found.candidateFirst ? 0 : 1];
      if (!(*flow.value(candidate) == *flow.value(stores[0]->args[0]))) return false;
      if (!(*flow.stateAt(load) == *flow.stateAt(stores[0]))) return false;
    }
    return choice != nullptr;
  }
  // Directly: a store under a further condition is another thing.
  static bool isWithin(const program::Block& block, const Instruction* one) {
    return std::find(block.code.begin(), block.code.end(), one) != block.code.end();
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

}  // namespace epochly::multicore

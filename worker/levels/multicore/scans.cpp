#include "levels/multicore/scans.h"

#include <algorithm>
#include <set>

namespace epochly::multicore {

using program::Block;
using program::Instruction;
using program::Op;
using program::ValueId;

namespace {

// What an iteration computes from what the one before it left in one variable.
class Dependence {
 public:
  Dependence(const Flow& flow, const Loop& loop, uint32_t slot) : slot(slot), slots{slot} {
    findMemory(flow, loop);
    do {
      hasGrown = false;
      walk(*loop.loop->bodies[0], false);
    } while (hasGrown);  // an inner loop reads what stands below it
  }
  bool contains(ValueId id) const { return values.count(id); }
  // The variable decides whether it is assigned, or where the iteration goes on.
  bool isOfControl() const { return decides; }

 private:
  const uint32_t slot;
  std::set<uint32_t> slots;
  std::set<ValueId> values;
  bool decides = false;
  bool hasGrown = false;

  // Whatever is read of memory that the loop writes, or that may be such.
  void findMemory(const Flow& flow, const Loop& loop) {
    std::set<Symbol> written;
    bool anywhere = false;
    for (auto& access : flow.accesses()) {
      if (!access.isWrite || !flow.isInside(access.at, loop)) continue;
      auto root = flow.root(*access.address);
      root ? (void)written.insert(*root) : (void)(anywhere = true);
    }
    for (auto& access : flow.accesses()) {
      if (access.isWrite || !flow.isInside(access.at, loop)) continue;
      auto root = flow.root(*access.address);
      if (root ? anywhere || written.count(*root) : anywhere || !written.empty()) addResults(*access.at);
    }
  }
  void addResults(const Instruction& one) {
    for (uint32_t i = 0; i < one.results; i++) hasGrown |= values.insert(one.result + i).second;
  }
  void walk(const Block& block, bool underIt) {
    for (auto* one : block.code) walk(*one, underIt);
  }
  void walk(const Instruction& one, bool underIt) {
    bool reads = one.op == Op::LOAD && slots.count(one.imm);
    bool depends = reads || std::any_of(one.args.begin(), one.args.end(), [&](auto arg) { return contains(arg); });
    if (depends) addResults(one);
    if (one.op == Op::STORE && (depends || underIt)) hasGrown |= slots.insert(one.imm).second;
    decides |= underIt && (one.op == Op::JUMP || (one.op == Op::STORE && one.imm == slot));
    for (auto* body : one.bodies) walk(*body, underIt || (one.op == Op::IF && depends));
  }
};

// The load of `slot` that `total` is, or to which it adds what does not depend on it; null: it is something else.
const Instruction* startOf(const Flow& flow, const Dependence& dependence, uint32_t slot, ValueId total) {
  auto* maker = flow.maker(total);
  if (!maker) return nullptr;
  if (maker->op == Op::LOAD) return maker->imm == slot ? maker : nullptr;
  if (maker->op != Op::FADD && maker->op != Op::FSUB) return nullptr;
  bool isFirst = dependence.contains(maker->args[0]);
  if (isFirst == dependence.contains(maker->args[1]) || (maker->op == Op::FSUB && !isFirst)) return nullptr;
  return startOf(flow, dependence, slot, maker->args[isFirst ? 0 : 1]);
}

}  // namespace

bool isRunningTotal(const Flow& flow, const Loop& loop, uint32_t slot) {
  Dependence dependence(flow, loop, slot);
  if (dependence.isOfControl()) return false;
  auto& users = flow.slotUsers(slot);
  return std::all_of(users.begin(), users.end(), [&](auto* one) {
    if (one->op != Op::STORE || !flow.isInside(one, loop)) return true;
    auto* start = startOf(flow, dependence, slot, one->args[0]);
    return start && flow.isInside(start, loop) && *flow.stateAt(start) == *flow.stateAt(one);
  });
}

}  // namespace epochly::multicore

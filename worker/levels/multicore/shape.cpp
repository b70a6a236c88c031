#include "levels/multicore/shape.h"

#include <algorithm>

#include "levels/multicore/judge.h"
#include "levels/multicore/scans.h"

namespace epochly::multicore {

using program::Op;
using program::Prim;

Judge::Judge(Flow& flow, const Loop& loop, bool reorders) : flow(flow), loop(loop), reorders(reorders) {
  for (size_t i = 0; i < flow.loops().size(); i++) {
    auto at = flow.loops()[i].index;
    trips[at] = flow.newSymbol({.kind = SymbolData::TRIP, .loop = at});
  }
}

Verdict Judge::run() {
  verdict.shape.line = loop.line;
  verdict.shape.function = flow.of().name;
  for (int outer = loop.parent; outer >= 0; outer = flow.loops()[outer].parent) verdict.shape.depth++;
  try {
    findTest();
    checkCalls();
    giveRoles();
    countTrips();
    checkLists();
    checkArrays();
    verdict.shape.kind = loop.loop->anyOrder ? "elementwise" : "map";
    for (auto& role : verdict.roles) {
      if (role.how == SlotRole::REDUCED) verdict.shape.kind = "reduction";
    }
    for (auto& one : verdict.gathered) verdict.shape.kind = one.kind == program::FoldKind::APPEND ? "list" : "histogram";
    verdict.shape.splits = true;
  } catch (NotIndependent& why) {
    verdict.shape.kind = why.kind;
    verdict.shape.reason = why.reason;
    verdict.shape.reasonLine = why.line;
  }
  return std::move(verdict);
}

void Judge::decline(uint32_t line, std::string reason, std::string kind) const {
  throw NotIndependent{line ? line : loop.line, std::move(kind), std::move(reason)};
}

std::string Judge::quoted(uint32_t slot) const {
  auto name = flow.nameOf(slot);
  return name.empty() ? "a value" : "'" + name + "'";
}

bool Judge::isReadOutside(uint32_t slot) const {
  auto& users = flow.slotUsers(slot);
  return std::any_of(users.begin(), users.end(),
                     [&](auto* one) { return one->op == Op::LOAD && !flow.isInside(one, loop); });
}

std::optional<Poly> Judge::stepOf(const Loop& of, uint32_t slot) const {
  if (of.back.empty()) return {};
  auto step = of.back[slot].value->minus(Poly::of(of.heads.at(slot)));
  if (flow.varies(step, of)) return {};
  return step;
}

std::optional<uint32_t> Judge::leaderOf(uint32_t slot) const {
  for (auto& [other, read] : loop.headReads) {
    auto reduction = loop.heads.count(other) ? reductionOf(flow, loop, other) : std::nullopt;
    if (reduction && reduction->isExtreme() && follows(flow, loop, slot, *reduction)) return other;
  }
  return {};
}

std::string Judge::whyCarried(uint32_t slot) const {
  bool keepsOrder = !reorders && flow.of().slots[slot] == Prim::F;
  if (keepsOrder && isRunningTotal(flow, loop, slot))
    return "it reads the running total " + quoted(slot) +
           " on the way, whose floats several cores would add up in another order: other bits";
  return "it reads " + quoted(slot) + " as the iteration before left it";
}

void Judge::giveRoles() {
  for (auto [slot, head] : loop.heads) {
    auto& back = loop.back[slot];
    bool isLive = isReadOutside(slot);
    if (auto step = stepOf(loop, slot); step && flow.of().slots[slot] == Prim::I) {
      if (!canKnow(*step)) decline(0, quoted(slot) + " steps by what is not known before the loop", "carried");
      verdict.roles.push_back({slot, SlotRole::STEPS, *step, isLive});
      continue;
    }
    if (back.value->is(head)) {
      verdict.roles.push_back({slot, SlotRole::KEEPS});
      continue;
    }
    auto read = loop.headReads.find(slot);
    if (auto reduction = read == loop.headReads.end() ? std::nullopt : reductionOf(flow, loop, slot)) {
      bool isOfFloats = reduction->isOfFloats();
      (reorders ? verdict.shape.isFixed : verdict.shape.isOrdered) |= isOfFloats;
      verdict.roles.push_back({slot, SlotRole::REDUCED, {}, isLive, std::move(reduction)});
      continue;
    }
    if (read != loop.headReads.end()) decline(read->second->line, whyCarried(slot), "carried");
    bool keeps = back.stale & loop.bit;
    if (auto leader = isLive && keeps ? leaderOf(slot) : std::nullopt) {
      verdict.roles.push_back({.slot = slot, .how = SlotRole::FOLLOWS, .isLive = true, .leader = *leader});
      continue;
    }
    if (isLive && keeps) decline(0, quoted(slot) + " is assigned in some iterations and read after the loop", "carried");
    if (isLive && flow.of().slots[slot] == Prim::P)
      decline(0, quoted(slot) + " holds an array or a list of the last iteration and is read after the loop", "carried");
    verdict.roles.push_back({slot, SlotRole::PRIVATE, {}, isLive});
  }
}

Verdict judge(Flow& flow, const Loop& loop, bool reorders) { return Judge(flow, loop, reorders).run(); }

}  // namespace epochly::multicore

#include "levels/multicore/cut.h"

#include <algorithm>
#include <array>
#include <map>

#include "levels/multicore/chunk.h"
#include "levels/multicore/conditions.h"

namespace epochly::multicore {

using program::Block;
using program::Compare;
using program::FoldKind;
using program::Instance;
using program::Instruction;
using program::Op;
using program::Prim;
using program::Type;
using program::Unit;
using program::ValueId;

namespace {

class Cut {
 public:
  Cut(Unit& unit, uint32_t instanceIndex, const Flow& flow, const Loop& loop, const Verdict& verdict, size_t number)
      : unit(unit),
        instanceIndex(instanceIndex),
        flow(flow),
        loop(loop),
        verdict(verdict),
        number(number),
        original(const_cast<Instruction*>(loop.loop)),
        build(unit, unit.instances[instanceIndex], unit.blocks.emplace_back()),
        conditions(build, flow, loop, verdict) {}

  // What stands in the loop's place.
  std::vector<Instruction*> run() {
    auto& before = build.newBlock();
    build.goOnIn(before);
    capture();
    auto chunk = makeChunk(unit, instance(), flow, loop, verdict, exchange);
    auto count = conditions.tripCount();
    auto holds = conditions.hold(count);
    auto worth = build.value(Op::WORTH_SPLITTING, Prim::B, {count}, number);
    auto& choice = build.add(Op::IF, {build.both(holds, worth)});
    auto &parallel = build.newBlock(), &sequential = build.newBlock();
    choice.bodies = {&parallel, &sequential};
    sequential.code.push_back(original);
    build.goOnIn(parallel);
    runChunks(chunk, count);
    return before.code;
  }

 private:
  Unit& unit;
  const uint32_t instanceIndex;
  const Flow& flow;
  const Loop& loop;
  const Verdict& verdict;
  const size_t number;
  Instruction* const original;
  Builder build;
  Conditions conditions;
  Exchange exchange;

  Instance& instance() { return unit.instances[instanceIndex]; }
  uint32_t newSlot(Prim prim) {
    instance().slots.push_back(prim);
    return instance().slots.size() - 1;
  }
  Extreme* extremeOf(uint32_t slot) {
    auto found =
        std::find_if(exchange.extremes.begin(), exchange.extremes.end(), [&](auto& one) { return one.role->slot == slot; });
    return found == exchange.extremes.end() ? nullptr : &*found;
  }

  void capture() {
    std::vector<char> made(instance().values.size()), taken(instance().values.size());
    std::map<uint32_t, bool> slots;
    forEachInstruction(*original->bodies[0], [&](Instruction& one) {
      for (uint32_t i = 0; i < one.results; i++) made[one.result + i] = true;
    });
    forEachInstruction(*original->bodies[0], [&](Instruction& one) {
      for (auto arg : one.args) {
        if (!made[arg] && !taken[arg]) exchange.values.push_back(arg);
        taken[arg] = true;
      }
      if (one.op == Op::LOAD && !loop.heads.count(one.imm)) slots[one.imm] = true;
    });
    auto isList = [&](ValueId id) { return listOf(verdict, flow.value(id)) != nullptr; };
    std::copy_if(exchange.values.begin(), exchange.values.end(), std::back_inserter(exchange.listValues), isList);
    std::erase_if(exchange.values, isList);
    for (auto& role : verdict.roles) {
      bool isFolded = role.how == SlotRole::REDUCED && !role.reduction->isExtreme();
      if (role.how != SlotRole::PRIVATE && !isFolded) slots[role.slot] = true;
      if (role.how == SlotRole::STEPS) exchange.values.push_back(exchange.steps[role.slot] = conditions.compute(role.step));
      if (role.how == SlotRole::PRIVATE && role.isLive) exchange.lastValues.push_back(role.slot);
      if (role.how == SlotRole::REDUCED) (isOrdered(role) ? exchange.ordered : exchange.partial).push_back(&role);
      if (role.how == SlotRole::REDUCED && role.reduction->isExtreme())
        exchange.extremes.push_back({&role, newSlot(Prim::B), {}});
    }
    for (auto& role : verdict.roles) {
      if (role.how == SlotRole::FOLLOWS) extremeOf(role.leader)->followers.push_back(role.slot);
    }
    for (auto& one : verdict.gathered) {
      if (one.kind == FoldKind::COUNTERS) slots[one.array.slot + 1] = true;  // how many
      if (one.kind != FoldKind::LIST_COUNTERS) continue;
      exchange.lengths[one.list] = build.value(Op::LIST_LENGTH, Prim::I, {conditions.compute(one.list)});
      exchange.values.push_back(exchange.lengths[one.list]);
    }
    for (auto& [slot, wanted] : slots) exchange.slots.push_back(slot);
  }

  // ---- on several cores ----------------------------------------------------------------------------------------------------------
  bool isOrdered(const SlotRole& role) const { return role.reduction->isOfFloats() && !verdict.shape.isFixed; }
  size_t leaves() const { return exchange.slotsLeft().size() + exchange.ordered.size() + verdict.gathered.size(); }

  void runChunks(uint32_t chunk, ValueId count) {
    std::vector<ValueId> args{count};
    for (auto slot : exchange.slots) args.push_back(build.load(slot));
    args.insert(args.end(), exchange.values.begin(), exchange.values.end());
    for (auto* role : exchange.ordered) args.insert(args.end(), {build.load(role->slot), build.constI(0), build.constI(0)});
    for (auto& one : verdict.gathered) {
      auto target = targetOf(one);
      args.insert(args.end(), target.begin(), target.end());
    }
    auto parts = build.value(Op::PARALLEL, Prim::P, std::move(args), static_cast<int64_t>(number) << 32 | chunk);
    build.last().results += exchange.ordered.size();
    for (auto* role : exchange.ordered) {
      instance().values.push_back(Prim::F);
      build.store(role->slot, instance().values.size() - 1);
      guardWarning(*role);
    }
    auto chunks = build.value(Op::ARRAY_LOAD, Prim::I, {parts}, static_cast<int64_t>(program::DType::I64));
    auto first = build.value(Op::POINTER_ADD, Prim::P, {parts, build.constI(8)});
    auto stride = build.constI(8 * leaves());
    auto offset = build.integer(Op::MUL, build.integer(Op::SUB, chunks, build.constI(1)), stride);
    auto last = build.value(Op::POINTER_ADD, Prim::P, {first, offset});
    for (size_t i = 0; i < exchange.lastValues.size(); i++)
      build.store(exchange.lastValues[i], partAt(last, i, exchange.lastValues[i]));
    if (!exchange.partial.empty()) foldParts(first, chunks, stride);
    for (auto& role : verdict.roles) {
      if (role.how != SlotRole::STEPS) continue;
      auto way = build.integer(Op::MUL, exchange.steps[role.slot], count);
      build.store(role.slot, build.integer(Op::ADD, build.load(role.slot), way));
    }
    for (auto* one : copyOf(unit, *verdict.test->bodies[1]).code) build.append(one);
  }
  // See FoldKind.
  std::array<ValueId, program::FOLD_LEAVES> targetOf(const Gathered& one) {
    if (one.kind == FoldKind::COUNTERS)
      return {build.load(one.array.slot), build.load(one.array.slot + 1), build.load(one.array.slot + 2)};
    return {conditions.compute(one.list), build.constI(one.leaves), build.constI(0)};
  }
  // A loop over what the chunks have folded, in their order.
  void foldParts(ValueId first, ValueId chunks, ValueId stride) {
    auto counter = newSlot(Prim::I);
    build.store(counter, build.constI(0));
    auto around = nextLabel(), head = around + 1;
    auto& after = build.current();
    auto& outside = build.add(Op::BLOCK, {}, around);
    outside.bodies = {&build.newBlock()};
    build.goOnIn(*outside.bodies[0]);
    auto& again = build.add(Op::LOOP, {}, head);
    again.bodies = {&build.newBlock()};
    build.goOnIn(*again.bodies[0]);
    auto at = build.load(counter);
    auto& test = build.add(Op::IF, {build.compare(Compare::LT, at, chunks)});
    test.bodies = {&build.newBlock(), &build.newBlock()};
    build.goOnIn(*test.bodies[1]);
    build.add(Op::JUMP, {}, around).bodies = {&build.newBlock()};
    build.goOnIn(*test.bodies[0]);
    auto part = build.value(Op::POINTER_ADD, Prim::P, {first, build.integer(Op::MUL, at, stride)});
    std::map<uint32_t, ValueId> left;
    auto slots = exchange.slotsLeft();
    for (size_t i = exchange.lastValues.size(); i < slots.size(); i++) left[slots[i]] = partAt(part, i, slots[i]);
    for (auto* role : exchange.partial) foldPart(*role, left);
    build.store(counter, build.integer(Op::ADD, at, build.constI(1)));
    build.add(Op::JUMP, {}, head).bodies = {&build.newBlock()};
    build.goOnIn(after);
    for (auto* role : exchange.partial) guardWarning(*role);
  }
  void foldPart(const SlotRole& role, const std::map<uint32_t, ValueId>& left) {
    auto& reduction = *role.reduction;
    if (auto* extreme = extremeOf(role.slot)) return foldExtreme(*extreme, left);
    auto sum = build.value(reduction.op, reduction.prim, {build.load(role.slot), left.at(role.slot)});
    build.last().guard = reduction.guard;
    build.store(role.slot, sum);
  }
  void foldExtreme(const Extreme& extreme, const std::map<uint32_t, ValueId>& left) {
    auto& reduction = *extreme.role->reduction;
    auto slot = extreme.role->slot;
    auto total = build.load(slot), part = left.at(slot);
    auto compared = reduction.candidateFirst ? std::vector{part, total} : std::vector{total, part};
    auto isBetter = build.value(reduction.op, Prim::B, compared, static_cast<int64_t>(reduction.compare));
    auto wins = build.both(left.at(extreme.isFound), isBetter);
    auto replace = [&](uint32_t which) {
      auto prim = instance().slots[which];
      build.store(which, build.value(Op::SELECT, prim, {wins, left.at(which), build.load(which)}));
    };
    replace(slot);
    for (auto follower : extreme.followers) replace(follower);
  }
  // A total that is not finite: one of the additions may have made it so.
  void guardWarning(const SlotRole& role) {
    if (!role.reduction->warningGuard) return;
    auto size = build.value(Op::FABS, Prim::F, {build.load(role.slot)});
    auto infinity = build.value(Op::CONST_F, Prim::F, {});
    build.last().fimm = __builtin_inf();
    auto isFinite = build.value(Op::FCMP, Prim::B, {size, infinity}, static_cast<int64_t>(Compare::LT));
    build.add(Op::GUARD, {isFinite}).guard = role.reduction->warningGuard;
  }
  // Labels that the elaborator has not given.
  int64_t nextLabel() const { return (int64_t(1) << 32) + 2 * static_cast<int64_t>(number); }
  ValueId partAt(ValueId parts, size_t leaf, uint32_t slot) {
    auto prim = instance().slots[slot];
    auto where = build.value(Op::POINTER_ADD, Prim::P, {parts, build.constI(8 * leaf)});
    if (prim == Prim::F) return build.value(Op::ARRAY_LOAD, prim, {where}, static_cast<int64_t>(program::DType::F64));
    auto bits = build.value(Op::ARRAY_LOAD, Prim::I, {where}, static_cast<int64_t>(program::DType::I64));
    return prim == Prim::I ? bits : build.value(Op::FROM_BITS, prim, {bits});
  }
};

}  // namespace

std::vector<Instruction*> cut(Unit& unit, uint32_t instance, const Flow& flow, const Loop& loop, const Verdict& verdict,
                              size_t number) {
  return Cut(unit, instance, flow, loop, verdict, number).run();
}

}  // namespace epochly::multicore

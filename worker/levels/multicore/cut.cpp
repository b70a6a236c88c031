#include "levels/multicore/cut.h"

#include <algorithm>
#include <array>
#include <map>

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

// Room for addends that a chunk begins with: enough for those of usual length, and half a megabyte.
constexpr int64_t ADDENDS_AT_FIRST = int64_t(1) << 16;

// What a chunk needs of the function it is cut out of.
struct Captured {
  std::vector<uint32_t> slots;
  std::vector<ValueId> values;
};

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
    auto chunk = makeChunk();
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
  Captured captured;
  std::map<uint32_t, ValueId> steps;  // by slot
  std::map<Symbol, ValueId> lengths;  // of lists of counters
  std::vector<ValueId> gathered;      // in the chunk: of each of verdict.gathered, its own
  // What a chunk leaves behind, in this order: slots whose value in the last iteration counts, what it has folded, lists of what is to be
  // folded in order.
  std::vector<uint32_t> lastValues;
  std::vector<const SlotRole*> partial;
  std::vector<const SlotRole*> ordered;
  std::map<uint32_t, ValueId> addends;  // those lists, by slot
  std::vector<ValueId> listValues;      // that stand for lists of which chunks have their own
  // Those of `partial` that are extremes.
  struct Extreme {
    const SlotRole* role;
    uint32_t isFound;  // a slot: whether the chunk has found another
    std::vector<uint32_t> followers;
  };
  std::vector<Extreme> extremes;

  Instance& instance() { return unit.instances[instanceIndex]; }
  uint32_t newSlot(Prim prim) {
    instance().slots.push_back(prim);
    return instance().slots.size() - 1;
  }
  Extreme* extremeOf(uint32_t slot) {
    auto found = std::find_if(extremes.begin(), extremes.end(), [&](auto& one) { return one.role->slot == slot; });
    return found == extremes.end() ? nullptr : &*found;
  }

  void capture() {
    std::vector<char> made(instance().values.size()), taken(instance().values.size());
    std::map<uint32_t, bool> slots;
    forEachInstruction(*original->bodies[0], [&](Instruction& one) {
      for (uint32_t i = 0; i < one.results; i++) made[one.result + i] = true;
    });
    forEachInstruction(*original->bodies[0], [&](Instruction& one) {
      for (auto arg : one.args) {
        if (!made[arg] && !taken[arg]) captured.values.push_back(arg);
        taken[arg] = true;
      }
      if (one.op == Op::LOAD && !loop.heads.count(one.imm)) slots[one.imm] = true;
    });
    auto isList = [&](ValueId id) { return listOf(flow.value(id)) != nullptr; };
    std::copy_if(captured.values.begin(), captured.values.end(), std::back_inserter(listValues), isList);
    std::erase_if(captured.values, isList);
    for (auto& role : verdict.roles) {
      bool isFolded = role.how == SlotRole::REDUCED && !role.reduction->isExtreme();
      if (role.how != SlotRole::PRIVATE && !isFolded) slots[role.slot] = true;
      if (role.how == SlotRole::STEPS) captured.values.push_back(steps[role.slot] = conditions.compute(role.step));
      if (role.how == SlotRole::PRIVATE && role.isLive) lastValues.push_back(role.slot);
      if (role.how == SlotRole::REDUCED) (isOrdered(role) ? ordered : partial).push_back(&role);
      if (role.how == SlotRole::REDUCED && role.reduction->isExtreme()) extremes.push_back({&role, newSlot(Prim::B), {}});
    }
    for (auto& role : verdict.roles) {
      if (role.how == SlotRole::FOLLOWS) extremeOf(role.leader)->followers.push_back(role.slot);
    }
    for (auto& one : verdict.gathered) {
      if (one.kind == FoldKind::COUNTERS) slots[one.array.slot + 1] = true;  // how many
      if (one.kind != FoldKind::LIST_COUNTERS) continue;
      lengths[one.list] = build.value(Op::LIST_LENGTH, Prim::I, {conditions.compute(one.list)});
      captured.values.push_back(lengths[one.list]);
    }
    for (auto& [slot, wanted] : slots) captured.slots.push_back(slot);
  }
  // The list that the chunks have one of their own of, for which `value` stands; null: it is another value.
  const Gathered* listOf(const PolyPtr& value) const {
    for (auto& one : verdict.gathered) {
      if (one.kind != FoldKind::COUNTERS && value && value->is(one.list)) return &one;
    }
    return nullptr;
  }

  // ---- on several cores ----------------------------------------------------------------------------------------------------------
  bool isOrdered(const SlotRole& role) const { return role.reduction->isOfFloats() && !verdict.shape.isFixed; }
  // What a chunk leaves behind besides what is folded in order.
  std::vector<uint32_t> slotsLeft() const {
    auto slots = lastValues;
    for (auto* role : partial) slots.push_back(role->slot);
    for (auto& extreme : extremes) {
      slots.push_back(extreme.isFound);
      slots.insert(slots.end(), extreme.followers.begin(), extreme.followers.end());
    }
    return slots;
  }
  size_t leaves() const { return slotsLeft().size() + ordered.size() + verdict.gathered.size(); }

  void runChunks(uint32_t chunk, ValueId count) {
    std::vector<ValueId> args{count};
    for (auto slot : captured.slots) args.push_back(build.load(slot));
    args.insert(args.end(), captured.values.begin(), captured.values.end());
    for (auto* role : ordered) args.insert(args.end(), {build.load(role->slot), build.constI(0), build.constI(0)});
    for (auto& one : verdict.gathered) {
      auto target = targetOf(one);
      args.insert(args.end(), target.begin(), target.end());
    }
    auto parts = build.value(Op::PARALLEL, Prim::P, std::move(args), static_cast<int64_t>(number) << 32 | chunk);
    build.last().results += ordered.size();
    for (auto* role : ordered) {
      instance().values.push_back(Prim::F);
      build.store(role->slot, instance().values.size() - 1);
      guardWarning(*role);
    }
    auto chunks = build.value(Op::ARRAY_LOAD, Prim::I, {parts}, static_cast<int64_t>(program::DType::I64));
    auto first = build.value(Op::POINTER_ADD, Prim::P, {parts, build.constI(8)});
    auto stride = build.constI(8 * leaves());
    auto offset = build.integer(Op::MUL, build.integer(Op::SUB, chunks, build.constI(1)), stride);
    auto last = build.value(Op::POINTER_ADD, Prim::P, {first, offset});
    for (size_t i = 0; i < lastValues.size(); i++) build.store(lastValues[i], partAt(last, i, lastValues[i]));
    if (!partial.empty()) foldParts(first, chunks, stride);
    for (auto& role : verdict.roles) {
      if (role.how != SlotRole::STEPS) continue;
      auto way = build.integer(Op::MUL, steps[role.slot], count);
      build.store(role.slot, build.integer(Op::ADD, build.load(role.slot), way));
    }
    for (auto* one : clone(*verdict.test->bodies[1]).code) build.append(one);
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
    auto slots = slotsLeft();
    for (size_t i = lastValues.size(); i < slots.size(); i++) left[slots[i]] = partAt(part, i, slots[i]);
    for (auto* role : partial) foldPart(*role, left);
    build.store(counter, build.integer(Op::ADD, at, build.constI(1)));
    build.add(Op::JUMP, {}, head).bodies = {&build.newBlock()};
    build.goOnIn(after);
    for (auto* role : partial) guardWarning(*role);
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

  // ---- the chunk -----------------------------------------------------------------------------------------------------------------
  // Values and slots keep the numbers that they have in the function.
  using Each = std::function<bool(Block& made, const Instruction& one, Instruction& copy)>;  // false: there is none
  Block& clone(const Block& block, const Each& each = {}) {
    auto& made = unit.blocks.emplace_back();
    for (auto* one : block.code) {
      auto& copy = unit.instructions.emplace_back(*one);
      for (auto*& body : copy.bodies) body = &clone(*body, each);
      if (!each || each(made, *one, copy)) made.code.push_back(&copy);
    }
    return made;
  }
  Type typeFor(Prim prim) {
    switch (prim) {
      case Prim::B: return program::Types::BOOL;
      case Prim::I: return program::Types::INT;
      case Prim::F: return program::Types::FLOAT;
      default: return unit.types.list(unit.types.site(~uint64_t(0)));  // whatever it points to: one leaf
    }
  }
  uint32_t makeChunk() {
    auto index = static_cast<uint32_t>(unit.instances.size());
    auto& chunk = unit.instances.emplace_back();
    auto& from = instance();
    chunk.function = from.function;
    chunk.name = from.name + ", iterations of line " + std::to_string(loop.line);
    chunk.round = from.round;
    chunk.isChunk = chunk.hasLoop = true;
    chunk.values = from.values;
    chunk.slots = from.slots;
    chunk.arguments = {program::Types::INT, program::Types::INT};
    auto& body = unit.blocks.emplace_back();
    chunk.body = &body;
    Builder inside(unit, chunk, body);
    auto first = inside.value(Op::ARG, Prim::I, {}, 0), last = inside.value(Op::ARG, Prim::I, {}, 1);
    auto argument = [&](Prim prim) {
      chunk.arguments.push_back(typeFor(prim));
      return static_cast<int64_t>(chunk.arguments.size() - 1);
    };
    for (auto slot : captured.slots)
      inside.store(slot, inside.value(Op::ARG, chunk.slots[slot], {}, argument(chunk.slots[slot])));
    for (auto id : captured.values) {
      auto& one = inside.add(Op::ARG, {}, argument(chunk.values[id]));
      one.prim = chunk.values[id];
      one.result = id;
      one.results = 1;
    }
    clearArraySlots(inside);
    startSteps(inside, first);
    auto length = inside.integer(Op::SUB, last, first), most = inside.constI(ADDENDS_AT_FIRST);
    auto room = inside.choose(inside.compare(Compare::LT, length, most), length, most);
    startReductions(inside, room);
    startGathered(inside, room);
    auto counter = static_cast<uint32_t>(chunk.slots.size());
    chunk.slots.push_back(Prim::I);
    inside.store(counter, first);
    runIterations(inside, chunk, counter, last);
    std::vector<ValueId> results;
    for (auto slot : slotsLeft()) results.push_back(inside.load(slot));
    for (auto* role : ordered) {
      results.push_back(addends[role->slot]);
      chunk.folds.push_back(role->reduction->op == Op::FMUL ? FoldKind::PRODUCT : FoldKind::SUM);
    }
    for (size_t i = 0; i < verdict.gathered.size(); i++) {
      results.push_back(gathered[i]);
      chunk.folds.push_back(verdict.gathered[i].kind);
    }
    inside.add(Op::RETURN, results);
    chunk.resultLeaves = results.size();
    return index;
  }
  void clearArraySlots(Builder& inside) {
    forEachInstruction(*original->bodies[0], [&](Instruction& one) {
      if (one.op == Op::ARRAY_NEW && one.imm >= 0) inside.store(one.imm, inside.value(Op::NULL_P, Prim::P, {}));
    });
  }
  void startSteps(Builder& inside, ValueId first) {
    for (auto& role : verdict.roles) {
      if (role.how != SlotRole::STEPS) continue;
      auto way = inside.integer(Op::MUL, steps[role.slot], first);
      inside.store(role.slot, inside.integer(Op::ADD, inside.load(role.slot), way));
    }
  }
  // room: for addends, of which one per iteration is usual.
  void startReductions(Builder& inside, ValueId room) {
    for (auto* role : partial) {
      if (!role->reduction->isExtreme()) inside.store(role->slot, neutral(inside, *role->reduction));
    }
    for (auto& extreme : extremes) inside.store(extreme.isFound, inside.constB(false));
    for (auto* role : ordered) {
      inside.store(role->slot, inside.value(Op::CONST_F, Prim::F, {}));  // read by operations that are not there any more
      addends[role->slot] = inside.value(Op::LIST_NEW, Prim::P, {room}, 1);
    }
  }
  // Counters and lists of the chunk's own, for the loop's code as if they were the function's.
  void startGathered(Builder& inside, ValueId room) {
    gathered.clear();
    for (auto& one : verdict.gathered) {
      if (one.kind == FoldKind::COUNTERS) {
        gathered.push_back(inside.value(Op::COUNTERS_NEW, Prim::P, {inside.load(one.array.slot + 1)}));
        inside.store(one.array.slot, gathered.back());
        inside.store(one.array.slot + 2, inside.constI(8));
      } else if (one.kind == FoldKind::LIST_COUNTERS) {
        gathered.push_back(inside.value(Op::COUNTERS_NEW, Prim::P, {lengths[one.list]}, 1));
      } else {
        gathered.push_back(inside.value(Op::LIST_NEW, Prim::P, {room}, one.leaves));
      }
    }
    auto listFor = [&](const PolyPtr& value) -> std::optional<ValueId> {
      auto* one = listOf(value);
      return one ? std::optional(gathered[one - verdict.gathered.data()]) : std::nullopt;
    };
    for (auto slot : captured.slots) {
      if (auto list = listFor(loop.entry[slot].value)) inside.store(slot, *list);
    }
    for (auto id : listValues) {
      auto list = *listFor(flow.value(id));
      auto& same = inside.add(Op::SELECT, {inside.constB(true), list, list});
      same.prim = Prim::P;
      same.result = id;
      same.results = 1;
    }
  }
  static ValueId neutral(Builder& inside, const Reduction& reduction) {
    bool isProduct = reduction.op == Op::MUL || reduction.op == Op::MUL_CHECKED || reduction.op == Op::FMUL;
    if (reduction.prim == Prim::B) return inside.constB(reduction.op == Op::BAND);
    if (reduction.prim == Prim::I) return inside.constI(reduction.op == Op::AND ? -1 : isProduct);
    auto id = inside.value(Op::CONST_F, Prim::F, {});
    inside.last().fimm = isProduct ? 1.0 : -0.0;
    return id;
  }
  const SlotRole* orderedWith(ValueId total) const {
    for (auto* role : ordered) {
      if (role->reduction->totals.count(total)) return role;
    }
    return nullptr;
  }
  // In a chunk whose floats are folded elsewhere: what it does instead of `one`. False: the same.
  bool isReplaced(Builder& ahead, const Instruction& one) {
    if (one.op == Op::STORE) return orderedWith(one.args[0]) != nullptr;
    for (auto* role : ordered) {
      auto addition = role->reduction->additions.find(&one);
      if (addition == role->reduction->additions.end()) continue;
      auto addend = one.args[addition->second ? 1 : 0];
      if (one.op == Op::FSUB) addend = ahead.value(Op::FNEG, Prim::F, {addend});
      ahead.add(Op::LIST_PUSH, {addends[role->slot], addend}, 1);
      return true;
    }
    if (one.op != Op::GUARD_WARNING || ordered.empty()) return false;
    // What is not of the totals is still looked at, each for itself.
    bool ofTotals = false;
    for (size_t i = 1; i < one.args.size(); i += 3) ofTotals |= orderedWith(one.args[i]) != nullptr;
    if (!ofTotals) return false;
    for (size_t i = 1; i < one.args.size(); i += 3) {
      if (orderedWith(one.args[i])) continue;
      ahead.add(Op::GUARD_WARNING, {one.args[i], one.args[i], one.args[i + 1], one.args[i + 2]}).guard = one.guard;
    }
    return true;
  }
  // Takes note of whether `one` replaces an extreme.
  void noteFound(Builder& ahead, const Instruction& one) {
    for (auto& extreme : extremes) {
      auto& reduction = *extreme.role->reduction;
      if (&one != reduction.store) continue;
      auto chosen = reduction.chosen ? *reduction.chosen : ahead.constB(true);
      if (reduction.isChosenFalse) chosen = ahead.value(Op::BNOT, Prim::B, {chosen});
      ahead.store(extreme.isFound, ahead.either(ahead.load(extreme.isFound), chosen));
    }
  }
  void runIterations(Builder& inside, Instance& chunk, uint32_t counter, ValueId last) {
    auto& exit = inside.add(Op::BLOCK, {}, verdict.test->bodies[1]->code[0]->imm);
    exit.bodies = {&inside.newBlock()};
    inside.goOnIn(*exit.bodies[0]);
    auto& again = inside.add(Op::LOOP, {}, original->imm);
    again.line = loop.line;
    again.bodies = {&clone(*original->bodies[0], [&](Block& made, const Instruction& one, Instruction& copy) {
      Builder ahead(unit, chunk, made);
      if (isReplaced(ahead, one)) return false;
      noteFound(ahead, one);
      // What is done on the way out, the function does when all chunks have ended.
      if (&one == verdict.test->bodies[1]->code[0]) copy.bodies = {&inside.newBlock()};
      if (&one != verdict.test) return true;
      auto at = ahead.load(counter);
      copy.args = {ahead.compare(Compare::LT, at, last)};
      ahead.store(counter, ahead.integer(Op::ADD, at, ahead.constI(1)));
      return true;
    })};
    inside.goOnIn(*chunk.body);
  }
};

}  // namespace

std::vector<Instruction*> cut(Unit& unit, uint32_t instance, const Flow& flow, const Loop& loop, const Verdict& verdict,
                              size_t number) {
  return Cut(unit, instance, flow, loop, verdict, number).run();
}

void forEachInstruction(const Block& block, const std::function<void(Instruction&)>& use) {
  for (auto* one : block.code) {
    use(*one);
    for (auto* body : one->bodies) forEachInstruction(*body, use);
  }
}

}  // namespace epochly::multicore

#include "levels/multicore/chunk.h"

#include <algorithm>

#include "levels/multicore/builder.h"

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

ValueId neutral(Builder& build, const Reduction& reduction) {
  bool isProduct = reduction.op == Op::MUL || reduction.op == Op::MUL_CHECKED || reduction.op == Op::FMUL;
  if (reduction.prim == Prim::B) return build.constB(reduction.op == Op::BAND);
  if (reduction.prim == Prim::I) return build.constI(reduction.op == Op::AND ? -1 : isProduct);
  auto id = build.value(Op::CONST_F, Prim::F, {});
  build.last().fimm = isProduct ? 1.0 : -0.0;
  return id;
}

// Values and slots keep the numbers that they have in the function.
class ChunkWriter {
 public:
  ChunkWriter(Unit& unit, Instance& from, const Flow& flow, const Loop& loop, const Verdict& verdict,
              const Exchange& exchange)
      : unit(unit),
        flow(flow),
        loop(loop),
        verdict(verdict),
        exchange(exchange),
        index(unit.instances.size()),
        chunk(unit.instances.emplace_back()),
        inside(unit, chunk, unit.blocks.emplace_back()) {
    chunk.function = from.function;
    chunk.name = from.name + ", iterations of line " + std::to_string(loop.line);
    chunk.round = from.round;
    chunk.isChunk = chunk.hasLoop = true;
    chunk.values = from.values;
    chunk.slots = from.slots;
    chunk.arguments = {program::Types::INT, program::Types::INT};
    chunk.body = &inside.current();
  }

  uint32_t run() {
    takeArguments();
    auto length = inside.integer(Op::SUB, last, first), most = inside.constI(ADDENDS_AT_FIRST);
    auto room = inside.choose(inside.compare(Compare::LT, length, most), length, most);
    startReductions(room);
    startGathered(room);
    runIterations([this](Block& made, const Instruction& one) {
      Builder ahead(unit, chunk, made);
      if (isReplaced(ahead, one)) return false;
      noteFound(ahead, one);
      return true;
    });
    leaveBehind();
    return index;
  }

 private:
  Unit& unit;
  const Flow& flow;
  const Loop& loop;
  const Verdict& verdict;
  const Exchange& exchange;
  const uint32_t index;
  Instance& chunk;
  Builder inside;
  ValueId first = 0, last = 0;          // iterations
  std::map<uint32_t, ValueId> addends;  // lists of what is folded in order, by slot
  std::vector<ValueId> gathered;        // of each of verdict.gathered, its own

  Type typeFor(Prim prim) {
    switch (prim) {
      case Prim::B: return program::Types::BOOL;
      case Prim::I: return program::Types::INT;
      case Prim::F: return program::Types::FLOAT;
      default: return unit.types.list(unit.types.site(~uint64_t(0)));  // whatever it points to: one leaf
    }
  }

  // ---- how it begins -------------------------------------------------------------------------------------------------------
  void takeArguments() {
    first = inside.value(Op::ARG, Prim::I, {}, 0);
    last = inside.value(Op::ARG, Prim::I, {}, 1);
    auto argument = [&](Prim prim) {
      chunk.arguments.push_back(typeFor(prim));
      return static_cast<int64_t>(chunk.arguments.size() - 1);
    };
    for (auto slot : exchange.slots)
      inside.store(slot, inside.value(Op::ARG, chunk.slots[slot], {}, argument(chunk.slots[slot])));
    for (auto id : exchange.values) {
      auto& one = inside.add(Op::ARG, {}, argument(chunk.values[id]));
      one.prim = chunk.values[id];
      one.result = id;
      one.results = 1;
    }
    clearArraySlots();
    startSteps();
  }
  void clearArraySlots() {
    forEachInstruction(*loop.loop->bodies[0], [&](Instruction& one) {
      if (one.op == Op::ARRAY_NEW && one.imm >= 0) inside.store(one.imm, inside.value(Op::NULL_P, Prim::P, {}));
    });
  }
  void startSteps() {
    for (auto& role : verdict.roles) {
      if (role.how != SlotRole::STEPS) continue;
      auto way = inside.integer(Op::MUL, exchange.steps.at(role.slot), first);
      inside.store(role.slot, inside.integer(Op::ADD, inside.load(role.slot), way));
    }
  }
  // room: for addends, of which one per iteration is usual.
  void startReductions(ValueId room) {
    for (auto* role : exchange.partial) {
      if (!role->reduction->isExtreme()) inside.store(role->slot, neutral(inside, *role->reduction));
    }
    for (auto& extreme : exchange.extremes) inside.store(extreme.isFound, inside.constB(!extreme.isNoted()));
    for (auto* role : exchange.ordered) {
      inside.store(role->slot, inside.value(Op::CONST_F, Prim::F, {}));  // read by operations that are not there any more
      addends[role->slot] = inside.value(Op::LIST_NEW, Prim::P, {room}, 1);
    }
  }
  // Counters and lists of the chunk's own, for the loop's code as if they were the function's.
  void startGathered(ValueId room) {
    for (auto& one : verdict.gathered) {
      if (one.kind == FoldKind::COUNTERS) {
        gathered.push_back(inside.value(Op::COUNTERS_NEW, Prim::P, {inside.load(one.array.slot + 1)}));
        inside.store(one.array.slot, gathered.back());
        inside.store(one.array.slot + 2, inside.constI(8));
      } else if (one.kind == FoldKind::LIST_COUNTERS) {
        gathered.push_back(inside.value(Op::COUNTERS_NEW, Prim::P, {exchange.lengths.at(one.list)}, 1));
      } else {
        gathered.push_back(inside.value(Op::LIST_NEW, Prim::P, {room}, one.leaves));
      }
    }
    auto listFor = [&](const PolyPtr& value) -> std::optional<ValueId> {
      auto* one = listOf(verdict, value);
      return one ? std::optional(gathered[one - verdict.gathered.data()]) : std::nullopt;
    };
    for (auto slot : exchange.slots) {
      if (auto list = listFor(loop.entry[slot].value)) inside.store(slot, *list);
    }
    for (auto id : exchange.listValues) {
      auto list = *listFor(flow.value(id));
      auto& same = inside.add(Op::SELECT, {inside.constB(true), list, list});
      same.prim = Prim::P;
      same.result = id;
      same.results = 1;
    }
  }

  // ---- iterations ----------------------------------------------------------------------------------------------------------
  // isKept: of the loop's instructions; writes what is to stand before one.
  void runIterations(const std::function<bool(Block& made, const Instruction& one)>& isKept) {
    auto counter = static_cast<uint32_t>(chunk.slots.size());
    chunk.slots.push_back(Prim::I);
    inside.store(counter, first);
    auto* leave = verdict.test->bodies[1]->code[0];
    auto& exit = inside.add(Op::BLOCK, {}, leave->imm);
    exit.bodies = {&inside.newBlock()};
    inside.goOnIn(*exit.bodies[0]);
    auto& again = inside.add(Op::LOOP, {}, loop.loop->imm);
    again.line = loop.line;
    again.bodies = {&copyOf(unit, *loop.loop->bodies[0], [&](Block& made, const Instruction& one, Instruction& copy) {
      if (!isKept(made, one)) return false;
      // What is done on the way out, the function does when all chunks have ended.
      if (&one == leave) copy.bodies = {&inside.newBlock()};
      if (&one != verdict.test) return true;
      Builder ahead(unit, chunk, made);
      auto at = ahead.load(counter);
      copy.args = {ahead.compare(Compare::LT, at, last)};
      ahead.store(counter, ahead.integer(Op::ADD, at, ahead.constI(1)));
      return true;
    })};
    inside.goOnIn(*chunk.body);
  }
  const SlotRole* orderedWith(ValueId total) const {
    for (auto* role : exchange.ordered) {
      if (role->reduction->totals.count(total)) return role;
    }
    return nullptr;
  }
  // In a chunk whose floats are folded elsewhere: what it does instead of `one`. False: the same.
  bool isReplaced(Builder& ahead, const Instruction& one) {
    if (one.op == Op::STORE) return orderedWith(one.args[0]) != nullptr;
    for (auto* role : exchange.ordered) {
      auto addition = role->reduction->additions.find(&one);
      if (addition == role->reduction->additions.end()) continue;
      auto addend = one.args[addition->second ? 1 : 0];
      if (one.op == Op::FSUB) addend = ahead.value(Op::FNEG, Prim::F, {addend});
      ahead.add(Op::LIST_PUSH, {addends[role->slot], addend}, 1);
      return true;
    }
    if (one.op != Op::GUARD_WARNING || exchange.ordered.empty()) return false;
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
    for (auto& extreme : exchange.extremes) {
      auto& reduction = *extreme.role->reduction;
      if (&one != reduction.store || !extreme.isNoted()) continue;
      auto chosen = reduction.chosen ? *reduction.chosen : ahead.constB(true);
      if (reduction.isChosenFalse) chosen = ahead.value(Op::BNOT, Prim::B, {chosen});
      ahead.store(extreme.isFound, ahead.either(ahead.load(extreme.isFound), chosen));
    }
  }

  // ---- how it ends ---------------------------------------------------------------------------------------------------------
  void leaveBehind() {
    std::vector<ValueId> results;
    for (auto slot : exchange.slotsLeft()) results.push_back(inside.load(slot));
    for (auto* role : exchange.ordered) {
      results.push_back(addends[role->slot]);
      chunk.folds.push_back(role->reduction->op == Op::FMUL ? FoldKind::PRODUCT : FoldKind::SUM);
    }
    for (size_t i = 0; i < verdict.gathered.size(); i++) {
      results.push_back(gathered[i]);
      chunk.folds.push_back(verdict.gathered[i].kind);
    }
    inside.add(Op::RETURN, results);
    chunk.resultLeaves = results.size();
  }
};

}  // namespace

std::vector<uint32_t> Exchange::slotsLeft() const {
  auto all = lastValues;
  for (auto* role : partial) all.push_back(role->slot);
  for (auto& extreme : extremes) {
    all.push_back(extreme.isFound);
    all.insert(all.end(), extreme.followers.begin(), extreme.followers.end());
  }
  return all;
}

const Gathered* listOf(const Verdict& verdict, const PolyPtr& value) {
  for (auto& one : verdict.gathered) {
    if (one.kind != FoldKind::COUNTERS && value && value->is(one.list)) return &one;
  }
  return nullptr;
}

uint32_t makeChunk(Unit& unit, Instance& from, const Flow& flow, const Loop& loop, const Verdict& verdict,
                   const Exchange& exchange) {
  return ChunkWriter(unit, from, flow, loop, verdict, exchange).run();
}

Block& copyOf(Unit& unit, const Block& block, const CopyEach& each) {
  auto& made = unit.blocks.emplace_back();
  for (auto* one : block.code) {
    auto& copy = unit.instructions.emplace_back(*one);
    for (auto*& body : copy.bodies) body = &copyOf(unit, *body, each);
    if (!each || each(made, *one, copy)) made.code.push_back(&copy);
  }
  return made;
}

void forEachInstruction(const Block& block, const std::function<void(Instruction&)>& use) {
  for (auto* one : block.code) {
    use(*one);
    for (auto* body : one->bodies) forEachInstruction(*body, use);
  }
}

}  // namespace epochly::multicore

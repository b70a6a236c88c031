#include "levels/multicore/split.h"

#include <algorithm>
#include <map>
#include <memory>

#include "levels/multicore/builder.h"
#include "levels/program/decline.h"

namespace epochly::multicore {

using program::ArrayVariable;
using program::Block;
using program::Compare;
using program::Instance;
using program::Instruction;
using program::Op;
using program::Prim;
using program::Type;
using program::Unit;
using program::ValueId;

namespace {

void forEach(const Block& block, const std::function<void(Instruction&)>& use) {
  for (auto* one : block.code) {
    use(*one);
    for (auto* body : one->bodies) forEach(*body, use);
  }
}

// Room for addends that a chunk begins with: enough for those of usual length, and half a megabyte.
constexpr int64_t ADDENDS_AT_FIRST = int64_t(1) << 16;

// What a chunk needs of the function it is cut out of.
struct Captured {
  std::vector<uint32_t> slots;
  std::vector<ValueId> values;
};

// Cuts one loop out of its function.
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
        build(unit, unit.instances[instanceIndex], unit.blocks.emplace_back()) {}

  // What stands in the loop's place.
  std::vector<Instruction*> run() {
    auto& before = build.newBlock();
    build.goOnIn(before);
    capture();
    auto chunk = makeChunk();
    auto count = tripCount();
    auto holds = requirements(count);
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
  Captured captured;
  std::map<uint32_t, ValueId> steps;  // by slot
  // What a chunk leaves behind, in this order: slots whose value in the last iteration counts, what it has folded, lists of what is to be
  // folded in order.
  std::vector<uint32_t> lastValues;
  std::vector<const SlotRole*> partial;
  std::vector<const SlotRole*> ordered;
  std::map<uint32_t, ValueId> addends;  // those lists, by slot
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
    forEach(*original->bodies[0], [&](Instruction& one) {
      for (uint32_t i = 0; i < one.results; i++) made[one.result + i] = true;
    });
    forEach(*original->bodies[0], [&](Instruction& one) {
      for (auto arg : one.args) {
        if (!made[arg] && !taken[arg]) captured.values.push_back(arg);
        taken[arg] = true;
      }
      if (one.op == Op::LOAD && !loop.heads.count(one.imm)) slots[one.imm] = true;
    });
    for (auto& role : verdict.roles) {
      bool isFolded = role.how == SlotRole::REDUCED && !role.reduction->isExtreme();
      if (role.how != SlotRole::PRIVATE && !isFolded) slots[role.slot] = true;
      if (role.how == SlotRole::STEPS) captured.values.push_back(steps[role.slot] = compute(role.step));
      if (role.how == SlotRole::PRIVATE && role.isLive) lastValues.push_back(role.slot);
      if (role.how == SlotRole::REDUCED) (isOrdered(role) ? ordered : partial).push_back(&role);
      if (role.how == SlotRole::REDUCED && role.reduction->isExtreme()) extremes.push_back({&role, newSlot(Prim::B), {}});
    }
    for (auto& role : verdict.roles) {
      if (role.how == SlotRole::FOLLOWS) extremeOf(role.leader)->followers.push_back(role.slot);
    }
    for (auto& [slot, wanted] : slots) captured.slots.push_back(slot);
  }

  // ---- before the loop -----------------------------------------------------------------------------------------------------------
  ValueId compute(const Poly& poly) {
    std::optional<ValueId> sum;
    for (auto& [product, factor] : poly.terms()) {
      auto term = build.constI(factor);
      for (auto symbol : product) term = build.integer(Op::MUL, term, compute(symbol));
      sum = sum ? build.integer(Op::ADD, *sum, term) : term;
    }
    return sum ? *sum : build.constI(0);
  }
  ValueId compute(Symbol symbol) {
    auto& data = flow.symbol(symbol);
    if (data.kind == SymbolData::STRIDE) return compute(*data.of);
    if (data.kind == SymbolData::LENGTH && flow.varies(symbol, loop))
      return build.value(Op::LIST_LENGTH, Prim::I, {compute(data.of->terms().begin()->first[0])});
    if (data.hasValue) return data.value;
    for (uint32_t slot = 0; slot < loop.entry.size(); slot++) {
      if (loop.entry[slot].value->is(symbol)) return build.load(slot);
    }
    throw program::Declined(loop.line, "internal: a value that is not known before the loop");
  }
  ValueId tripCount() {
    std::optional<ValueId> shortest;
    for (auto& trip : verdict.trips) {
      auto from = compute(trip.from), to = compute(trip.to);
      auto count = trip.movesAway
                       ? build.choose(build.compare(Compare::LT, from, to), build.constI(INT64_MAX), build.constI(0))
                       : build.integer(Op::SUB, to, from);
      shortest = shortest ? build.choose(build.compare(Compare::LT, count, *shortest), count, *shortest) : count;
    }
    return *shortest;
  }
  ValueId requirements(ValueId count) {
    auto all = build.constB(true);
    auto zero = build.constI(0);
    for (auto& [first, growth] : verdict.requirements.notNegative) {
      auto low = compute(first);
      auto steps = build.integer(Op::MUL, compute(growth), build.integer(Op::SUB, count, build.constI(1)));
      auto high = build.integer(Op::ADD, low, steps);
      all = build.both(all, build.both(build.compare(Compare::GE, low, zero), build.compare(Compare::GE, high, zero)));
    }
    for (auto& array : verdict.requirements.distinct) all = build.both(all, isDistinct(array));
    for (auto& [written, other] : verdict.requirements.apart) all = build.both(all, areApart(written, other));
    return all;
  }
  ValueId sizeOf(const ArrayVariable& array, uint32_t dim) { return build.load(array.slot + 1 + dim); }
  ValueId strideOf(const ArrayVariable& array, uint32_t dim) {
    auto stride = build.load(array.slot + 1 + array.dims + dim);
    auto zero = build.constI(0);
    return build.choose(build.compare(Compare::LT, stride, zero), build.integer(Op::SUB, zero, stride), stride);
  }
  // Each stride reaches over everything that those after it reach, in C's order or in Fortran's.
  ValueId isDistinct(const ArrayVariable& array) {
    auto inOrder = [&](bool backwards) {
      auto reach = build.constI(program::bytesOf(array.dtype));
      auto all = build.constB(true);
      for (uint32_t i = 0; i < array.dims; i++) {
        auto dim = backwards ? array.dims - 1 - i : i;
        auto size = sizeOf(array, dim), stride = strideOf(array, dim);
        auto single = build.compare(Compare::LE, size, build.constI(1));
        all = build.both(all, build.either(single, build.compare(Compare::GE, stride, reach)));
        auto further = build.integer(Op::MUL, stride, build.integer(Op::SUB, size, build.constI(1)));
        reach = build.integer(Op::ADD, reach, build.choose(single, build.constI(0), further));
      }
      return all;
    };
    auto rows = inOrder(true);
    return array.dims == 1 ? rows : build.either(rows, inOrder(false));
  }
  std::pair<ValueId, ValueId> extentOf(const ArrayVariable& array) {
    auto zero = build.constI(0);
    auto low = build.value(Op::TO_BITS, Prim::I, {build.load(array.slot)});
    auto high = build.integer(Op::ADD, low, build.constI(program::bytesOf(array.dtype)));
    for (uint32_t dim = 0; dim < array.dims; dim++) {
      auto stride = build.load(array.slot + 1 + array.dims + dim);
      auto reach = build.integer(Op::MUL, stride, build.integer(Op::SUB, sizeOf(array, dim), build.constI(1)));
      auto falls = build.compare(Compare::LT, reach, zero);
      low = build.integer(Op::ADD, low, build.choose(falls, reach, zero));
      high = build.integer(Op::ADD, high, build.choose(falls, zero, reach));
    }
    return {low, high};
  }
  // An array of no elements has an extent of nonsense, but then nothing is read or written.
  ValueId areApart(const ArrayVariable& a, const ArrayVariable& b) {
    auto [lowA, highA] = extentOf(a);
    auto [lowB, highB] = extentOf(b);
    return build.either(build.compare(Compare::LE, highA, lowB), build.compare(Compare::LE, highB, lowA));
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
  size_t leaves() const { return slotsLeft().size() + ordered.size(); }

  void runChunks(uint32_t chunk, ValueId count) {
    std::vector<ValueId> args{count};
    for (auto slot : captured.slots) args.push_back(build.load(slot));
    args.insert(args.end(), captured.values.begin(), captured.values.end());
    for (auto* role : ordered) args.push_back(build.load(role->slot));
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
    startReductions(inside, inside.choose(inside.compare(Compare::LT, length, most), length, most));
    auto counter = static_cast<uint32_t>(chunk.slots.size());
    chunk.slots.push_back(Prim::I);
    inside.store(counter, first);
    runIterations(inside, chunk, counter, last);
    std::vector<ValueId> results;
    for (auto slot : slotsLeft()) results.push_back(inside.load(slot));
    for (auto* role : ordered) {
      results.push_back(addends[role->slot]);
      chunk.folds.push_back(role->reduction->op == Op::FMUL);
    }
    inside.add(Op::RETURN, results);
    chunk.resultLeaves = results.size();
    return index;
  }
  void clearArraySlots(Builder& inside) {
    forEach(*original->bodies[0], [&](Instruction& one) {
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

// One compilation's loops.
class Splitter {
 public:
  Splitter(Unit& unit, bool reorders) : unit(unit), reorders(reorders) {}

  Split run() {
    auto last = unit.instances[0].round;
    auto count = unit.instances.size();
    for (uint32_t i = 0; i < count; i++) {
      if (unit.instances[i].round == last) splitInstance(i);
    }
    std::stable_sort(result.loops.begin(), result.loops.end(), [](auto& a, auto& b) { return a.line < b.line; });
    return std::move(result);
  }

 private:
  Unit& unit;
  const bool reorders;
  Split result;
  std::map<uint32_t, bool> writesMemory;  // by instance; false while it is looked at

  bool writes(uint32_t index) {
    auto [known, isNew] = writesMemory.try_emplace(index, false);
    if (!isNew) return known->second;
    Flow flow(unit, index, [this](uint32_t called) { return writes(called); });
    for (auto& access : flow.accesses()) {
      auto root = flow.root(*access.address);
      if (access.isWrite && !(root && flow.symbol(*root).isFresh)) return writesMemory[index] = true;
    }
    return false;
  }

  void splitInstance(uint32_t index) {
    if (!unit.instances[index].hasLoop) return;
    size_t instructions = 0;
    forEach(*unit.instances[index].body, [&](Instruction&) { instructions++; });
    if (instructions > WALK_INSTRUCTIONS_MAX) {
      LoopShape shape;
      shape.function = unit.instances[index].name;
      shape.kind = "other";
      shape.reason = "the function is too large to be looked at";
      result.loops.push_back(shape);
      return;
    }
    Flow flow(unit, index, [this](uint32_t called) { return writes(called); });
    std::map<int, int> splitsAround;
    for (size_t i = 0; i < flow.loops().size(); i++) {
      auto& loop = flow.loops()[i];
      auto verdict = judge(flow, loop, reorders);
      int around = loop.parent < 0 ? 0 : splitsAround[loop.parent];
      if (verdict.shape.splits && around <= NESTED_SPLITS_MAX) {
        verdict.shape.number = result.parallel;
        replace(*unit.instances[index].body, loop.loop, Cut(unit, index, flow, loop, verdict, result.parallel++).run());
        around += loop.loop->anyOrder ? NESTED_SPLITS_MAX + 1 : 1;  // its inner loop is some thousand elements
      }
      splitsAround[loop.index] = around;
      result.loops.push_back(verdict.shape);
    }
  }
  bool replace(Block& block, const Instruction* old, const std::vector<Instruction*>& by) {
    for (size_t i = 0; i < block.code.size(); i++) {
      if (block.code[i] == old) {
        block.code.erase(block.code.begin() + i);
        block.code.insert(block.code.begin() + i, by.begin(), by.end());
        return true;
      }
      for (auto* body : block.code[i]->bodies) {
        if (replace(*body, old, by)) return true;
      }
    }
    return false;
  }
};

}  // namespace

Split split(Unit& unit, bool reorders) { return Splitter(unit, reorders).run(); }

}  // namespace epochly::multicore

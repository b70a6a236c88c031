#include "levels/multicore/shape.h"

#include <algorithm>

#include "levels/multicore/scans.h"

namespace epochly::multicore {

using program::ArrayVariable;
using program::Block;
using program::Compare;
using program::Instruction;
using program::Op;
using program::Prim;

namespace {

struct NotIndependent {
  uint32_t line;
  std::string kind;
  std::string reason;
};

class Judge {
 public:
  Judge(Flow& flow, const Loop& loop, bool reorders) : flow(flow), loop(loop), reorders(reorders) {
    for (size_t i = 0; i < flow.loops().size(); i++) {
      auto at = flow.loops()[i].index;
      trips[at] = flow.newSymbol({.kind = SymbolData::TRIP, .loop = at});
    }
  }

  Verdict run() {
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

 private:
  Flow& flow;
  const Loop& loop;
  const bool reorders;
  Verdict verdict;
  std::map<int, Symbol> trips;  // by loop

  [[noreturn]] void decline(uint32_t line, std::string reason, std::string kind = "other") const {
    throw NotIndependent{line ? line : loop.line, std::move(kind), std::move(reason)};
  }
  std::string quoted(uint32_t slot) const {
    auto name = flow.nameOf(slot);
    return name.empty() ? "a value" : "'" + name + "'";
  }

  // ---- how it ends -----------------------------------------------------------------------------------------------------------
  static const Instruction* leavingTest(const Block& block, const Loop& loop) {
    for (auto* one : block.code) {
      if (one->op == Op::BLOCK) return leavingTest(*one->bodies[0], loop);
      if (one->op != Op::IF) continue;
      auto& otherwise = one->bodies[1]->code;
      bool leaves = otherwise.size() == 1 && otherwise[0]->op == Op::JUMP &&
                    std::find(loop.exits.begin(), loop.exits.end(), otherwise[0]) != loop.exits.end();
      return leaves ? one : nullptr;
    }
    return nullptr;
  }
  void findTest() {
    verdict.test = leavingTest(*loop.loop->bodies[0], loop);
    if (loop.back.empty()) decline(0, "it runs once at most");
    if (!verdict.test) decline(0, "how often it runs is not known before it begins", "while");
    for (auto* exit : loop.exits) {
      if (exit != verdict.test->bodies[1]->code[0]) decline(exit->line, "it may end early, by break or return", "carried");
    }
  }
  void countTrips() {
    auto comparisons = flow.comparisons(verdict.test->args[0]);
    if (comparisons.empty()) decline(0, "how often it runs is not known before it begins", "while");
    for (auto& one : comparisons) verdict.trips.push_back(tripOf(one));
  }
  Trip tripOf(const Comparison& one) {
    auto left = resolve(*one.left), right = resolve(*one.right);
    auto slope = left.slope(trips[loop.index]);
    bool fixed = slope && slope->isConstant() && !variesBesides(right) && canKnow(right);
    if (fixed) {
      auto from = left.with(trips[loop.index], Poly());
      auto one64 = Poly::constant(1);
      auto step = slope->constantPart();
      if (canKnow(from)) {
        if (step == 1 && one.compare == Compare::LT) return {from, right};
        if (step == 1 && one.compare == Compare::LE) return {from, right.plus(one64)};
        if (step == -1 && one.compare == Compare::GT) return {right, from};
        if (step == -1 && one.compare == Compare::GE) return {right, from.plus(one64)};
        if (step == -1 && one.compare == Compare::LT) return {from, right, true};
      }
    }
    decline(0, "how often it runs is not known before it begins", "while");
  }
  // A list's length that is asked for in each iteration is known before, as the loop changes no list's length.
  bool variesBesides(const Poly& poly) const {
    for (auto& [product, factor] : poly.terms()) {
      for (auto symbol : product) {
        if (flow.varies(symbol, loop) && !isKnownLength(symbol)) return true;
      }
    }
    return false;
  }
  bool isKnownLength(Symbol symbol) const {
    auto& data = flow.symbol(symbol);
    return data.kind == SymbolData::LENGTH && !flow.varies(*data.of, loop) && canKnow(*data.of);
  }
  // Whether code before the loop can compute it.
  bool canKnow(const Poly& poly) const {
    for (auto& [product, factor] : poly.terms()) {
      for (auto symbol : product) {
        if (!canKnow(symbol)) return false;
      }
    }
    return true;
  }
  bool canKnow(Symbol symbol) const {
    auto& data = flow.symbol(symbol);
    if (isKnownLength(symbol)) return true;
    if (flow.varies(symbol, loop)) return false;
    if (data.kind == SymbolData::STRIDE) return canKnow(*data.of);
    if (data.hasValue) return true;
    return std::any_of(loop.entry.begin(), loop.entry.end(), [&](auto& slot) { return slot.value->is(symbol); });
  }

  // ---- variables ---------------------------------------------------------------------------------------------------------------
  bool isReadOutside(uint32_t slot) const {
    auto& users = flow.slotUsers(slot);
    return std::any_of(users.begin(), users.end(),
                       [&](auto* one) { return one->op == Op::LOAD && !flow.isInside(one, loop); });
  }
  std::optional<Poly> stepOf(const Loop& of, uint32_t slot) const {
    if (of.back.empty()) return {};
    auto step = of.back[slot].value->minus(Poly::of(of.heads.at(slot)));
    if (flow.varies(step, of)) return {};
    return step;
  }
  // The extreme that `slot` is assigned with.
  std::optional<uint32_t> leaderOf(uint32_t slot) const {
    for (auto& [other, read] : loop.headReads) {
      auto reduction = loop.heads.count(other) ? reductionOf(flow, loop, other) : std::nullopt;
      if (reduction && reduction->isExtreme() && follows(flow, loop, slot, *reduction)) return other;
    }
    return {};
  }
  std::string whyCarried(uint32_t slot) const {
    bool keepsOrder = !reorders && flow.of().slots[slot] == Prim::F;
    if (keepsOrder && isRunningTotal(flow, loop, slot))
      return "it reads the running total " + quoted(slot) +
             " on the way, whose floats several cores would add up in another order: other bits";
    return "it reads " + quoted(slot) + " as the iteration before left it";
  }
  void giveRoles() {
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

  // `poly` in iterations instead of in what variables hold when one begins.
  Poly resolve(Poly poly) {
    for (int rounds = 0; rounds < 32; rounds++) {
      bool changed = false;
      for (auto symbol : symbolsOf(poly)) {
        auto data = flow.symbol(symbol);
        if (data.kind == SymbolData::HEAD && flow.varies(symbol, loop)) {
          auto& of = flow.loops()[data.loop];
          auto step = stepOf(of, data.slot);
          if (!step) continue;
          poly = poly.with(symbol, of.entry[data.slot].value->plus(step->times(Poly::of(trips[data.loop]))));
          changed = true;
        } else if (data.kind == SymbolData::WRAPPED && flow.varies(symbol, loop)) {
          auto inner = resolve(*data.of);
          if (!isNotNegative(inner)) continue;
          poly = poly.with(symbol, inner);
          changed = true;
        }
        if (changed) break;
      }
      if (!changed || poly.isTooLarge()) break;
    }
    return poly;
  }
  static std::vector<Symbol> symbolsOf(const Poly& poly) {
    std::vector<Symbol> found;
    for (auto& [product, factor] : poly.terms()) found.insert(found.end(), product.begin(), product.end());
    return found;
  }
  // Known, or to be looked at before the loop: at its first and its last iteration.
  bool isNotNegative(const Poly& index) {
    auto mine = trips[loop.index];
    auto slope = index.slope(mine);
    if (!slope || flow.varies(*slope, loop) || !canKnow(*slope)) return false;
    Poly first;
    auto atFirst = index.with(mine, Poly());
    for (auto& [product, factor] : atFirst.terms()) {
      bool isInner = product.size() == 1 && flow.symbol(product[0]).kind == SymbolData::TRIP;
      if (isInner && factor > 0) continue;  // an inner loop's counter only adds to it
      Poly term = Poly::constant(factor);
      for (auto symbol : product) {
        if (!canKnow(symbol) || flow.varies(symbol, loop)) return false;
        term = term.times(Poly::of(symbol));
      }
      first = first.plus(term);
    }
    bool settled = first.isConstant() && first.constantPart() >= 0 && slope->isConstant() && slope->constantPart() >= 0;
    auto wanted = std::pair(first, *slope);
    auto& all = verdict.requirements.notNegative;
    if (!settled && std::find(all.begin(), all.end(), wanted) == all.end()) all.push_back(wanted);
    return true;
  }

  // ---- effects -----------------------------------------------------------------------------------------------------------------
  void checkCalls() {
    for (auto& access : flow.accesses()) {
      if (access.isWrite && access.at->op == Op::CALL && flow.isInside(access.at, loop))
        decline(access.at->line, "it calls a function that writes into an array or a list", "other");
    }
  }
  // The memory was made in this iteration: no other sees it.
  bool isOwn(const Poly& address) const {
    auto root = flow.root(address);
    return root && flow.symbol(*root).isFresh && flow.varies(*root, loop);
  }
  void checkLists() {
    for (auto& access : flow.accesses()) {
      if (!access.isList || !access.isWrite || !flow.isInside(access.at, loop) || isOwn(*access.address)) continue;
      auto list = flow.root(*access.address);
      if (list && isGathered(*list)) continue;
      auto leaves = list ? appendsOnly(flow, loop, *list) : std::nullopt;
      if (!list || (!leaves && !isCountedList(*list))) decline(access.at->line, "it changes a list", "other");
      auto kind = leaves ? program::FoldKind::APPEND : program::FoldKind::LIST_COUNTERS;
      verdict.gathered.push_back({.kind = kind, .array = {}, .list = *list, .leaves = leaves.value_or(1)});
    }
  }
  bool isCountedList(Symbol list) {
    auto& needed = verdict.requirements;
    if (!canKnow(list) || !countsOnly(flow, loop, list, needed.others)) return false;
    needed.fewInList.push_back(list);
    return true;
  }
  bool isGathered(Symbol list) const {
    auto& all = verdict.gathered;
    return std::any_of(all.begin(), all.end(),
                       [&](auto& one) { return one.kind != program::FoldKind::COUNTERS && one.list == list; });
  }

  // ---- arrays ------------------------------------------------------------------------------------------------------------------
  struct Touched {
    std::vector<const Access*> reads, writes;
  };
  std::vector<ArrayVariable> variablesOf(Symbol root) const {
    std::vector<ArrayVariable> found;
    for (auto& array : flow.of().arrays) {
      bool stays = true;
      for (uint32_t leaf = 0; leaf < 1 + 2 * array.dims; leaf++) stays &= !loop.heads.count(array.slot + leaf);
      if (stays && flow.root(*loop.entry[array.slot].value) == root) found.push_back(array);
    }
    return found;
  }
  // The index in each dimension of `array`, within its bounds; empty: the address is no element's.
  std::vector<Poly> indicesOf(const Access& access, const ArrayVariable& array) {
    auto offset = resolve(access.address->minus(*loop.entry[array.slot].value));
    std::vector<Poly> indices(array.dims);
    std::map<Symbol, uint32_t> strides;
    for (uint32_t dim = 0; dim < array.dims; dim++) {
      auto& stride = loop.entry[array.slot + 1 + array.dims + dim].value;
      auto symbols = symbolsOf(*stride);
      if (symbols.size() != 1 || !stride->is(symbols[0]) || !strides.try_emplace(symbols[0], dim).second) return {};
    }
    for (auto& [product, factor] : offset.terms()) {
      bool isPart = product.empty() && factor > 0 && factor < program::bytesOf(array.dtype);
      if (isPart) continue;  // of a complex number
      std::optional<uint32_t> dim;
      Poly term = Poly::constant(factor);
      for (auto symbol : product) {
        auto stride = strides.find(symbol);
        if (stride == strides.end()) {
          if (flow.symbol(symbol).isPointer) return {};
          term = term.times(Poly::of(symbol));
        } else if (dim) {
          return {};
        } else {
          dim = stride->second;
        }
      }
      if (!dim) return {};
      indices[*dim] = indices[*dim].plus(term);
    }
    return indices;
  }
  void checkArrays() {
    if (loop.loop->anyOrder) return;
    std::map<Symbol, Touched> byRoot;
    const Access* unknownRead = nullptr;
    const Access* anyWrite = nullptr;
    for (auto& access : flow.accesses()) {
      if (access.isList || !flow.isInside(access.at, loop) || isOwn(*access.address)) continue;
      auto root = flow.root(*access.address);
      bool isKnown = root && !flow.varies(*root, loop);
      if (access.isWrite) {
        if (!isKnown) decline(access.at->line, "it writes into an array that it chooses as it goes", "other");
        anyWrite = anyWrite ? anyWrite : &access;
      } else if (!isKnown) {
        unknownRead = &access;
        continue;
      }
      auto& touched = byRoot[*root];
      (access.isWrite ? touched.writes : touched.reads).push_back(&access);
    }
    if (anyWrite && unknownRead && unknownRead->at->op != Op::CALL)
      decline(unknownRead->at->line, "it reads an array that it chooses as it goes, which may be one that it writes",
              "other");
    for (auto& [root, touched] : byRoot) {
      if (!touched.writes.empty()) checkWritten(root, touched, byRoot);
    }
  }
  void checkWritten(Symbol root, const Touched& touched, const std::map<Symbol, Touched>& byRoot) {
    auto variables = variablesOf(root);
    auto array = std::find_if(variables.begin(), variables.end(), [&](auto& one) { return isIndependent(one, touched); });
    if (array == variables.end()) {
      array = std::find_if(variables.begin(), variables.end(), [&](auto& one) { return isCounted(one, touched); });
      if (array == variables.end()) explain(variables, touched);
      verdict.gathered.push_back({.kind = program::FoldKind::COUNTERS, .array = *array});
      verdict.requirements.few.push_back(*array);
    }
    verdict.requirements.distinct.push_back(*array);
    for (auto& [other, theirs] : byRoot) {
      bool counted = other == root || (!theirs.writes.empty() && other < root);  // each pair once
      if (!counted && !areApart(root, other)) requireApart(*array, other, theirs);
    }
  }
  // Every access is at a * iteration + b of one dimension, with the same a and b: no two iterations meet.
  bool isIndependent(const ArrayVariable& array, const Touched& touched) {
    std::vector<std::vector<Poly>> all;
    for (auto* group : {&touched.writes, &touched.reads}) {
      for (auto* access : *group) {
        all.push_back(indicesOf(*access, array));
        if (all.back().empty()) return false;
      }
    }
    for (uint32_t dim = 0; dim < array.dims; dim++) {
      auto slope = all[0][dim].slope(trips[loop.index]);
      if (!slope || !slope->isConstant() || slope->constantPart() == 0) continue;
      if (flow.varies(all[0][dim].with(trips[loop.index], Poly()), loop)) continue;
      if (std::all_of(all.begin(), all.end(), [&](auto& one) { return one[dim] == all[0][dim]; })) return true;
    }
    return false;
  }
  // The loop itself looks up where the array is: elsewhere, for all that it knows.
  bool isReachedInside(const Access& access, const ArrayVariable& array) const {
    auto isLoad = [&](program::ValueId id, uint32_t slot) {
      auto* load = flow.maker(id);
      return load && load->op == Op::LOAD && load->imm == slot && flow.isInside(load, loop);
    };
    auto* address = access.at->args.empty() ? nullptr : flow.maker(access.at->args[0]);
    if (!address || address->op != Op::POINTER_ADD || !isLoad(address->args[0], array.slot)) return false;
    auto* offset = flow.maker(address->args[1]);
    return offset && offset->op == Op::MUL && isLoad(offset->args[1], array.slot + 2);
  }
  bool isCounted(const ArrayVariable& array, const Touched& touched) {
    if (array.dims != 1 || array.dtype != program::DType::I64) return false;
    for (auto* group : {&touched.writes, &touched.reads}) {
      for (auto* access : *group) {
        if (!isReachedInside(*access, array) || indicesOf(*access, array).empty()) return false;
      }
    }
    return countsOnly(flow, loop, touched.reads, touched.writes);
  }
  [[noreturn]] void explain(const std::vector<ArrayVariable>& variables, const Touched& touched) {
    auto* write = touched.writes[0];
    if (variables.empty())
      decline(write->at->line, "it writes into an array whose place is not known before the loop", "other");
    auto name = quoted(variables[0].slot);
    auto line = touched.reads.empty() ? write->at->line : touched.reads[0]->at->line;
    Touched writes{{}, touched.writes};
    bool writesApart =
        std::any_of(variables.begin(), variables.end(), [&](auto& one) { return isIndependent(one, writes); });
    if (writesApart) decline(line, "it reads elements of " + name + " that other iterations write", "carried");
    decline(write->at->line, "several iterations may write the same element of " + name, "scatter");
  }
  bool areApart(Symbol a, Symbol b) const {
    auto &one = flow.symbol(a), &other = flow.symbol(b);
    return (one.isFresh && (other.isFresh || other.isArgument)) || (one.isArgument && other.isFresh);
  }
  void requireApart(const ArrayVariable& written, Symbol other, const Touched& theirs) {
    for (auto& candidate : variablesOf(other)) {
      bool holdsAll = true;
      for (auto* group : {&theirs.writes, &theirs.reads}) {
        for (auto* access : *group) holdsAll &= !indicesOf(*access, candidate).empty();
      }
      if (holdsAll) {
        verdict.requirements.apart.emplace_back(written, candidate);
        return;
      }
    }
    // What is read along all of an array, by a function say, lies within one of its variables as long as no view is larger.
    auto line = theirs.reads.empty() ? theirs.writes[0]->at->line : theirs.reads[0]->at->line;
    decline(line, "it cannot be told whether an array it reads shares memory with " + quoted(written.slot), "other");
  }
};

}  // namespace

Verdict judge(Flow& flow, const Loop& loop, bool reorders) { return Judge(flow, loop, reorders).run(); }

}  // namespace epochly::multicore

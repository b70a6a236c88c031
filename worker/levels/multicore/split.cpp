#include "levels/multicore/split.h"

#include <algorithm>
#include <map>

#include "levels/multicore/chunk.h"
#include "levels/multicore/cut.h"

namespace epochly::multicore {

using program::Block;
using program::Instruction;
using program::Unit;

namespace {

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
    forEachInstruction(*unit.instances[index].body, [&](Instruction&) { instructions++; });
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
    std::map<int, size_t> inner;  // by loop, the first inside it that splits
    auto firstShape = result.loops.size();
    for (size_t i = 0; i < flow.loops().size(); i++) {
      auto& loop = flow.loops()[i];
      auto verdict = judge(flow, loop, reorders);
      int around = loop.parent < 0 ? 0 : splitsAround[loop.parent];
      if (verdict.shape.splits && around <= NESTED_SPLITS_MAX) {
        verdict.shape.number = result.parallel;
        if (loop.parent >= 0) inner.try_emplace(loop.parent, result.parallel);
        replace(*unit.instances[index].body, loop.loop, cut(unit, index, flow, loop, verdict, result.parallel++));
        around += loop.loop->anyOrder ? NESTED_SPLITS_MAX + 1 : 1;  // its inner loop is some thousand elements
      }
      splitsAround[loop.index] = around;
      result.loops.push_back(verdict.shape);
    }
    for (auto [loop, number] : inner) result.loops[firstShape + loop].inner = number;
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

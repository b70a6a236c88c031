// The function that runs a stretch of a split loop's iterations.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "levels/multicore/shape.h"

namespace epochly::multicore {

// Of what is folded: a variable that becomes an extreme.
struct Extreme {
  const SlotRole* role;
  uint32_t isFound;                 // a slot: whether the chunk may have found another
  std::vector<uint32_t> followers;  // slots that are assigned with it

  // Whether a chunk must find that out, which takes its loop's vectors apart. An integer from before the loop, which the chunk has
  // if it has found none, wins over no total; a NaN or a zero's sign might.
  bool isNoted() const { return role->reduction->op == program::Op::FCMP || !followers.empty(); }
};

// What the function gives its chunks, and what each of them leaves behind.
struct Exchange {
  std::vector<uint32_t> slots;
  std::vector<program::ValueId> values;
  std::vector<program::ValueId> listValues;    // that stand for lists of which chunks have their own
  std::map<uint32_t, program::ValueId> steps;  // among `values`: by slot, how far it moves in an iteration
  std::map<Symbol, program::ValueId> lengths;  // among `values`: of lists of counters
  // Left behind, in this order: slots whose value in the last iteration counts, what is folded, lists of what is to be folded in
  // order, then one for each of Verdict::gathered.
  std::vector<uint32_t> lastValues;
  std::vector<const SlotRole*> partial;
  std::vector<const SlotRole*> ordered;
  std::vector<Extreme> extremes;  // those of `partial` that are such

  // Slots among what is left behind.
  std::vector<uint32_t> slotsLeft() const;
};

// The list that chunks have one of their own of, for which `value` stands; null: it is another value.
const Gathered* listOf(const Verdict& verdict, const PolyPtr& value);

// Appends the instance to `unit`: its index. `from`: whose loop it is.
uint32_t makeChunk(program::Unit& unit, program::Instance& from, const Flow& flow, const Loop& loop, const Verdict& verdict,
                   const Exchange& exchange);

// False: the instruction is left out. `made`: the block that its copy would stand in.
using CopyEach = std::function<bool(program::Block& made, const program::Instruction& one, program::Instruction& copy)>;
program::Block& copyOf(program::Unit& unit, const program::Block& block, const CopyEach& each = {});

void forEachInstruction(const program::Block& block, const std::function<void(program::Instruction&)>& use);

}  // namespace epochly::multicore

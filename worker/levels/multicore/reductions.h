// Variables that a loop folds its iterations into: sums, products, extremes, flags.
#pragma once

#include <optional>
#include <set>

#include "levels/multicore/flow.h"

namespace epochly::multicore {

struct Reduction {
  // ADD, MUL and their CHECKED forms, AND, OR, XOR, BAND, BOR, FADD, FMUL; ICMP or FCMP: an extreme, by `compare`.
  program::Op op;
  program::Prim prim;
  uint32_t guard = 0;         // of the operation
  uint32_t warningGuard = 0;  // numpy would have to warn if the result were not finite; 0: nobody asks
  // Of an extreme: a candidate replaces the variable if compare(candidate, variable), or the other way round.
  program::Compare compare = program::Compare::LT;
  bool candidateFirst = true;
  const program::Instruction* store =
      nullptr;  // of an extreme: the one that replaces it, or keeps it where `chosen` does not hold
  const program::Block* block = nullptr;                  // that it stands in, where it always replaces
  std::optional<program::ValueId> chosen;                 // none: what is stored is the candidate
  bool isChosenFalse = false;                             // the candidate replaces it where `chosen` does not hold
  std::set<program::ValueId> totals;                      // what is folded so far, wherever it is computed
  std::map<const program::Instruction*, bool> additions;  // the operations; true: the second operand is what is folded in
  bool isExtreme() const { return op == program::Op::ICMP || op == program::Op::FCMP; }
  bool isOfFloats() const { return op == program::Op::FADD || op == program::Op::FMUL; }
};

// None: it is something else, or somebody looks at it on the way.
std::optional<Reduction> reductionOf(const Flow& flow, const Loop& loop, uint32_t slot);

// Whether `slot` is assigned exactly where an extreme is replaced: `if x > best: best = x; where = i`. Nobody else in the loop may read it.
bool follows(const Flow& flow, const Loop& loop, uint32_t slot, const Reduction& extreme);

}  // namespace epochly::multicore

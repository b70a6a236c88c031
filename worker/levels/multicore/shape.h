// The shape of a loop: whether its iterations are independent, and if not, why, in words for the user.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "levels/multicore/flow.h"
#include "levels/multicore/gathers.h"
#include "levels/multicore/reductions.h"

namespace epochly::multicore {

// For the user.
struct LoopShape {
  uint32_t line = 0;
  int depth = 0;         // loops around it
  std::string function;  // that it stands in
  std::string kind;      // "map", "carried", ...
  bool splits = false;   // its iterations may run on several cores
  std::string reason;    // why not
  uint32_t reasonLine = 0;
  std::optional<size_t> number;  // by which the code names it, where it splits
  bool isOrdered = false;        // floats are folded in the order of the iterations, beside the chunks that compute them
  bool isFixed = false;          // its chunks depend on nothing but the number of iterations
  std::optional<size_t> inner;   // the number of a loop inside that splits, too
};

// What becomes of a variable that the loop assigns.
struct SlotRole {
  enum How : uint8_t {
    STEPS,    // grows by `step` in each iteration
    PRIVATE,  // assigned before it is read, in each iteration
    KEEPS,    // assigned on the way out only
    REDUCED,  // what the iterations are folded into
    FOLLOWS,  // assigned where the extreme in `leader` is
  };
  uint32_t slot;
  How how;
  Poly step;
  bool isLive = false;  // read after the loop
  std::optional<Reduction> reduction;
  uint32_t leader = 0;
};

// The loop ends when a value that begins as `from` and moves by one reaches `to`; or before it begins, where it moves away.
struct Trip {
  Poly from, to;
  bool movesAway = false;
};

// An array or a list of this many counters or fewer: each chunk has its own, which it clears and which are added up.
constexpr int64_t COUNTERS_MAX = 8192;

// What each chunk has one of its own of, and is put together in the order of the iterations.
struct Gathered {
  program::FoldKind kind;        // COUNTERS, LIST_COUNTERS or APPEND
  program::ArrayVariable array;  // COUNTERS: which
  Symbol list = 0;               // the list
  int64_t leaves = 0;            // of its elements
};

// What must hold before the loop for its iterations to be independent.
struct Requirements {
  std::vector<std::pair<Poly, Poly>> notNegative;  // at the first iteration; its growth per iteration
  std::vector<program::ArrayVariable> distinct;    // no two elements of it lie in one place
  std::vector<std::pair<program::ArrayVariable, program::ArrayVariable>> apart;  // they share no memory
  std::vector<program::ArrayVariable> few;                                       // they have COUNTERS_MAX elements at most
  std::vector<Symbol> fewInList;                                                 // lists; the same
  std::vector<std::pair<Symbol, Symbol>> others;                                 // two lists, not one
};

struct Verdict {
  LoopShape shape;
  // Where it splits:
  std::vector<SlotRole> roles;
  std::vector<Trip> trips;  // the shortest counts
  Requirements requirements;
  std::vector<Gathered> gathered;
  const program::Instruction* test = nullptr;  // the IF at the loop's head, whose second body leaves it
};

// reorders: sums of floats may be added up in another order (fastmath).
Verdict judge(Flow& flow, const Loop& loop, bool reorders);

}  // namespace epochly::multicore

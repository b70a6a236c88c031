// What the loops of one function do: which variables they carry, what memory they touch and at which addresses, how they end. One walk
// over its typed code in order, with every integer as a polynomial in what is not known before.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "levels/multicore/symbols.h"

namespace epochly::multicore {

// Loops of a function that are looked at: one bit each in a word.
constexpr size_t LOOPS_MAX = 64;
// A function of more instructions is not looked at: the walk copies its variables at every branch.
constexpr size_t WALK_INSTRUCTIONS_MAX = 20'000;

struct Access {
  const program::Instruction* at;
  int loop;  // the innermost; -1: outside of all
  bool isWrite;
  bool isList;
  PolyPtr address;  // of an array's element; of a list, not its element
  PolyPtr index;    // of a list's item; null: any of them
};

struct Comparison {
  program::Compare compare;
  PolyPtr left, right;
};

struct SlotState {
  PolyPtr value;
  uint64_t stale = 0;  // bits of loops: it may still be what it was when their iteration began
};
using State = std::vector<SlotState>;

struct Loop {
  const program::Instruction* loop;
  int index;
  int parent;  // -1: none
  uint32_t line;
  uint64_t bit;
  uint32_t first = 0, last = 0;  // positions in the walk
  State entry;
  std::map<uint32_t, Symbol> heads;  // by slot that is stored in it
  State back;                        // where the next iteration begins; empty: there is none
  std::map<uint32_t, const program::Instruction*>
      headReads;                                   // slots whose value of the iteration before is read, and where first
  std::vector<const program::Instruction*> exits;  // jumps and returns out of it
  std::vector<const program::Instruction*> calls;
};

// Whether a called function writes what its caller can see.
using WritesMemory = std::function<bool(uint32_t instance)>;

class Flow {
 public:
  Flow(program::Unit& unit, uint32_t instance, WritesMemory writes);

  program::Instance& of() const { return instance; }
  const std::vector<Loop>& loops() const { return all; }
  const std::vector<Access>& accesses() const { return touched; }
  const SymbolData& symbol(Symbol symbol) const { return symbols[symbol]; }
  Symbol newSymbol(SymbolData data);
  // What a condition compares, all of which must hold; empty: something else.
  std::vector<Comparison> comparisons(program::ValueId condition) const;
  const PolyPtr& value(program::ValueId id) const { return values[id]; }
  // Values that the walk met have smaller numbers; loops that are split add others.
  size_t valueCount() const { return values.size(); }
  uint32_t position(const program::Instruction* one) const { return positions.at(one); }
  bool isInside(const program::Instruction* one, const Loop& loop) const;
  // Whether it may change while `loop` runs.
  bool varies(Symbol symbol, const Loop& loop) const;
  bool varies(const Poly& poly, const Loop& loop) const;
  // What an instruction reads of `slot` and writes to it: by LOAD and STORE, as the walk met them.
  const PolyPtr& stateAt(const program::Instruction* storeOrLoad) const { return slotValues.at(storeOrLoad); }
  const std::vector<const program::Instruction*>& users(program::ValueId id) const;
  const program::Instruction* maker(program::ValueId id) const { return makers[id]; }  // null: it is in code that never runs
  // Whether both are computed in the same way from the same variables and, as long as nothing in `loop` writes memory, from the same
  // memory.
  bool isSame(program::ValueId a, program::ValueId b, const Loop& loop) const;
  const std::vector<const program::Instruction*>& slotUsers(uint32_t slot) const;
  std::string nameOf(uint32_t slot) const;
  // The one symbol that points somewhere; none: it is not known whereto.
  std::optional<Symbol> root(const Poly& address) const;

 private:
  program::Unit& unit;
  program::Instance& instance;
  const WritesMemory writes;
  std::vector<SymbolData> symbols;
  std::vector<PolyPtr> values;  // by ValueId
  std::map<program::ValueId, std::vector<Comparison>> conditions;
  std::vector<Loop> all;
  std::vector<Access> touched;
  std::vector<int> open;  // loops around here
  State state;
  bool alive = true;
  std::map<int64_t, std::optional<State>> pending;  // by label behind a block: what the jumps to it bring
  std::map<int64_t, std::pair<int, size_t>>
      labels;  // the loop whose head it is or -1, and how many loops were open around it
  std::map<const program::Instruction*, uint32_t> positions;
  std::map<const program::Instruction*, PolyPtr> slotValues;
  std::map<program::ValueId, std::vector<const program::Instruction*>> usersOf;
  std::map<uint32_t, std::vector<const program::Instruction*>> slotUsersOf;
  std::vector<const program::Instruction*> makers;  // by ValueId
  std::map<Poly, Symbol> strides;
  std::set<uint32_t> strideSlots;
  uint64_t leaving = 0;  // loops that the jump whose body is walked goes out of
  std::map<const program::Instruction*, uint64_t> leavingAt;

  int here() const { return open.empty() ? -1 : open.back(); }
  bool isWithin(int loop, int outer) const;
  int innermost(const Poly& poly) const;
  PolyPtr fresh(SymbolData data);
  void walk(const program::Block& block);
  void walk(const program::Instruction& one);
  void walkIf(const program::Instruction& one);
  void walkLoop(const program::Instruction& one);
  void jump(const program::Instruction& one);
  void leave(const program::Instruction& one, size_t loopsKept);
  void bring(std::optional<State>& target);
  void merge(State& into, const State& other);
  PolyPtr evaluate(const program::Instruction& one);
  PolyPtr arithmetic(const program::Instruction& one);
  PolyPtr select(const program::Instruction& one);
  PolyPtr load(const program::Instruction& one);
  void store(const program::Instruction& one);
  void touch(const program::Instruction& one);
  void touchUfunc(const program::Instruction& one);
  void touchMatmul(const program::Instruction& one);
  void touchCall(const program::Instruction& one);
  void access(const program::Instruction& one, bool isWrite, PolyPtr address);
  void accessList(const program::Instruction& one, bool isWrite, PolyPtr list, PolyPtr index);
  PolyPtr anywhereAlong(PolyPtr pointer, std::vector<program::ValueId> strides);
};

}  // namespace epochly::multicore

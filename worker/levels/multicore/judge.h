// Judges one loop. shape.cpp, trips.cpp, memory.cpp.
#pragma once

#include "levels/multicore/shape.h"

namespace epochly::multicore {

class Judge {
 public:
  Judge(Flow& flow, const Loop& loop, bool reorders);
  Verdict run();

 private:
  struct NotIndependent {
    uint32_t line;
    std::string kind;
    std::string reason;
  };
  Flow& flow;
  const Loop& loop;
  const bool reorders;
  Verdict verdict;
  std::map<int, Symbol> trips;  // by loop

  [[noreturn]] void decline(uint32_t line, std::string reason, std::string kind = "other") const;
  std::string quoted(uint32_t slot) const;

  // ---- variables: shape.cpp ----------------------------------------------------------------------------------------------
  bool isReadOutside(uint32_t slot) const;
  std::optional<Poly> stepOf(const Loop& of, uint32_t slot) const;
  // The extreme that `slot` is assigned with.
  std::optional<uint32_t> leaderOf(uint32_t slot) const;
  std::string whyCarried(uint32_t slot) const;
  void giveRoles();

  // ---- how it ends: trips.cpp --------------------------------------------------------------------------------------------
  static const program::Instruction* leavingTest(const program::Block& block, const Loop& loop);
  void findTest();
  void countTrips();
  Trip tripOf(const Comparison& one);
  // A list's length that is asked for in each iteration is known before, as the loop changes no list's length.
  bool variesBesides(const Poly& poly) const;
  bool isKnownLength(Symbol symbol) const;
  // Whether code before the loop can compute it.
  bool canKnow(const Poly& poly) const;
  bool canKnow(Symbol symbol) const;
  // `poly` in iterations instead of in what variables hold when one begins.
  Poly resolve(Poly poly);
  static std::vector<Symbol> symbolsOf(const Poly& poly);
  // Known, or to be looked at before the loop: at its first and its last iteration.
  bool isNotNegative(const Poly& index);

  // ---- memory: memory.cpp ------------------------------------------------------------------------------------------------
  void checkCalls();
  // The memory was made in this iteration: no other sees it.
  bool isOwn(const Poly& address) const;
  void checkLists();
  bool isCountedList(Symbol list);
  bool isGathered(Symbol list) const;
  struct Touched {
    std::vector<const Access*> reads, writes;
  };
  std::vector<program::ArrayVariable> variablesOf(Symbol root) const;
  // The index in each dimension of `array`, within its bounds; empty: the address is no element's.
  std::vector<Poly> indicesOf(const Access& access, const program::ArrayVariable& array);
  void checkArrays();
  void checkWritten(Symbol root, const Touched& touched, const std::map<Symbol, Touched>& byRoot);
  // Every access is at a * iteration + b of one dimension, with the same a and b: no two iterations meet.
  bool isIndependent(const program::ArrayVariable& array, const Touched& touched);
  // The loop itself looks up where the array is: elsewhere, for all that it knows.
  bool isReachedInside(const Access& access, const program::ArrayVariable& array) const;
  bool isCounted(const program::ArrayVariable& array, const Touched& touched);
  [[noreturn]] void explain(const std::vector<program::ArrayVariable>& variables, const Touched& touched);
  bool areApart(Symbol a, Symbol b) const;
  void requireApart(const program::ArrayVariable& written, Symbol other, const Touched& theirs);
};

}  // namespace epochly::multicore

// What is known of a loop before it is entered, and what is checked there so that it need not be checked inside.
#pragma once

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/Analysis/ScalarEvolutionExpressions.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/Transforms/Utils/ScalarEvolutionExpander.h>

#include <optional>

namespace epochly::jit {

// Steps of an index that a check before the loop takes: with these the last index fits 128 bits whatever the trip count.
constexpr int64_t STEP_MAX = int64_t(1) << 31;

// Of one loop with a preheader and a latch. All values that it gives are computed before the loop.
class BeforeLoop {
 public:
  BeforeLoop(llvm::Loop& loop, llvm::ScalarEvolution& scev);

  llvm::Instruction* end() const { return before; }
  // Of the loop, at most; null: not known before it, or not to be computed there.
  const llvm::SCEV* backEdges() const { return taken; }

  bool isInvariant(const llvm::SCEV* value) { return scev.isLoopInvariant(value, &loop); }
  bool canExpand(const llvm::SCEV* value) { return expander.isSafeToExpandAt(value, before); }
  llvm::Value* expand(const llvm::SCEV* value) { return expander.expandCodeFor(value, value->getType(), before); }
  llvm::Value* widen(llvm::Value* value);
  // `first` + `count` steps, exact in 128 bits.
  llvm::Value* stepsFrom(llvm::Value* first, int64_t step, llvm::Value* count);

  // A value that runs evenly over the iterations; null: it does not. Exact in 128 bits at its first and its last.
  const llvm::SCEVAddRecExpr* even(const llvm::SCEV* value);
  struct Ends {
    llvm::Value *first, *last;
  };
  Ends endsOf(const llvm::SCEVAddRecExpr* run);

  // The least and the greatest that a value can be in any iteration, in 128 bits and within 64, given the checks. Of what is computed
  // without overflow from values that run evenly or do not change; else nothing.
  struct Range {
    llvm::Value *low, *high;
  };
  std::optional<Range> rangeOf(llvm::Value* value, unsigned depth = 0);
  // Of `left` operation `right`, which need not fit 64 bits.
  std::optional<Range> rangeOf(llvm::Instruction::BinaryOps operation, llvm::Value* left, llvm::Value* right,
                               unsigned depth = 0);

  // What must hold, or the loop is not entered.
  void check(llvm::Value* holds) { checks.push_back(holds); }
  void checkFits(llvm::Value* wide);
  size_t checked() const { return checks.size(); }
  void uncheck(size_t since) { checks.truncate(since); }
  // One branch before the loop for all checks; to `otherwise()` if one does not hold.
  void place(llvm::DominatorTree& tree, llvm::LoopInfo& loops, llvm::function_ref<llvm::BasicBlock*()> otherwise);

 private:
  llvm::Loop& loop;
  llvm::ScalarEvolution& scev;
  llvm::SCEVExpander expander;
  llvm::Instruction* const before;
  const llvm::SCEV* taken = nullptr;
  llvm::SmallVector<llvm::Value*> checks;

  llvm::Value* least(llvm::ArrayRef<llvm::Value*> values, llvm::Intrinsic::ID which);
};

}  // namespace epochly::jit

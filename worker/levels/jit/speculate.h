// Takes guards and polls out of loops, so that what is left of them is fast and can be vectorised.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// Stands for `poll()` on a loop's back edge until this pass: `void ()`.
constexpr const char* POLL_POINT = "epochly.poll.point";
// Stands for Python's negative indices until this pass: `i64 (index, length)`, index + length where the index is below zero.
constexpr const char* INDEX_POINT = "epochly.index.point";

// Iterations between two looks at the poll in a loop that has none inside: 16384 iterations of 100 ns are under 2 ms.
constexpr uint64_t STRIP_ITERATIONS = 1 << 14;

// Where every iteration of a loop checks an index that runs evenly, the first and the last are checked before the loop instead. That
// may fail for an iteration that a `break` would have spared: only for code that is run again carefully when a guard fails.
class SpeculatePass : public llvm::PassInfoMixin<SpeculatePass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

// Lowers what SpeculatePass left of INDEX_POINT and POLL_POINT, the poll to `ticks` and a call of epochly_poll(context).
class ExpandPointsPass : public llvm::PassInfoMixin<ExpandPointsPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

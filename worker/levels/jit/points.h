// Calls that stand for what is decided later: where a loop looks at the clock, and what a negative index means.
#pragma once

#include <llvm/IR/Instructions.h>
#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// Stands for `poll()` on a loop's back edge until ExpandPointsPass: `void (ticks, bad, status)`.
constexpr const char* POLL_POINT = "epochly.poll.point";
// Stands for Python's negative indices until then: `i64 (index, length)`, index + length where the index is below zero.
constexpr const char* INDEX_POINT = "epochly.index.point";

// Iterations between two looks at the poll in a loop that has none inside: 16384 iterations of 100 ns are under 2 ms.
constexpr uint64_t STRIP_ITERATIONS = 1 << 14;

// Every point of that name in blocks that `wanted` takes.
llvm::SmallVector<llvm::CallInst*> pointsIn(llvm::ArrayRef<llvm::BasicBlock*> blocks, llvm::StringRef name,
                                            llvm::function_ref<bool(llvm::BasicBlock*)> wanted);

// Lowers what SpeculatePass left of INDEX_POINT and POLL_POINT, the poll to `ticks` and a call of epochly_poll(context).
class ExpandPointsPass : public llvm::PassInfoMixin<ExpandPointsPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

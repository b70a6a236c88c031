// A loop's note as wide as what the loop computes.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// LLVM chooses how many iterations to take at once by the types that a loop loads, stores and accumulates out of order. In a loop
// without memory that is the note alone, of one bit, and 64 iterations are too many: the code is ten times as long, and no faster.
// There the note becomes 64 bits wide.
class WideNotesPass : public llvm::PassInfoMixin<WideNotesPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

// Takes guards out of loops, so that what is left of them is fast and can be vectorised.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// Where every iteration of a loop checks an index that runs evenly, the first and the last are checked before the loop instead. That
// may fail for an iteration that a `break` would have spared: only for code that is run again carefully when a guard fails.
class SpeculatePass : public llvm::PassInfoMixin<SpeculatePass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

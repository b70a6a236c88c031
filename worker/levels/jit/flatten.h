// Short loops inside of loops, laid out flat.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// Asks for the full unrolling of loops that only compute, a known number of times, so that the loop around them is an innermost one
// and can be vectorised: each iteration of it is a chain of its own, where those of the inner loop wait for each other.
class FlattenPass : public llvm::PassInfoMixin<FlattenPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

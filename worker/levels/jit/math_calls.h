// Calls of libm in LLVM's code.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// sin and cos of one number are one call, which costs as much as one of them.
class PairSinesPass : public llvm::PassInfoMixin<PairSinesPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

// For fastmath: says which vector functions stand for the calls, so that loops with them can be vectorised. What is to be vectorised must
// not have been paired.
class OfferVectorMathPass : public llvm::PassInfoMixin<OfferVectorMathPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

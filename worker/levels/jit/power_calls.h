// Calls of powers::SQUARE and powers::ROOT in LLVM's code.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// What the processor computes without libm, and whether it is libm's answer; of a vector, per lane.
struct PowerGuess {
  llvm::Value *result, *usual;
};
PowerGuess guessSquare(llvm::IRBuilder<>& ir, llvm::Value* x);
PowerGuess guessRoot(llvm::IRBuilder<>& ir, llvm::Value* x);

// Says which functions do the same for several numbers, so that loops with such calls can be vectorised.
class OfferVectorPowersPass : public llvm::PassInfoMixin<OfferVectorPowersPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

// The guess in line, the call where it is rare: for a vector, where it is rare in any lane. So nothing is spilled where no lane is.
class ExpandPowersPass : public llvm::PassInfoMixin<ExpandPowersPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

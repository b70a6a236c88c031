// Variables that hold floats as integers, because elsewhere they might hold something else, become variables of floats.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// A variable of a union type carries its value as 64 bits. Where all that it ever takes in are floats (and constants), moving it between
// the processor's integer and float registers in each iteration is for nothing.
class RealBitsPass : public llvm::PassInfoMixin<RealBitsPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

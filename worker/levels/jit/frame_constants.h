// What a parallel loop's chunks are told that is known when they are compiled.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// A constant that the caller of epochly_parallel() puts into the frame is one in the chunk, too: the strides of contiguous arrays above
// all, without which nothing is vectorised. Runs when functions have been inlined and their variables are values.
class FrameConstantsPass : public llvm::PassInfoMixin<FrameConstantsPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

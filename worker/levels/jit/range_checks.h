// Makes the checks of integers cheap that fast code collects in a note ("bad") and looks at now and then.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// A product with a constant, and what is added to it: the factor's range is looked at instead of the result's overflow. May also fail
// where only one of the two is computed: only for code that is run again carefully when a guard fails.
class RangeChecksPass : public llvm::PassInfoMixin<RangeChecksPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

// Of loops that are not vectorised: the factors' bits are collected, one operation per iteration, and looked at where the note is. Fails
// sooner than it has to, where a factor has as many bits as its largest, or is not multiplied: as above.
class RangeNotePass : public llvm::PassInfoMixin<RangeNotePass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

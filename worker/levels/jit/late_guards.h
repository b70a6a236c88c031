// Makes the checks of floats cheap that fast code collects in a note ("bad") and looks at now and then.
#pragma once

#include <llvm/IR/PassManager.h>

namespace epochly::jit {

// Drops checks "this float is finite" that others in the note imply: a sum, difference or product is finite only if its operands are, and
// so is what a loop accumulates in its last iteration.
class ImpliedChecksPass : public llvm::PassInfoMixin<ImpliedChecksPass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

// Of loops that are not vectorised: one addition per iteration keeps note of values that are not finite (times zero they are NaN, which
// stays in a sum), where comparing and noting takes five instructions. Needs fma.
class NotANumberNotePass : public llvm::PassInfoMixin<NotANumberNotePass> {
 public:
  llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);
  static bool isRequired() { return true; }
};

}  // namespace epochly::jit

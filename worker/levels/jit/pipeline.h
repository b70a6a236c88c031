// LLVM's passes, in an order that suits typed code.
#pragma once

#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include "levels/jit/code.h"

namespace epochly::jit {

// careful: guards stay where they are.
void optimise(llvm::Module& module, llvm::TargetMachine& machine, const Options& options);

}  // namespace epochly::jit

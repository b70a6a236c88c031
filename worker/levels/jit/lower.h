// Typed code to LLVM IR.
#pragma once

#include <llvm/IR/Module.h>

#include "levels/jit/compiler.h"

namespace epochly::jit {

// The module's only external function is `epochly_entry`, of the type of Code::entry.
std::unique_ptr<llvm::Module> lower(llvm::LLVMContext& context, program::Unit& unit, const Options& options);

}  // namespace epochly::jit

// Typed code to machine code, through LLVM.
#pragma once

#include <memory>
#include <string>

#include "levels/jit/code.h"

namespace epochly::jit {

// Thread-safe; the first call loads LLVM's target. They throw program::Declined if LLVM refuses, with its message.

// An object file for link().
std::string compileObject(program::Unit& unit, const Options& options);
std::shared_ptr<Code> compile(program::Unit& unit, const Options& options);
// For people: the optimised LLVM IR, or the assembly, of the same compilation.
std::string intermediate(program::Unit& unit, const Options& options);
std::string assembly(program::Unit& unit, const Options& options);

}  // namespace epochly::jit

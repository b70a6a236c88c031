// What epochly/_jit_compiler.so offers: LLVM, apart from epochly._jit, because loading it takes longer than most first calls may.
#pragma once

#include "levels/jit/code.h"

namespace epochly::ext::jit {

constexpr const char* COMPILER_FILE = "_jit_compiler.so";
constexpr const char* COMPILER_SYMBOL = "epochly_jit_compiler";

// They throw program::Declined.
struct CompilerLibrary {
  std::string (*object)(program::Unit& unit, const epochly::jit::Options& options);
  std::string (*intermediate)(program::Unit& unit, const epochly::jit::Options& options);
  std::string (*assembly)(program::Unit& unit, const epochly::jit::Options& options);
};

}  // namespace epochly::ext::jit

// Typed code to machine code, through LLVM's ORC.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "levels/jit/runtime.h"
#include "levels/program/code.h"

namespace epochly::jit {

// Machine code of one unit. Thread-safe. The code is freed with the last reference.
class Code {
 public:
  virtual ~Code() = default;
  // Arguments and results are leaves of 8 bytes. 0: it returned. Else a guard failed: its index if the code is careful.
  int32_t (*entry)(Context* context, const uint64_t* arguments, uint64_t* results) = nullptr;
  int64_t compileNs = 0;
};

struct Options {
  bool fastmath = false;  // reassociation, contraction, no signed zeros, no warnings of numpy
  // Each guard is looked at where it stands, and says which it is. Else guards are looked at before loops, after some iterations, or
  // stricter than need be: when one fails, the call is to be tried with careful code.
  bool careful = false;
  std::map<size_t, uint64_t> constants;  // arguments' leaves that are always these
};

// Thread-safe; the first call loads LLVM's target. Throws program::Declined if LLVM refuses, with its message.
std::shared_ptr<Code> compile(program::Unit& unit, const Options& options);
// For people: the optimised LLVM IR, or the assembly, of the same compilation.
std::string intermediate(program::Unit& unit, const Options& options);
std::string assembly(program::Unit& unit, const Options& options);

}  // namespace epochly::jit

// Machine code of one unit, whoever made it: the compiler just now, or an earlier process that left it on disk. Needs no LLVM.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "levels/jit/runtime.h"
#include "levels/program/code.h"

namespace epochly::jit {

struct Options {
  bool fastmath = false;  // reassociation, contraction, no signed zeros, no warnings of numpy
  // Each guard is looked at where it stands, and says which it is. Else guards are looked at before loops, after some iterations, or
  // stricter than need be: when one fails, the call is to be tried with careful code.
  bool careful = false;
  std::map<size_t, uint64_t> constants;  // arguments' leaves that are always these
};

// The name of a code's entry in its object file.
constexpr const char* ENTRY_NAME = "epochly_entry";

// Thread-safe. The code is freed with the last reference.
class Code {
 public:
  virtual ~Code() = default;
  // Arguments and results are leaves of 8 bytes. 0: it returned. Else a guard failed: its index if the code is careful.
  int32_t (*entry)(Context* context, const uint64_t* arguments, uint64_t* results) = nullptr;
  int64_t compileNs = 0;
  bool fromDisk = false;
};

// An object file (ELF, position independent) in memory, linked to the runtime. Throws program::Declined for what it does not know.
std::shared_ptr<Code> link(std::string_view object);

// Two units that are compiled to the same code have the same text, and others have not. Not for people.
std::string fingerprint(program::Unit& unit, const Options& options);

}  // namespace epochly::jit

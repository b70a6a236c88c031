// The scheduler's table entry for one pickled function.
#pragma once

#include <array>

#include <kj/array.h>
#include <kj/string.h>

#include "core/workload.h"
#include "wire/ids.h"

namespace epochly::core {

struct Hints {
  bool hasLoop = false;
  bool isCoroutine = false;
  bool waits = false;
};

// Times per level are seconds in user code, over attempts that returned.
struct Function {
  FunctionHash hash;
  kj::String name;
  kj::Array<byte> code;
  PythonVersion pythonVersion;  // that `code` needs, 0 = any
  kj::String module;            // that the worker must import, empty = by value
  Hints hints;

  Workload reported;    // last told by a client
  Average ioWaitRatio;  // measured by executors
  Average loopIterations;
  Average dataSize;
  std::array<Average, LEVEL_COUNT> runSeconds;
  std::array<Average, LEVEL_COUNT> compileSeconds;  // over attempts that compiled, or loaded what was compiled before
  uint64_t calls = 0;
  uint64_t errors = 0;

  // Tasks not yet ended plus client sessions that may name it. At 0 it may be evicted, oldest use first.
  uint64_t references = 0;
  uint64_t lastUse = 0;  // Core's event counter

  // Reported and measured, the better founded of each figure.
  Workload workload() const;
  // Expected seconds at `level`; NaN if it never ran there.
  double expectedRunSeconds(Level level) const { return runSeconds[static_cast<uint>(level)].mean(); }
  // The same of compiling for `level`.
  double expectedCompileSeconds(Level level) const { return compileSeconds[static_cast<uint>(level)].mean(); }
};

}  // namespace epochly::core

// The interpreter that executors run.
#pragma once

#include "probe/facts.h"
#include "wire/ids.h"

namespace epochly::probe {

// The oldest CPython the package supports (client-py/pyproject.toml).
constexpr PythonVersion PYTHON_MIN{3 << 8 | 10};

struct Python {
  PythonVersion version;  // 0 if it could not be found out
  kj::String problem;     // empty, or why it cannot run executors: a clause that follows its name
};

// Asks `program` (as for execvp). Blocks for about 15 ms.
Python probePython(kj::StringPtr program, Facts& facts);

// The level engines that executors of `program` have besides plain Python's.
struct Engines {
  bool jit = false;
  bool multicore = false;
};

// The package says so there; false also where it cannot be found out. The facts "python.jit" and "python.multicore" say which. Blocks
// for about 40 ms.
Engines probeEngines(kj::StringPtr program, Facts& facts);

}  // namespace epochly::probe

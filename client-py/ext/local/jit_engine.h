// Level 2 as this process's calls see it. The compiler itself is in epochly._jit, which links LLVM.
#pragma once

#include <Python.h>

#include "levels/registry/engines.h"

namespace epochly::ext {

class PythonCall;

// Adds the engine, or says why there is none. Does not load LLVM.
void addJitEngine(levels::Engines& engines);

// Runs a call at level 2 if it can; `result` as JitEngine::run leaves it. False: nothing has happened.
bool callAtJit(Level level, PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result);

// Whether level 2 takes a call, with code for it ready. Nothing visible happens.
bool compiles(const PythonCall& call);

// Nanoseconds that this thread has spent making code for level 2, in all; 0 before the first call at that level.
uint64_t madeCodeNs();
// Whether calls that this engine has run to their end ran compiled, with everything they called.
bool runsCompiled(const run::LevelEngine& engine);
// Iterations of Python loops that calls of this thread have run compiled, in all.
uint64_t compiledIterations();

}  // namespace epochly::ext

// Level 1 as this process's calls see it. What it does is in epochly.loops: the twin of a function, and the threads.
#pragma once

#include <Python.h>

#include "levels/registry/engines.h"

namespace epochly::ext {

// Adds the engine. Does not load epochly.loops.
void addThreadsEngine(levels::Engines& engines);

// Runs a call at level 1 if the function has a loop for it; `result` as LevelEngine::run leaves it. False: nothing has happened.
bool callAtThreads(PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result);

}  // namespace epochly::ext

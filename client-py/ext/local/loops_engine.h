// Levels 1 and 3 as this process's calls see them, of loops that leave this thread. What they do is in epochly.loops: the twin
// of a function, and what its loops are handed to, threads, processes or the workers of a cluster.
#pragma once

#include <Python.h>

#include "levels/registry/engines.h"

namespace epochly::ext {

// Add the engines. Do not load epochly.loops.
void addThreadsEngine(levels::Engines& engines);
void addHostsEngine(levels::Engines& engines);
void addProcessesEngine(levels::Engines& engines);

// Runs a call at level 1, or 3, if the function has a loop for it; `result` as LevelEngine::run leaves it. False: nothing has happened.
bool callAtThreads(PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result);
bool callAtProcesses(PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result);

}  // namespace epochly::ext

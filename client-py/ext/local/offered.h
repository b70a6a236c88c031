// Undecorated functions that a `with optimize_context(level)` block can name: while it is open their calls are offered to the level.
#pragma once

#include <Python.h>

namespace epochly::ext {

// Has calls of `function` offered, until withdraw() was called as often. False: it is no plain Python function, or something else
// has taken over how it is called. Needs the GIL, as everything here.
bool offer(PyObject* function);
void withdraw(PyObject* function);

// Whether a debugger, profiler or coverage of this thread wants to see every frame as it is.
bool isWatched();

}  // namespace epochly::ext

// Taking the GIL back in a process that may be ending.
#pragma once

#include <Python.h>

#include <cxxabi.h>
#include <unistd.h>

namespace epochly::ext {

// As PyEval_RestoreThread(). While the interpreter ends, CPython ends the threads that ask for the GIL by unwinding their stack, which
// compiled loops and C++ code that catches everything do not survive: such a thread sleeps here until the process is gone.
inline void takeGil(PyThreadState* state) {
  try {
    PyEval_RestoreThread(state);
  } catch (abi::__forced_unwind&) {
    while (true) pause();
  }
}

}  // namespace epochly::ext

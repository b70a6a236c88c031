// Waiting without the GIL, and what becomes of waiting threads when the interpreter ends.
#pragma once

#include <Python.h>

namespace epochly::ext {

// Gives up the GIL for its scope. A thread that would take it back after beginExit() waits for the end of the process instead:
// CPython ends such threads by unwinding their stack, which C++ code between does not survive.
class WithoutGil {
 public:
  WithoutGil() : state(PyEval_SaveThread()) {}
  ~WithoutGil();
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state;
};

// Called by an atexit handler, on the thread that goes on until the end.
void beginExit();

}  // namespace epochly::ext

// What epochly._jit offers to epochly._native, through a capsule: the one is loaded without the other.
#pragma once

#include <Python.h>

namespace epochly::ext::jit {

constexpr const char* API_NAME = "epochly._jit._api";

// A callable and how it is to be compiled.
struct Asked {
  PyObject* callable;
  bool fastmath = false;
  bool multicore = false;  // level 3: only if a loop splits

  auto operator<=>(const Asked&) const = default;
};

struct Api {
  // Null: level 2 or 3 takes calls of `callable` with such arguments, code for them is ready. Else why not, a sentence that is valid
  // until the next call from this thread. Nothing visible happens; never leaves an exception set.
  const char* (*declines)(Asked asked, PyObject* const* args, size_t nargs, PyObject* names);
  // True: it ran, `result` is its value, or null with an exception set. False: it gave the call back, `reason` says why, and
  // nothing visible has happened.
  bool (*call)(Asked asked, PyObject* const* args, size_t nargs, PyObject* names, PyObject*& result, const char*& reason);
  // Nanoseconds that the calling thread has spent making code, in all; what it found made costs nothing.
  uint64_t (*madeCodeNs)();
  // Iterations of Python loops that calls of the calling thread have run compiled, in all: those that CPython would count.
  uint64_t (*loopIterations)();
};

extern const Api api;

class JitFunction;
// What calls through the Api made of `callable`; null before the first.
const JitFunction* functionKnown(Asked asked);

}  // namespace epochly::ext::jit

// Calls of a Function: which level, which engine, what is measured.
#pragma once

#include <Python.h>

#include <vector>

#include "ext/local/function.h"
#include "ext/local/sizes.h"
#include "run/engine.h"

namespace epochly::ext {

// CPython 3.12 and 3.13 count calls that come from C against a limit of their own, in 3.12 as low as 750 deep, to guard the C
// stack. stackIsLow() guards it by its real size, so a decorated function may recurse as deep as it could undecorated.
class RecursionRefund {
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000
 public:
  RecursionRefund() : thread(PyThreadState_Get()) { thread->c_recursion_remaining += UNITS; }
  ~RecursionRefund() { thread->c_recursion_remaining -= UNITS; }
  KJ_DISALLOW_COPY(RecursionRefund);

 private:
  static constexpr int UNITS = 2;  // ceval.c's PY_EVAL_C_STACK_UNITS: what a Python call from C takes
  PyThreadState* const thread;
#endif
};

// The arguments of one call, as vectorcall hands them over. Lives on the stack of the call.
class PythonCall final : public run::Invocation {
 public:
  PythonCall(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* names, const Function* through = nullptr)
      : through(through), callable(callable), args(args), nargsf(nargsf), names(names) {}

  bool callPlain() override {
    if (!mayRunPlainly) return false;
    [[maybe_unused]] RecursionRefund refund;
    result = PyObject_Vectorcall(callable, args, nargsf, names);
    return result != nullptr;
  }
  double dataSize() override {
    Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    return dataSizeOf(args, PyVectorcall_NARGS(nargsf) + named);
  }
  void gaveBack(kj::String reason) override { givenBack = kj::mv(reason); }
  ~PythonCall() noexcept override { Py_XDECREF(prepared); }
  KJ_DISALLOW_COPY(PythonCall);

  const Function* const through;  // the decorated function that was called; null: it was not through one
  PyObject* const callable;
  PyObject* const* const args;
  const size_t nargsf;
  PyObject* const names;
  bool mayRunPlainly = true;             // false: if no engine runs it, the caller will, in a way of its own
  bool levelWasSaid = true;              // by the program; false: it was chosen for what was measured
  PyObject* result = nullptr;            // a new reference, or null with the exception set
  kj::Maybe<kj::String> givenBack;       // why the engine that took the call did not run it
  std::vector<kj::String> alsoDeclined;  // parts of the call that the engine which ran it left as they were, and why
  PyObject* prepared = nullptr;          // what an engine that took the call made for it; owned
};

// As a call of `function`, on this thread and in this process whatever its placement.
PyObject* callHere(Function* function, PyObject* const* args, size_t nargsf, PyObject* names);

// Raises RecursionError when the thread's stack is nearly used up: CPython 3.11 and later guard a recursion of Python functions
// by their number alone, and through this module each also takes a piece of the stack.
bool stackIsLow();

}  // namespace epochly::ext

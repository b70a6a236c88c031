// A function object says itself how it is called (its vectorcall member). CPython 3.10, 3.12 and later look there before they run its
// frame in line, so calls of it come here without its code, its callers or their frames being touched. CPython 3.11 looks only
// where somebody evaluates frames (PEP 523): there an evaluator that adds nothing stands in while functions are offered.
#include "ext/local/offered.h"

#include <unordered_map>

#include "ext/local/jit_engine.h"
#include "ext/local/levels.h"
#include "ext/local/loops_engine.h"

namespace epochly::ext {

namespace {

// How a plain function is called; the same for all of them.
vectorcallfunc plain = nullptr;

struct Offered {
  uint32_t times = 0;
};

std::unordered_map<PyObject*, Offered>& offered() {
  static auto& all = *new std::unordered_map<PyObject*, Offered>;
  return all;
}

PyObject* callOffered(PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names) {
  int level = levelChoice.contextUsed ? contextLevel() : LEVEL_NOT_GIVEN;
  if (level == static_cast<int>(Level::THREADS) && !isWatched()) {
    PyObject* result = nullptr;
    if (callAtThreads(function, args, nargsf, names, result)) return result;
  }
  if (level >= static_cast<int>(Level::JIT) && !isWatched()) {
    PyObject* result = nullptr;
    if (callAtJit(static_cast<Level>(level), function, args, nargsf, names, result)) return result;
  }
  if (level == static_cast<int>(Level::MULTICORE) && !isWatched()) {
    PyObject* result = nullptr;
    if (callAtProcesses(function, args, nargsf, names, result)) return result;
  }
  return plain(function, args, nargsf, names);
}

void setCall(PyObject* function, vectorcallfunc call) {
#if PY_VERSION_HEX >= 0x030c0000
  PyFunction_SetVectorcall(reinterpret_cast<PyFunctionObject*>(function), call);
#else
  auto* f = reinterpret_cast<PyFunctionObject*>(function);
  f->vectorcall = call;
#if PY_VERSION_HEX >= 0x030b0000
  f->func_version = 0;  // callers that have specialised on the function look again
#endif
#endif
}

#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
PyObject* evaluatePlainly(PyThreadState* thread, _PyInterpreterFrame* frame, int throwing) {
  return _PyEval_EvalFrameDefault(thread, frame, throwing);
}

// Where a debugger has set an evaluator of its own, calls look at the function already.
void keepCallsOutOfLine(bool on) {
  auto* interpreter = PyInterpreterState_Get();
  auto current = _PyInterpreterState_GetEvalFrameFunc(interpreter);
  if (on && current == _PyEval_EvalFrameDefault) _PyInterpreterState_SetEvalFrameFunc(interpreter, evaluatePlainly);
  if (!on && current == evaluatePlainly) _PyInterpreterState_SetEvalFrameFunc(interpreter, _PyEval_EvalFrameDefault);
}
#else
void keepCallsOutOfLine(bool) {}
#endif

}  // namespace

bool isWatched() {
  PyThreadState* thread = PyThreadState_Get();
  return thread->c_tracefunc != nullptr || thread->c_profilefunc != nullptr;
}

bool offer(PyObject* function) {
  if (!PyFunction_Check(function)) return false;
  auto* f = reinterpret_cast<PyFunctionObject*>(function);
  auto known = offered().find(function);
  if (known != offered().end()) {
    known->second.times++;
    return true;
  }
  auto flags = reinterpret_cast<PyCodeObject*>(f->func_code)->co_flags;
  if (flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) return false;
  if (plain == nullptr) {
    // Taken from a function that nobody can have touched.
    PyObject* globals = PyDict_New();
    PyObject* made = globals == nullptr ? nullptr : PyFunction_New(f->func_code, globals);
    if (made != nullptr) plain = reinterpret_cast<PyFunctionObject*>(made)->vectorcall;
    Py_XDECREF(made);
    Py_XDECREF(globals);
    PyErr_Clear();
  }
  if (plain == nullptr || f->vectorcall != plain) return false;
  Py_INCREF(function);
  offered()[function].times = 1;
  setCall(function, callOffered);
  keepCallsOutOfLine(true);
  return true;
}

void withdraw(PyObject* function) {
  auto known = offered().find(function);
  if (known == offered().end() || --known->second.times > 0) return;
  offered().erase(known);
  if (reinterpret_cast<PyFunctionObject*>(function)->vectorcall == callOffered) setCall(function, plain);
  if (offered().empty()) keepCallsOutOfLine(false);
  Py_DECREF(function);
}

}  // namespace epochly::ext

#include "ext/local/loops_engine.h"

#include <cstdlib>
#include <utility>

#include "ext/local/call.h"
#include "ext/local/jit_engine.h"
#include "ext/local/levels.h"

namespace epochly::ext {

namespace {

// The Python module of a level. Guarded by the GIL.
class Module {
 public:
  explicit Module(const char* name) : name(name) {}

  // An attribute: a new reference; null with an exception set.
  PyObject* entry(const char* attribute) {
    if (module == nullptr) module = PyImport_ImportModule(name);
    return module == nullptr ? nullptr : PyObject_GetAttrString(module, attribute);
  }

 private:
  const char* const name;
  PyObject* module = nullptr;  // never released: sys.modules keeps it too
};

Module level1("epochly.loops.level1");
Module level3("epochly.loops.level3");

kj::String textOf(PyObject* text) {
  const char* utf8 = PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : nullptr;
  PyErr_Clear();
  return kj::str(utf8 == nullptr ? "unknown" : utf8);
}

// The exception that is set, as text; clears it.
kj::String takeError() {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject* text = value == nullptr ? nullptr : PyObject_Str(value);
  auto result = kj::str("internal: ", text == nullptr ? kj::str("unknown error") : textOf(text));
  Py_XDECREF(text);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(traceback);
  PyErr_Clear();
  return result;
}

// (twin, Run) of a callable: a new reference; or a string that says why there is none. Null with an exception set: a fault of ours.
PyObject* prepare(Module& module, PyObject* callable, const char* entry = "prepare") {
  PyObject* function = module.entry(entry);
  PyObject* prepared = function == nullptr ? nullptr : PyObject_CallOneArg(function, callable);
  Py_XDECREF(function);
  return prepared;
}

PyObject* callTwin(PyObject* prepared, PyObject* const* args, size_t nargsf, PyObject* names) {
  [[maybe_unused]] RecursionRefund refund;
  return PyObject_Vectorcall(PyTuple_GET_ITEM(prepared, 0), args, nargsf, names);
}

// What the twin's loops came to: whether one was spread, and the sentences of those that were not.
class Outcome {
 public:
  Outcome(Module& module, PyObject* prepared) {
    PyErr_Fetch(&type, &value, &traceback);  // what the call raised
    PyObject* function = module.entry("outcome");
    outcome = function == nullptr ? nullptr : PyObject_CallOneArg(function, PyTuple_GET_ITEM(prepared, 1));
    Py_XDECREF(function);
    if (outcome == nullptr) internal = takeError();
  }
  ~Outcome() {
    Py_XDECREF(outcome);
    PyErr_Restore(type, value, traceback);
  }
  KJ_DISALLOW_COPY(Outcome);

  void tell(PythonCall& call) {
    if (outcome == nullptr) {
      call.alsoDeclined.push_back(kj::mv(internal));
      return;
    }
    PyObject* sentences = PyTuple_GET_ITEM(outcome, 1);
    bool spread = PyTuple_GET_ITEM(outcome, 0) == Py_True;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(sentences); ++i) {
      auto sentence = textOf(PyList_GET_ITEM(sentences, i));
      if (!spread && i + 1 == PyList_GET_SIZE(sentences)) {
        call.gaveBack(kj::mv(sentence));
      } else {
        call.alsoDeclined.push_back(kj::mv(sentence));
      }
    }
  }

 private:
  PyObject *type, *value, *traceback;
  PyObject* outcome;
  kj::String internal;
};

class LoopsEngine : public run::LevelEngine {
 public:
  // entry: the module's function that prepares a call.
  LoopsEngine(Level number, Module& module, const char* entry = "prepare") : number(number), module(module), entry(entry) {}

  Level level() const override { return number; }

  kj::Maybe<kj::String> declines(run::Invocation& call) const override {
    auto& c = static_cast<PythonCall&>(call);  // this process makes no other
    c.prepared = prepare(module, c.callable, entry);
    if (c.prepared == nullptr) return takeError();
    if (PyTuple_Check(c.prepared)) return nullptr;
    auto reason = textOf(c.prepared);
    Py_CLEAR(c.prepared);
    return kj::mv(reason);
  }

  bool run(run::Invocation& call) override {
    auto& c = static_cast<PythonCall&>(call);
    // Not the call's while it runs: at the interpreter's end a daemon thread is unwound out of it without the GIL, which ~PythonCall
    // needs; what it made is then left as it is.
    PyObject* prepared = std::exchange(c.prepared, nullptr);
    c.result = callTwin(prepared, c.args, c.nargsf, c.names);
    // A coroutine has not come to its loops yet.
    if (c.result == nullptr || !PyCoro_CheckExact(c.result)) Outcome(module, prepared).tell(c);
    Py_DECREF(prepared);
    return c.result != nullptr;
  }

 private:
  const Level number;
  Module& module;
  const char* const entry;
};

// Compiled loops over the workers of a cluster, which there is where one is named. Asked before the engine that uses this
// process's cores; what neither this process nor the program can do about it is passed over in silence.
class HostsEngine final : public LoopsEngine {
 public:
  HostsEngine() : LoopsEngine(Level::MULTICORE, level3, "prepare_compiled") {}

  kj::Maybe<kj::String> declines(run::Invocation& call) const override {
    auto& c = static_cast<PythonCall&>(call);  // this process makes no other
    if (c.through == nullptr || !c.levelWasSaid || std::getenv("EPOCHLY_ADDRESS") == nullptr || !compiles(c))
      return kj::String();
    if (fastmathAsked(c.through))
      return kj::str("with fastmath=True this process alone folds its sums: on several they would differ");
    return LoopsEngine::declines(call);
  }
};

#ifdef EPOCHLY_HAS_MULTICORE
constexpr char WHY_ONE_CORE[] = "";  // the engine that splits compiled loops has said it
#else
constexpr char WHY_ONE_CORE[] = " (this build has no oneTBB, which compiled loops are split with)";
#endif

class ProcessesEngine final : public LoopsEngine {
 public:
  ProcessesEngine() : LoopsEngine(Level::MULTICORE, level3) {}

  kj::Maybe<kj::String> declines(run::Invocation& call) const override {
    auto& c = static_cast<PythonCall&>(call);
    if (!c.levelWasSaid)
      return kj::str("other processes are a thing that a program can notice, so they are used where level=3 is said");
    KJ_IF_MAYBE(reason, LoopsEngine::declines(call)) return kj::mv(*reason);
    if (!compiles(c)) return nullptr;
    Py_CLEAR(c.prepared);
    return kj::str("it can be compiled, and compiled code on one core is faster than Python on several", WHY_ONE_CORE);
  }
};

bool callAt(Module& module, PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result) {
  PyObject* prepared = prepare(module, function);
  if (prepared == nullptr) PyErr_Clear();  // the call goes on as it is
  bool takes = prepared != nullptr && PyTuple_Check(prepared);
  if (takes) result = callTwin(prepared, args, nargsf, names);
  Py_XDECREF(prepared);
  return takes;
}

}  // namespace

bool callAtThreads(PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result) {
  return callAt(level1, function, args, nargsf, names, result);
}

bool callAtProcesses(PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result) {
  return callAt(level3, function, args, nargsf, names, result);
}

void addThreadsEngine(levels::Engines& engines) { engines.add(kj::heap<LoopsEngine>(Level::THREADS, level1), "threads"); }

void addHostsEngine(levels::Engines& engines) {
#ifdef EPOCHLY_HAS_MULTICORE
  engines.add(kj::heap<HostsEngine>(), "");
#endif
}

void addProcessesEngine(levels::Engines& engines) { engines.add(kj::heap<ProcessesEngine>(), "processes"); }

}  // namespace epochly::ext

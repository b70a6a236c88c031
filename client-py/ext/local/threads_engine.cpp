#include "ext/local/threads_engine.h"

#include "ext/local/call.h"

namespace epochly::ext {

namespace {

// An attribute of epochly.loops.level1: a new reference; null with an exception set. Guarded by the GIL.
PyObject* entry(const char* name) {
  static PyObject* module = nullptr;  // never released: sys.modules keeps it too
  if (module == nullptr) module = PyImport_ImportModule("epochly.loops.level1");
  return module == nullptr ? nullptr : PyObject_GetAttrString(module, name);
}

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
PyObject* prepare(PyObject* callable) {
  PyObject* function = entry("prepare");
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
  explicit Outcome(PyObject* prepared) {
    PyErr_Fetch(&type, &value, &traceback);  // what the call raised
    PyObject* function = entry("outcome");
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

class ThreadsEngine final : public run::LevelEngine {
 public:
  Level level() const override { return Level::THREADS; }

  kj::Maybe<kj::String> declines(run::Invocation& call) const override {
    auto& c = static_cast<PythonCall&>(call);  // this process makes no other
    c.prepared = prepare(c.callable);
    if (c.prepared == nullptr) return takeError();
    if (PyTuple_Check(c.prepared)) return nullptr;
    auto reason = textOf(c.prepared);
    Py_CLEAR(c.prepared);
    return kj::mv(reason);
  }

  bool run(run::Invocation& call) override {
    auto& c = static_cast<PythonCall&>(call);
    c.result = callTwin(c.prepared, c.args, c.nargsf, c.names);
    Outcome(c.prepared).tell(c);
    return c.result != nullptr;
  }
};

}  // namespace

bool callAtThreads(PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result) {
  PyObject* prepared = prepare(function);
  if (prepared == nullptr) PyErr_Clear();  // the call goes on as it is
  bool takes = prepared != nullptr && PyTuple_Check(prepared);
  if (takes) result = callTwin(prepared, args, nargsf, names);
  Py_XDECREF(prepared);
  return takes;
}

void addThreadsEngine(levels::Engines& engines) { engines.add(kj::heap<ThreadsEngine>()); }

}  // namespace epochly::ext

#include "ext/jit/function.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "ext/jit/marshal.h"
#include "ext/jit/numpy_buffer.h"
#include "ext/jit/numpy_types.h"
#include "ext/jit/obtain.h"
#include "ext/jit/team_library.h"
#include "ext/take_gil.h"
#include "levels/program/elaborator.h"

namespace epochly::ext::jit {

bool JitFunction::decline(std::string reason, uint32_t line) {
  why = line ? "line " + std::to_string(line) + ": " + reason : std::move(reason);
  whyLine = line;
  return false;
}

bool JitFunction::encodeOnce() {
  auto* code = reinterpret_cast<PyFunctionObject*>(function)->func_code;
  if (PyFunction_Check(function) && encodedCode.get() == code) {
    if (encoded) return true;
    return decline(declines["source"]);
  }
  if (!PyFunction_Check(function)) return decline("it is no Python function");
  encodedCode = Reference::borrowed(code);
  std::string reason;
  encoded = encode(function, reason);
  versions.clear();
  declines.clear();
  declinedKinds.clear();
  if (!encoded) {
    declines["source"] = reason;
    return decline(reason);
  }
  parameters = encoded->function().getParameters().size();
  plainlyCallable = !encoded->function().getReceiver();
  for (auto one : encoded->function().getParameters())
    plainlyCallable &= one.getKind() != schema::Parameter::Kind::KEYWORD_ONLY;
  return true;
}

bool JitFunction::bind(PyObject* const* args, size_t nargs, PyObject* names, Store& store, Bound& result) {
  if (plainlyCallable && nargs == this->parameters && !names) {
    result = {args, nargs};
    return true;
  }
  auto parameters = encoded->function().getParameters();
  auto* receiver = encoded->function().getReceiver() && nargs ? args[0] : nullptr;
  if (receiver) args++, nargs--;
  if (encoded->function().getReceiver() && !receiver) return decline("the arguments do not fit");
  auto& bound = store.bound;
  bound.assign(parameters.size(), nullptr);
  auto isOfKind = [&](size_t at, schema::Parameter::Kind kind) { return parameters[at].getKind() == kind; };
  using Kind = schema::Parameter::Kind;
  for (size_t i = 0; i < nargs; i++) {
    if (i >= parameters.size() || isOfKind(i, Kind::KEYWORD_ONLY) || isOfKind(i, Kind::ATTRIBUTE))
      return decline("the arguments do not fit");
    bound[i] = args[i];
  }
  auto named = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t i = 0; i < named; i++) {
    const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
    if (!name) {
      PyErr_Clear();
      return decline("the arguments do not fit");
    }
    bool found = false;
    for (uint at = 0; at < parameters.size(); at++) {
      if (parameters[at].getName() != name || isOfKind(at, Kind::POSITIONAL_ONLY) || isOfKind(at, Kind::ATTRIBUTE)) continue;
      if (bound[at]) return decline("the arguments do not fit");
      bound[at] = args[nargs + i];
      found = true;
    }
    if (!found) return decline("the arguments do not fit");
  }
  auto* f = reinterpret_cast<PyFunctionObject*>(function);
  Py_ssize_t positional = 0;
  for (uint at = 0; at < parameters.size(); at++)
    positional += !isOfKind(at, Kind::KEYWORD_ONLY) && !isOfKind(at, Kind::ATTRIBUTE);
  if (receiver && !bindAttributes(receiver, store)) return false;
  for (uint at = 0; at < parameters.size(); at++) {
    if (bound[at]) continue;
    if (isOfKind(at, Kind::KEYWORD_ONLY)) {
      if (f->func_kwdefaults) bound[at] = PyDict_GetItemString(f->func_kwdefaults, parameters[at].getName().cStr());
    } else if (f->func_defaults) {
      auto from = static_cast<Py_ssize_t>(at) - (positional - PyTuple_GET_SIZE(f->func_defaults));
      if (from >= 0) bound[at] = PyTuple_GET_ITEM(f->func_defaults, from);
    }
    if (!bound[at]) return decline("the arguments do not fit");
  }
  result = bound;
  return true;
}

// Reads what is surely read without running any code: the object's own attributes, slots, and plain values of its class.
bool JitFunction::bindAttributes(PyObject* receiver, Store& store) {
  auto parameters = encoded->function().getParameters();
  auto* type = Py_TYPE(receiver);
  for (uint at = 0; at < parameters.size(); at++) {
    if (parameters[at].getKind() != schema::Parameter::Kind::ATTRIBUTE) continue;
    std::string full = parameters[at].getName().cStr();  // "self.x"
    Reference name(PyUnicode_InternFromString(full.c_str() + full.find('.') + 1));
    auto* ofClass = _PyType_Lookup(type, name.get());
    bool isPlain = type->tp_getattro == PyObject_GenericGetAttr &&
                   (!ofClass || Py_TYPE(ofClass) == &PyMemberDescr_Type || !Py_TYPE(ofClass)->tp_descr_get);
    if (!isPlain) return decline(full + " is looked up by code of its class, which is not compiled");
    store.attributes.emplace_back(PyObject_GenericGetAttr(receiver, name.get()));
    PyErr_Clear();
    if (!store.attributes.back()) return decline("there is no " + full);
    store.bound[at] = store.attributes.back().get();
  }
  return true;
}

void JitFunction::dropStale() {
  std::erase_if(versions, [](auto& version) { return !version->assumptions.hold(); });
  if (!declineAssumptions.hold()) {
    declineAssumptions = Assumptions();
    declines.clear();
    declinedKinds.clear();
  }
}

std::shared_ptr<Version> JitFunction::prepare(PyObject* const* args, size_t nargs, PyObject* names) {
  Store store;
  Bound bound;
  if (!encodeOnce() || !bind(args, nargs, names, store, bound)) return nullptr;
  dropStale();
  return compile(bound);
}

bool JitFunction::givenUp() {
  for (auto& version : versions) {
    if (version->failuresInARow < FAILURES_MAX) continue;
    auto& which = version->unit->guards[version->lastGuard];
    decline("given up after " + std::to_string(FAILURES_MAX) + " calls in a row went back to CPython: " + which.reason,
            which.line);
    return true;
  }
  return false;
}

bool JitFunction::hasCode() const {
  if (!encoded || encodedCode.get() != reinterpret_cast<PyFunctionObject*>(function)->func_code) return false;
  return std::any_of(versions.begin(), versions.end(), [](auto& one) { return one->failuresInARow < FAILURES_MAX; });
}

bool JitFunction::ready(PyObject* const* args, size_t nargs, PyObject* names) {
  if (!encodeOnce()) return false;
  if (hasCode()) return true;
  dropStale();
  if (givenUp()) return false;
  Store store;
  Bound bound;
  if (!bind(args, nargs, names, store, bound)) return false;
  return awaitOther(bound) ? ready(args, nargs, names) : compile(bound) != nullptr;
}

Ran JitFunction::call(PyObject* const* args, size_t nargs, PyObject* names, PyObject*& result) {
  Store store;
  Bound bound;
  if (!encodeOnce() || !bind(args, nargs, names, store, bound)) return Ran::DECLINED;
  Ran ran;
  do {
    if (callKnown(bound, ran, result)) return ran;
    dropStale();
    if (givenUp()) return Ran::DECLINED;
  } while (awaitOther(bound));
  auto version = compile(bound);
  if (!version) return Ran::DECLINED;
  if (!run(*version, bound, ran, result)) {
    decline("the arguments do not load (the same list twice, or a read-only array that is written)");
    return Ran::DECLINED;
  }
  return ran;
}

}  // namespace epochly::ext::jit

#include "ext/local/awaited.h"

#include <structmember.h>

#include <cstddef>

#include "ext/local/stand_in.h"
#include "ext/local/step.h"

namespace epochly::ext {

namespace {

// Stands in for what `await` takes of a coroutine, and for one step of an asynchronous generator.
struct Awaited {
  PyObject_HEAD
  PyObject* inner;  // the real awaitable
  PyObject* steps;  // the Steps it moves on
  PyObject* weakrefs;
  bool closing;  // aclose(): over when this is
};

PyTypeObject* awaitedType;

Awaited* asAwaited(PyObject* object) { return reinterpret_cast<Awaited*>(object); }

// ---- its steps -------------------------------------------------------------------------------------------------------------

// The step of an asynchronous generator ends by StopIteration when the generator yields: only its own end is the
// generator's.
template <typename Run>
void awaitedStep(Awaited* a, Run run) {
  Steps* s = asSteps(a->steps);
  bool ofGenerator = PyAsyncGen_CheckExact(s->inner);
  takeStep(s, [&] {
    Step step = run();
    if (!ofGenerator || step != Step::FINISHED) return step;
    return a->closing ? Step::FINISHED : Step::SUSPENDED;
  });
}

auto within(Awaited* a) {
  return [a](auto run) { awaitedStep(a, run); };
}

PySendResult awaitedAmSend(PyObject* self, PyObject* value, PyObject** result) {
  return sendWithin(within(asAwaited(self)), asAwaited(self)->inner, value, result);
}

PyObject* awaitedMethod(PyObject* self, const char* name, PyObject* const* args, Py_ssize_t count) {
  return methodWithin(within(asAwaited(self)), asAwaited(self)->inner, name, args, count);
}

PyObject* awaitedNext(PyObject* self) {
  PyObject* none = Py_None;
  return awaitedMethod(self, "send", &none, 1);
}
PyObject* awaitedSend(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return awaitedMethod(self, "send", args, count);
}
PyObject* awaitedThrow(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return awaitedMethod(self, "throw", args, count);
}
PyObject* awaitedClose(PyObject* self, PyObject*) {
  Awaited* a = asAwaited(self);
  return closeWithin(within(a), a->inner, asSteps(a->steps)->inner);
}

// ---- its life --------------------------------------------------------------------------------------------------------------

int traverseAwaited(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(asAwaited(self)->inner);
  Py_VISIT(asAwaited(self)->steps);
  return 0;
}

// Without Steps it cannot be resumed; only what is unreachable is cleared.
int clearAwaited(PyObject* self) {
  Py_CLEAR(asAwaited(self)->inner);
  Py_CLEAR(asAwaited(self)->steps);
  return 0;
}

void deallocateAwaited(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (asAwaited(self)->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  clearAwaited(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef awaitedMethods[] = {{"send", method(awaitedSend), METH_FASTCALL, nullptr},
                                {"throw", method(awaitedThrow), METH_FASTCALL, nullptr},
                                {"close", awaitedClose, METH_NOARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyMemberDef awaitedMembers[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(Awaited, weakrefs), READONLY, nullptr},
                                {nullptr, 0, 0, 0, nullptr}};

PyObject* asyncMethod(PyObject* self, const char* name, PyObject* const* args, Py_ssize_t count, bool closing) {
  PyObject* method = PyObject_GetAttrString(asSteps(self)->inner, name);
  if (method == nullptr) return nullptr;
  PyObject* inner = PyObject_Vectorcall(method, args, static_cast<size_t>(count), nullptr);
  Py_DECREF(method);
  return makeAwaited(self, inner, closing);
}

PyObject* asyncSend(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return asyncMethod(self, "asend", args, count, false);
}
PyObject* asyncThrow(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return asyncMethod(self, "athrow", args, count, false);
}
PyObject* asyncClose(PyObject* self, PyObject*) { return asyncMethod(self, "aclose", nullptr, 0, true); }

}  // namespace

PyObject* makeAwaited(PyObject* steps, PyObject* inner, bool closing) {
  if (inner == nullptr) return nullptr;
  auto* a = asAwaited(awaitedType->tp_alloc(awaitedType, 0));
  if (a == nullptr) {
    Py_DECREF(inner);
    return nullptr;
  }
  a->inner = inner;
  a->steps = Py_NewRef(steps);
  a->closing = closing;
  return reinterpret_cast<PyObject*>(a);
}

PyObject* asyncNext(PyObject* self) {
  PyObject* inner = asSteps(self)->inner;
  return makeAwaited(self, Py_TYPE(inner)->tp_as_async->am_anext(inner), false);
}

PyMethodDef asyncMethods[] = {{"asend", method(asyncSend), METH_FASTCALL, nullptr},
                              {"athrow", method(asyncThrow), METH_FASTCALL, nullptr},
                              {"aclose", asyncClose, METH_NOARGS, nullptr},
                              {nullptr, nullptr, 0, nullptr}};

void addAwaitedType(PyObject* module) {
  awaitedType = addStandInType(module, "epochly._native.Awaited", sizeof(Awaited),
                               {{Py_tp_traverse, slot(traverseAwaited)},
                                {Py_tp_clear, slot(clearAwaited)},
                                {Py_tp_dealloc, slot(deallocateAwaited)},
                                {Py_tp_members, awaitedMembers},
                                {Py_tp_iter, slot(PyObject_SelfIter)},
                                {Py_tp_iternext, slot(awaitedNext)},
                                {Py_am_await, slot(PyObject_SelfIter)},
                                {Py_am_send, slot(awaitedAmSend)},
                                {Py_tp_methods, awaitedMethods}});
}

}  // namespace epochly::ext

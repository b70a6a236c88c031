#include "ext/local/steps.h"

#include <structmember.h>

#include <cstddef>
#include <initializer_list>
#include <utility>
#include <vector>

#include "ext/local/awaited.h"
#include "ext/local/levels.h"
#include "ext/local/stand_in.h"
#include "ext/local/step.h"

namespace epochly::ext {

namespace {

using monitor::Block;
using monitor::NEVER;

PyTypeObject* generatorType;
PyTypeObject* coroutineType;
PyTypeObject* asyncGeneratorType;

// ---- generators and coroutines: send, throw, close, next -------------------------------------------------------------------

auto within(Steps* s) {
  return [s](auto run) { takeStep(s, run); };
}

PyObject* stepsSend(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return methodWithin(within(asSteps(self)), asSteps(self)->inner, "send", args, count);
}

PyObject* stepsThrow(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return methodWithin(within(asSteps(self)), asSteps(self)->inner, "throw", args, count);
}

PyObject* stepsClose(PyObject* self, PyObject*) {
  PyObject* inner = asSteps(self)->inner;
  return closeWithin(within(asSteps(self)), inner, inner);
}

PyObject* stepsNext(PyObject* self) {
  Steps* s = asSteps(self);
  PyObject* result = nullptr;
  takeStep(s, [&] {
    result = Py_TYPE(s->inner)->tp_iternext(s->inner);
    return stepOf(result);
  });
  return result;
}

PySendResult stepsAmSend(PyObject* self, PyObject* value, PyObject** result) {
  return sendWithin(within(asSteps(self)), asSteps(self)->inner, value, result);
}

// A coroutine awaits as itself; the real one's own wrapper would only hand on to it.
PyObject* coroutineAwait(PyObject* self) { return makeAwaited(self, Py_NewRef(asSteps(self)->inner), false); }

// ---- their life ------------------------------------------------------------------------------------------------------------

int traverseSteps(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(asSteps(self)->inner);
  Py_VISIT(asSteps(self)->function);
  return 0;
}

int clearSteps(PyObject* self) {
  Py_CLEAR(asSteps(self)->inner);
  Py_CLEAR(asSteps(self)->function);
  return 0;
}

// One that is dropped half-way has done what it has done.
void deallocateSteps(PyObject* self) {
  Steps* s = asSteps(self);
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (s->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  if (s->function != nullptr && s->started && !s->over)
    endSteps(s, functionOf(s)->ledger->mine(monitor::ThreadState::current()), false);
  clearSteps(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef stepsMethods[] = {{"send", method(stepsSend), METH_FASTCALL, nullptr},
                              {"throw", method(stepsThrow), METH_FASTCALL, nullptr},
                              {"close", stepsClose, METH_NOARGS, nullptr},
                              {nullptr, nullptr, 0, nullptr}};
PyMemberDef stepsMembers[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(Steps, weakrefs), READONLY, nullptr},
                              {nullptr, 0, 0, 0, nullptr}};

std::vector<PyType_Slot> with(std::vector<PyType_Slot> common, std::initializer_list<PyType_Slot> own) {
  common.insert(common.end(), own);
  return common;
}

// ---- making them -----------------------------------------------------------------------------------------------------------

// A coroutine or generator runs as plain Python whatever level was asked, but for coroutines whose loops are spread.
run::Outcome plainOutcome(const run::Outcome& picked) {
  if (picked.ran == Level::MONITOR) return picked.clone();
  auto why = kj::str("a coroutine or generator runs in steps, as plain Python");
  return {picked.asked, Level::MONITOR, kj::arr(run::Decline{picked.ran, kj::mv(why)})};
}

// Makes the coroutine or generator, and notes how it will run. The level at which it will.
Level make(Function* f, Makes makes, Block& block, Level asked, PythonCall& call) {
  auto pick = engines().pick(asked, call);
  Nanos now = wallNow();
  if (makes == Makes::COROUTINE && pick.engine.level() == Level::THREADS) {
    pick.engine.run(call);
    if (pick.standing != nullptr) {
      f->ledger->note(block, *pick.standing, now);
    } else {
      f->ledger->note(block, kj::mv(pick.fresh), now);
    }
    return Level::THREADS;
  }
  call.callPlain();
  if (pick.standing != nullptr && pick.standing->ran == Level::MONITOR) {
    f->ledger->note(block, *pick.standing, now);
  } else {
    auto& picked = pick.standing != nullptr ? *pick.standing : *pick.fresh;
    f->ledger->note(block, kj::heap<run::Outcome>(plainOutcome(picked)), now);
  }
  return Level::MONITOR;
}

PyTypeObject* typeFor(Makes makes, PyObject* made) {
  if (makes == Makes::GENERATOR && PyGen_CheckExact(made)) return generatorType;
  if (makes == Makes::COROUTINE && PyCoro_CheckExact(made)) return coroutineType;
  if (makes == Makes::ASYNC_GENERATOR && PyAsyncGen_CheckExact(made)) return asyncGeneratorType;
  return nullptr;
}

}  // namespace

void addStepTypes(PyObject* module) {
  std::vector<PyType_Slot> steps = {{Py_tp_traverse, slot(traverseSteps)},
                                    {Py_tp_clear, slot(clearSteps)},
                                    {Py_tp_dealloc, slot(deallocateSteps)},
                                    {Py_tp_members, stepsMembers}};
  generatorType = addStandInType(module, "epochly._native.Generator", sizeof(Steps),
                                 with(steps, {{Py_tp_iter, slot(PyObject_SelfIter)},
                                              {Py_tp_iternext, slot(stepsNext)},
                                              {Py_am_send, slot(stepsAmSend)},
                                              {Py_tp_methods, stepsMethods}}));
  coroutineType = addStandInType(
      module, "epochly._native.Coroutine", sizeof(Steps),
      with(steps, {{Py_am_await, slot(coroutineAwait)}, {Py_am_send, slot(stepsAmSend)}, {Py_tp_methods, stepsMethods}}));
  asyncGeneratorType = addStandInType(
      module, "epochly._native.AsyncGenerator", sizeof(Steps),
      with(steps, {{Py_am_aiter, slot(PyObject_SelfIter)}, {Py_am_anext, slot(asyncNext)}, {Py_tp_methods, asyncMethods}}));
  addAwaitedType(module);
}

bool isCoroutine(PyObject* object) { return PyCoro_CheckExact(object) || Py_TYPE(object) == coroutineType; }

PyObject* makeSteps(Function* f, Makes makes, Level asked, Block& block, PythonCall& call) {
  double size = call.dataSize();
  if (size >= 0) monitor::addSize(block.tally, size);
  Level ran = make(f, makes, block, asked, call);
  if (call.result == nullptr) {
    block.tally.errors.add(1);
    return nullptr;
  }
  PyTypeObject* type = typeFor(makes, call.result);
  if (type == nullptr) return call.result;  // a callable that returned something else this time
  auto* s = asSteps(type->tp_alloc(type, 0));
  if (s == nullptr) {
    Py_DECREF(call.result);
    return nullptr;
  }
  s->inner = call.result;
  s->function = Py_NewRef(reinterpret_cast<PyObject*>(f));
  s->ran = ran;
  s->loopsLimit = ran == Level::MONITOR ? block.sampler.beginCall() : NEVER;
  return reinterpret_cast<PyObject*>(s);
}

}  // namespace epochly::ext

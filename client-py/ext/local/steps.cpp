#include "ext/local/steps.h"

#include <nanobind/nanobind.h>
#include <structmember.h>

#include <cstddef>
#include <initializer_list>
#include <utility>

#include "ext/local/levels.h"
#include "ext/local/loops.h"
#include "ext/local/measure.h"

namespace epochly::ext {

namespace {

using monitor::Block;
using monitor::NEVER;
using monitor::ThreadState;

// Stands in for a generator, coroutine or asynchronous generator.
struct Steps {
  PyObject_HEAD
  PyObject* inner;     // the real one
  PyObject* function;  // the Function whose call made it
  PyObject* weakrefs;
  Nanos wall;        // of its steps so far
  Nanos loopsLimit;  // NEVER: its loops are not counted; else the CPU time its counted steps may take together
  Nanos loopsSpent;
  uint64_t iterations;
  bool started;
  bool running;
  bool over;
  Level ran;
  bool untimed;  // a step was slowed by counting, or was part of another call of the function: its time says nothing
};

// Stands in for what `await` takes of a coroutine, and for one step of an asynchronous generator.
struct Awaited {
  PyObject_HEAD
  PyObject* inner;  // the real awaitable
  PyObject* steps;  // the Steps it moves on
  PyObject* weakrefs;
  bool closing;  // aclose(): over when this is
};

PyTypeObject* generatorType;
PyTypeObject* coroutineType;
PyTypeObject* asyncGeneratorType;
PyTypeObject* awaitedType;

Steps* asSteps(PyObject* object) { return reinterpret_cast<Steps*>(object); }
Awaited* asAwaited(PyObject* object) { return reinterpret_cast<Awaited*>(object); }
Function* functionOf(Steps* s) { return reinterpret_cast<Function*>(s->function); }

// How a step came back. The exception, if any, is set.
enum class Step { SUSPENDED, FINISHED, RAISED };

// The exception that is set, put aside while something else is asked.
class Aside {
 public:
  Aside() { PyErr_Fetch(&type, &value, &traceback); }
  ~Aside() { PyErr_Restore(type, value, traceback); }
  KJ_DISALLOW_COPY(Aside);

 private:
  PyObject *type, *value, *traceback;
};

// A finished generator has no frame any more. One that refused an argument, or is running elsewhere, still has.
bool isOver(PyObject* inner) {
  Aside aside;
  const char* name = PyCoro_CheckExact(inner) ? "cr_frame" : PyAsyncGen_CheckExact(inner) ? "ag_frame" : "gi_frame";
  PyObject* frame = PyObject_GetAttrString(inner, name);
  if (frame == nullptr) PyErr_Clear();
  bool over = frame == Py_None;
  Py_XDECREF(frame);
  return over;
}

bool endsNormally() {
  return PyErr_ExceptionMatches(PyExc_StopIteration) || PyErr_ExceptionMatches(PyExc_StopAsyncIteration) ||
         PyErr_ExceptionMatches(PyExc_GeneratorExit);
}

void endCounting(Steps* s, Block& block, bool complete) {
  monitor::addLoops(block.tally, s->iterations, complete);
  block.sampler.endCounted(s->loopsSpent, complete);
  s->loopsLimit = NEVER;
  s->untimed = true;
}

void end(Steps* s, Block& block, bool failed) {
  if (s->over) return;
  s->over = true;
  if (failed) block.tally.errors.add(1);
  if (!s->started) return;
  if (s->loopsLimit != NEVER) {
    endCounting(s, block, true);
  } else if (!s->untimed) {
    monitor::addTimedCall(block.tally, s->ran, s->wall);
  }
}

// Runs one step with its loops counted. False: not now, and it has not run.
template <typename Run>
bool countedStep(Steps* s, Block& block, Run& run, Step& step) {
  if (s->loopsSpent >= s->loopsLimit || !loops::start(s->loopsLimit - s->loopsSpent)) {
    s->loopsLimit = NEVER;
    block.sampler.refusedCounting();
    return false;
  }
  Nanos start = cpuNow();
  step = run();
  loops::Count count = loops::stop(true);
  s->loopsSpent += cpuNow() - start;
  s->iterations += count.iterations;
  s->untimed = true;
  if (!count.complete) endCounting(s, block, false);
  return true;
}

template <typename Run>
Step timedStep(Steps* s, ThreadState& thread, Block& block, Run& run) {
  Stretch stretch(thread, block);
  Step step = run();
  s->wall += stretch.end();
  return step;
}

// Measures `run`, which resumes the generator and says how it came back.
template <typename Run>
Step takeStep(Steps* s, Run run) {
  if (s->running || s->over) return run();
  if (stackIsLow()) return Step::RAISED;
  ThreadState& thread = ThreadState::current();
  Block& block = functionOf(s)->ledger->mine(thread);
  s->running = s->started = true;
  Step step;
  if (block.depth > 0 || loops::active) {
    s->untimed = true;
    step = run();
  } else {
    ++block.depth;
    if (s->loopsLimit == NEVER || !countedStep(s, block, run, step)) step = timedStep(s, thread, block, run);
    --block.depth;
  }
  s->running = false;
  if (step == Step::FINISHED) end(s, block, false);
  if (step == Step::RAISED && isOver(s->inner)) end(s, block, !endsNormally());
  return step;
}

// PyIter_Send() on `target`, as a step.
PySendResult sendStep(Steps* s, PyObject* target, PyObject* value, PyObject** result) {
  PySendResult sent = PYGEN_ERROR;
  Step step = takeStep(s, [&] {
    sent = PyIter_Send(target, value, result);
    return sent == PYGEN_ERROR ? Step::RAISED : sent == PYGEN_RETURN ? Step::FINISHED : Step::SUSPENDED;
  });
  if (step == Step::RAISED) *result = nullptr;
  return step == Step::RAISED ? PYGEN_ERROR : sent;
}

// What a step of an iterator returned: null with StopIteration (or with nothing set) is its end.
Step stepOf(PyObject* result) {
  if (result != nullptr) return Step::SUSPENDED;
  return PyErr_Occurred() == nullptr || PyErr_ExceptionMatches(PyExc_StopIteration) ? Step::FINISHED : Step::RAISED;
}

PyObject* nextStep(Steps* s, PyObject* target) {
  PyObject* result = nullptr;
  takeStep(s, [&] {
    result = Py_TYPE(target)->tp_iternext(target);
    return stepOf(result);
  });
  return result;
}

PyObject* methodStep(Steps* s, PyObject* target, const char* name, PyObject* const* args, Py_ssize_t count) {
  PyObject* method = PyObject_GetAttrString(target, name);
  if (method == nullptr) return nullptr;
  PyObject* result = nullptr;
  takeStep(s, [&] {
    result = PyObject_Vectorcall(method, args, static_cast<size_t>(count), nullptr);
    return stepOf(result);
  });
  Py_DECREF(method);
  return result;
}

// ---- generators and coroutines: send, throw, close, next -------------------------------------------------------------------

PyObject* stepsSend(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return methodStep(asSteps(self), asSteps(self)->inner, "send", args, count);
}

PyObject* stepsThrow(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return methodStep(asSteps(self), asSteps(self)->inner, "throw", args, count);
}

// close() returns None whether or not the generator ran; afterwards it is over.
PyObject* stepsClose(PyObject* self, PyObject*) {
  Steps* s = asSteps(self);
  PyObject* result = nullptr;
  takeStep(s, [&] {
    result = PyObject_CallMethod(s->inner, "close", nullptr);
    if (result == nullptr) return Step::RAISED;
    return isOver(s->inner) ? Step::FINISHED : Step::SUSPENDED;
  });
  return result;
}

PyObject* stepsNext(PyObject* self) { return nextStep(asSteps(self), asSteps(self)->inner); }

PySendResult stepsAmSend(PyObject* self, PyObject* value, PyObject** result) {
  return sendStep(asSteps(self), asSteps(self)->inner, value, result);
}

// ---- what is awaited -------------------------------------------------------------------------------------------------------

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

// A coroutine awaits as itself; the real one's own wrapper would only hand on to it.
PyObject* coroutineAwait(PyObject* self) { return makeAwaited(self, Py_NewRef(asSteps(self)->inner), false); }

// The step of an asynchronous generator ends by StopIteration when the generator yields: only its own end is the
// generator's.
template <typename Run>
void awaitedStep(Awaited* a, Run run) {
  Steps* s = asSteps(a->steps);
  bool ofGenerator = Py_TYPE(s) == asyncGeneratorType;
  takeStep(s, [&] {
    Step step = run();
    if (!ofGenerator || step != Step::FINISHED) return step;
    return a->closing ? Step::FINISHED : Step::SUSPENDED;
  });
}

PySendResult awaitedAmSend(PyObject* self, PyObject* value, PyObject** result) {
  Awaited* a = asAwaited(self);
  PySendResult sent = PYGEN_ERROR;
  *result = nullptr;
  awaitedStep(a, [&] {
    sent = PyIter_Send(a->inner, value, result);
    return sent == PYGEN_ERROR ? Step::RAISED : sent == PYGEN_RETURN ? Step::FINISHED : Step::SUSPENDED;
  });
  return sent;
}

PyObject* awaitedMethod(Awaited* a, const char* name, PyObject* const* args, Py_ssize_t count) {
  PyObject* method = PyObject_GetAttrString(a->inner, name);
  if (method == nullptr) return nullptr;
  PyObject* result = nullptr;
  awaitedStep(a, [&] {
    result = PyObject_Vectorcall(method, args, static_cast<size_t>(count), nullptr);
    return stepOf(result);
  });
  Py_DECREF(method);
  return result;
}

PyObject* awaitedNext(PyObject* self) {
  PyObject* none = Py_None;
  return awaitedMethod(asAwaited(self), "send", &none, 1);
}
PyObject* awaitedSend(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return awaitedMethod(asAwaited(self), "send", args, count);
}
PyObject* awaitedThrow(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  return awaitedMethod(asAwaited(self), "throw", args, count);
}
PyObject* awaitedClose(PyObject* self, PyObject*) {
  Awaited* a = asAwaited(self);
  PyObject* result = nullptr;
  awaitedStep(a, [&] {
    result = PyObject_CallMethod(a->inner, "close", nullptr);
    if (result == nullptr) return Step::RAISED;
    return isOver(asSteps(a->steps)->inner) ? Step::FINISHED : Step::SUSPENDED;
  });
  return result;
}

// ---- asynchronous generators -----------------------------------------------------------------------------------------------

PyObject* asyncNext(PyObject* self) {
  PyObject* inner = asSteps(self)->inner;
  return makeAwaited(self, Py_TYPE(inner)->tp_as_async->am_anext(inner), false);
}

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

// ---- seen as the real one --------------------------------------------------------------------------------------------------

// Steps and Awaited begin alike: the real one is the first field.
PyObject* innerOf(PyObject* self) { return asSteps(self)->inner; }
static_assert(offsetof(Steps, inner) == offsetof(Awaited, inner));

bool isAmong(PyObject* name, std::initializer_list<const char*> own) {
  for (const char* each : own) {
    if (PyUnicode_CompareWithASCIIString(name, each) == 0) return true;
  }
  return false;
}

PyObject* getAttribute(PyObject* self, PyObject* name) {
  if (isAmong(name, {"send", "throw", "close", "asend", "athrow", "aclose", "__class__", "__iter__", "__next__", "__await__",
                     "__aiter__", "__anext__"})) {
    return PyObject_GenericGetAttr(self, name);
  }
  return PyObject_GetAttr(innerOf(self), name);
}

int setAttribute(PyObject* self, PyObject* name, PyObject* value) { return PyObject_SetAttr(innerOf(self), name, value); }
PyObject* represent(PyObject* self) { return PyObject_Repr(innerOf(self)); }
PyObject* getClass(PyObject* self, void*) { return Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(innerOf(self)))); }

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
  if (s->function != nullptr && s->started && !s->over) end(s, functionOf(s)->ledger->mine(ThreadState::current()), false);
  clearSteps(self);
  type->tp_free(self);
  Py_DECREF(type);
}

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

template <typename F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}
template <typename F>
PyCFunction method(F* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef stepsMethods[] = {{"send", method(stepsSend), METH_FASTCALL, nullptr},
                              {"throw", method(stepsThrow), METH_FASTCALL, nullptr},
                              {"close", stepsClose, METH_NOARGS, nullptr},
                              {nullptr, nullptr, 0, nullptr}};
PyMethodDef awaitedMethods[] = {{"send", method(awaitedSend), METH_FASTCALL, nullptr},
                                {"throw", method(awaitedThrow), METH_FASTCALL, nullptr},
                                {"close", awaitedClose, METH_NOARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
PyMethodDef asyncMethods[] = {{"asend", method(asyncSend), METH_FASTCALL, nullptr},
                              {"athrow", method(asyncThrow), METH_FASTCALL, nullptr},
                              {"aclose", asyncClose, METH_NOARGS, nullptr},
                              {nullptr, nullptr, 0, nullptr}};
PyGetSetDef properties[] = {{"__class__", getClass, nullptr, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMemberDef stepsMembers[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(Steps, weakrefs), READONLY, nullptr},
                              {nullptr, 0, 0, 0, nullptr}};
PyMemberDef awaitedMembers[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(Awaited, weakrefs), READONLY, nullptr},
                                {nullptr, 0, 0, 0, nullptr}};

PyTypeObject* addType(PyObject* module, const char* name, size_t size, std::vector<PyType_Slot> slots) {
  slots.insert(slots.end(), {{Py_tp_getattro, slot(getAttribute)},
                             {Py_tp_setattro, slot(setAttribute)},
                             {Py_tp_repr, slot(represent)},
                             {Py_tp_getset, properties},
                             {0, nullptr}});
  unsigned long flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  PyType_Spec spec = {name, static_cast<int>(size), 0, static_cast<unsigned int>(flags), slots.data()};
  auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (type == nullptr || PyModule_AddType(module, type) != 0) throw nanobind::python_error();
  return type;
}

std::vector<PyType_Slot> with(std::vector<PyType_Slot> common, std::initializer_list<PyType_Slot> own) {
  common.insert(common.end(), own);
  return common;
}

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
  generatorType = addType(module, "epochly._native.Generator", sizeof(Steps),
                          with(steps, {{Py_tp_iter, slot(PyObject_SelfIter)},
                                       {Py_tp_iternext, slot(stepsNext)},
                                       {Py_am_send, slot(stepsAmSend)},
                                       {Py_tp_methods, stepsMethods}}));
  coroutineType = addType(
      module, "epochly._native.Coroutine", sizeof(Steps),
      with(steps, {{Py_am_await, slot(coroutineAwait)}, {Py_am_send, slot(stepsAmSend)}, {Py_tp_methods, stepsMethods}}));
  asyncGeneratorType = addType(
      module, "epochly._native.AsyncGenerator", sizeof(Steps),
      with(steps, {{Py_am_aiter, slot(PyObject_SelfIter)}, {Py_am_anext, slot(asyncNext)}, {Py_tp_methods, asyncMethods}}));
  awaitedType = addType(module, "epochly._native.Awaited", sizeof(Awaited),
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

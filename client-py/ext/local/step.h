// A step of what stands in for a generator, coroutine or asynchronous generator: from resumption to suspension, and its measuring.
#pragma once

#include <Python.h>

#include "ext/local/call.h"
#include "ext/local/function.h"
#include "ext/local/loops.h"
#include "ext/local/measure.h"

namespace epochly::ext {

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

inline Steps* asSteps(PyObject* object) { return reinterpret_cast<Steps*>(object); }
inline Function* functionOf(Steps* s) { return reinterpret_cast<Function*>(s->function); }

// How a step came back. The exception, if any, is set.
enum class Step { SUSPENDED, FINISHED, RAISED };

// A finished generator has no frame any more. One that refused an argument, or is running elsewhere, still has.
bool isOver(PyObject* inner);
// Notes what its steps took together, once. `failed`: by an exception that is not how generators end.
void endSteps(Steps* s, monitor::Block& block, bool failed);
void endByException(Steps* s, monitor::Block& block);
void endCounting(Steps* s, monitor::Block& block, bool complete);

// Runs one step with its loops counted. False: not now, and it has not run.
template <typename Run>
bool countedStep(Steps* s, monitor::Block& block, Run& run, Step& step) {
  if (s->loopsSpent >= s->loopsLimit || !loops::start(s->loopsLimit - s->loopsSpent)) {
    s->loopsLimit = monitor::NEVER;
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
Step timedStep(Steps* s, monitor::ThreadState& thread, monitor::Block& block, Run& run) {
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
  monitor::ThreadState& thread = monitor::ThreadState::current();
  monitor::Block& block = functionOf(s)->ledger->mine(thread);
  s->running = s->started = true;
  Step step;
  if (block.depth > 0 || loops::active) {
    s->untimed = true;
    step = run();
  } else {
    ++block.depth;
    if (s->loopsLimit == monitor::NEVER || !countedStep(s, block, run, step)) step = timedStep(s, thread, block, run);
    --block.depth;
  }
  s->running = false;
  if (step == Step::FINISHED) endSteps(s, block, false);
  if (step == Step::RAISED && isOver(s->inner)) endByException(s, block);
  return step;
}

// The three ways to resume `target`, each within `take`, which is called with what resumes it and says how it came back.
template <typename Take>
PySendResult sendWithin(Take take, PyObject* target, PyObject* value, PyObject** result) {
  PySendResult sent = PYGEN_ERROR;
  *result = nullptr;
  take([&] {
    sent = PyIter_Send(target, value, result);
    return sent == PYGEN_ERROR ? Step::RAISED : sent == PYGEN_RETURN ? Step::FINISHED : Step::SUSPENDED;
  });
  return sent;
}

// What a step of an iterator returned: null with StopIteration (or with nothing set) is its end.
inline Step stepOf(PyObject* result) {
  if (result != nullptr) return Step::SUSPENDED;
  return PyErr_Occurred() == nullptr || PyErr_ExceptionMatches(PyExc_StopIteration) ? Step::FINISHED : Step::RAISED;
}

template <typename Take>
PyObject* methodWithin(Take take, PyObject* target, const char* name, PyObject* const* args, Py_ssize_t count) {
  PyObject* method = PyObject_GetAttrString(target, name);
  if (method == nullptr) return nullptr;
  PyObject* result = nullptr;
  take([&] {
    result = PyObject_Vectorcall(method, args, static_cast<size_t>(count), nullptr);
    return stepOf(result);
  });
  Py_DECREF(method);
  return result;
}

// Returns None whether or not it ran; afterwards `generator`, whose step it is, is over.
template <typename Take>
PyObject* closeWithin(Take take, PyObject* target, PyObject* generator) {
  PyObject* result = nullptr;
  take([&] {
    result = PyObject_CallMethod(target, "close", nullptr);
    if (result == nullptr) return Step::RAISED;
    return isOver(generator) ? Step::FINISHED : Step::SUSPENDED;
  });
  return result;
}

}  // namespace epochly::ext

#include "ext/local/step.h"

namespace epochly::ext {

namespace {

using monitor::Block;

// The exception that is set, put aside while something else is asked.
class Aside {
 public:
  Aside() { PyErr_Fetch(&type, &value, &traceback); }
  ~Aside() { PyErr_Restore(type, value, traceback); }
  KJ_DISALLOW_COPY(Aside);

 private:
  PyObject *type, *value, *traceback;
};

bool endsNormally() {
  return PyErr_ExceptionMatches(PyExc_StopIteration) || PyErr_ExceptionMatches(PyExc_StopAsyncIteration) ||
         PyErr_ExceptionMatches(PyExc_GeneratorExit);
}

}  // namespace

bool isOver(PyObject* inner) {
  Aside aside;
  const char* name = PyCoro_CheckExact(inner) ? "cr_frame" : PyAsyncGen_CheckExact(inner) ? "ag_frame" : "gi_frame";
  PyObject* frame = PyObject_GetAttrString(inner, name);
  if (frame == nullptr) PyErr_Clear();
  bool over = frame == Py_None;
  Py_XDECREF(frame);
  return over;
}

void endCounting(Steps* s, Block& block, bool complete) {
  monitor::addLoops(block.tally, s->iterations, complete);
  block.sampler.endCounted(s->loopsSpent, complete);
  s->loopsLimit = monitor::NEVER;
  s->untimed = true;
}

void endSteps(Steps* s, Block& block, bool failed) {
  if (s->over) return;
  s->over = true;
  if (failed) block.tally.errors.add(1);
  if (!s->started) return;
  if (s->loopsLimit != monitor::NEVER) {
    endCounting(s, block, true);
  } else if (!s->untimed) {
    monitor::addTimedCall(block.tally, s->ran, s->wall);
  }
}

void endByException(Steps* s, Block& block) { endSteps(s, block, !endsNormally()); }

}  // namespace epochly::ext

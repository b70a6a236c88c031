// Loop counting for CPython 3.10 and 3.11: a C trace function, which is each thread's own.
#include <Python.h>

#if PY_VERSION_HEX < 0x030C0000

#include <frameobject.h>

#include <vector>

#include "ext/local/clock.h"
#include "ext/local/loop_map.h"
#include "ext/local/loops.h"

namespace epochly::ext::loops {

thread_local constinit bool active = false;
const Nanos SESSION_COST_NS = 0;

namespace {

// The clock is read once in so many events.
constexpr uint32_t EVENTS_PER_CLOCK = 256;

struct Frame {
  PyFrameObject* frame;  // borrowed: it runs while it stands here
  PyCodeObject* code;
  const LoopMap* map;
  int offset;  // of the last line event; before the first, where the frame began or was resumed; negative: at its beginning
};

// Lives on its thread. `tracing` while our trace function is in place.
struct Session {
  bool tracing = false;
  Count count;
  Nanos deadline = 0;  // by the thread's CPU clock
  uint32_t eventsLeft = 0;
  std::vector<Frame> frames;
  const char* whyNot = nullptr;
};

thread_local Session session;

int offsetOf(PyFrameObject* frame) {
#if PY_VERSION_HEX >= 0x030B0000
  return PyFrame_GetLasti(frame);
#else
  return frame->f_lasti * 2;
#endif
}

void push(Session& s, PyFrameObject* frame) {
  PyCodeObject* code = PyFrame_GetCode(frame);
  s.frames.push_back({frame, code, LoopMap::of(code), offsetOf(frame)});
  Py_DECREF(code);  // the frame holds it
}

// A line event at a loop's head comes from the jump back, unless the head is where its line was first reached.
bool jumpedBack(const Frame& f, int offset) {
  if (f.offset < 0) return false;
  return f.offset >= offset || PyCode_Addr2Line(f.code, f.offset) == PyCode_Addr2Line(f.code, offset);
}

void onLine(Session& s, PyFrameObject* frame) {
  if (s.frames.empty() || s.frames.back().frame != frame) return;  // began before the session
  Frame& top = s.frames.back();
  if (top.map == nullptr) return;
  int offset = offsetOf(frame);
  switch (top.map->at(offset)) {
    case LoopMap::Mark::NONE: break;
    case LoopMap::Mark::TEST: ++s.count.iterations; break;
    case LoopMap::Mark::HEAD:
      if (jumpedBack(top, offset)) ++s.count.iterations;
      break;
  }
  top.offset = offset;
}

void cut(Session& s) {
  s.count.complete = false;
  s.tracing = false;
  PyEval_SetTrace(nullptr, nullptr);
}

int onEvent(PyObject*, PyFrameObject* frame, int what, PyObject*) {
  Session& s = session;
  if (!s.tracing) return 0;
  if (what == PyTrace_LINE) {
    onLine(s, frame);
  } else if (what == PyTrace_CALL) {
    push(s, frame);
  } else if (what == PyTrace_RETURN && !s.frames.empty() && s.frames.back().frame == frame) {
    s.frames.pop_back();
  }
  if (--s.eventsLeft == 0) {
    s.eventsLeft = EVENTS_PER_CLOCK;
    if (cpuNow() >= s.deadline) cut(s);
  }
  return 0;
}

}  // namespace

Count soFar() { return session.count; }
void add(uint64_t iterations) { session.count.iterations += iterations; }
const char* whyNot() { return session.whyNot; }

bool start(Nanos limit) {
  PyThreadState* thread = PyThreadState_Get();
  Session& s = session;
  s.whyNot = nullptr;
  if (thread->c_tracefunc != nullptr && thread->c_tracefunc != onEvent) {
    s.whyNot = "a debugger or coverage holds the trace function";
  } else if (thread->c_profilefunc != nullptr) {
    s.whyNot = "a profiler is running";
  } else if (PySys_Audit("sys.settrace", nullptr) != 0) {  // PyEval_SetTrace would print the refusal
    PyErr_Clear();
    s.whyNot = "an audit hook forbids the trace function";
  }
  if (s.whyNot != nullptr) return false;
  active = s.tracing = true;
  s.count = {};
  s.deadline = cpuNow() + limit;
  s.eventsLeft = EVENTS_PER_CLOCK;
  s.frames.clear();
  PyEval_SetTrace(onEvent, nullptr);
  return true;
}

Count stop(bool) {
  Session& s = session;
  if (s.tracing) {
    // If the program has installed a trace function meanwhile (breakpoint()), it stays.
    if (PyThreadState_Get()->c_tracefunc == onEvent) {
      PyEval_SetTrace(nullptr, nullptr);
    } else {
      s.count.complete = false;
    }
  }
  active = s.tracing = false;
  return s.count;
}

}  // namespace epochly::ext::loops

#endif

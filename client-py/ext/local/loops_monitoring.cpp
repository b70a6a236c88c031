// Loop counting for CPython 3.12 and later: a sys.monitoring tool. Events are switched for the whole interpreter, so each callback
// first looks whether its thread is counting.
#include <Python.h>
#include <pthread.h>

#if PY_VERSION_HEX >= 0x030C0000

#include "ext/local/clock.h"
#include "ext/local/loop_map.h"
#include "ext/local/loops.h"

namespace epochly::ext::loops {

thread_local constinit bool active = false;

// Switching events makes the interpreter go over the bytecode of every function that runs next, twice.
const Nanos SESSION_COST_NS = 100'000;

namespace {

// The clock is read once in so many events.
constexpr uint32_t EVENTS_PER_CLOCK = 256;
// Events left on between the steps of a generator are switched off after so many that nobody counts: 0.1 ms.
constexpr uint32_t IDLE_EVENTS_MAX = 1000;
// Numbers of sys.monitoring's own list: debugger, coverage, profiler.
constexpr int FOREIGN_TOOLS = 3;
// Ours, if free: the optimizer's; else one of the unnamed.
constexpr int OUR_TOOLS[] = {5, 4, 3};

// Lives on its thread. `counting` from start() to stop() or the limit.
struct Session {
  bool counting = false;
  Count count;
  Nanos deadline = 0;  // by the thread's CPU clock
  uint32_t eventsLeft = 0;
  const char* whyNot = nullptr;
};

thread_local Session session;

// The interpreter's side. Guarded by the GIL.
struct Tool {
  int id = -1;
  PyObject* api = nullptr;      // sys.monitoring
  PyObject* disable = nullptr;  // its DISABLE
  long events = 0;              // those we switch on
  bool on = false;
  uint32_t counting = 0;  // threads
  uint32_t idleLeft = 0;
};

Tool tool;

bool switchEvents(bool on) {
  if (tool.on == on) return true;
  PyObject* done = PyObject_CallMethod(tool.api, "set_events", "il", tool.id, on ? tool.events : 0L);
  if (done == nullptr) return false;
  Py_DECREF(done);
  tool.on = on;
  return true;
}

// Inside callbacks and stop(), where an exception of the program may be on its way.
void switchOffQuietly() {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  if (!switchEvents(false)) PyErr_Clear();
  PyErr_Restore(type, value, traceback);
}

void endCounting(Session& s, bool lingering) {
  s.counting = false;
  if (--tool.counting > 0) return;
  tool.idleLeft = IDLE_EVENTS_MAX;
  if (!lingering) switchOffQuietly();
}

void tick(Session& s) {
  if (--s.eventsLeft > 0) return;
  s.eventsLeft = EVENTS_PER_CLOCK;
  if (cpuNow() < s.deadline) return;
  s.count.complete = false;
  endCounting(s, false);
}

// An event that this thread does not count.
PyObject* idle() {
  if (tool.counting == 0 && tool.on && --tool.idleLeft == 0) switchOffQuietly();
  Py_RETURN_NONE;
}

// Whether a jump (code, from, to) is one that loops.
bool isLoops(PyObject* const* args) {
  long from = PyLong_AsLong(args[1]);
  if (PyLong_AsLong(args[2]) > from) return false;
  auto* map = LoopMap::of(reinterpret_cast<PyCodeObject*>(args[0]));
  return map == nullptr || map->branchAt(static_cast<int>(from)) != LoopMap::Branch::LEAVES_HANDLER;
}

PyObject* onJump(PyObject*, PyObject* const* args, Py_ssize_t) {
  Session& s = session;
  if (!isLoops(args)) return Py_NewRef(tool.disable);
  if (!s.counting) return idle();
  ++s.count.iterations;
  tick(s);
  Py_RETURN_NONE;
}

PyObject* onBranch(PyObject*, PyObject* const* args, Py_ssize_t) {
  Session& s = session;
  int from = static_cast<int>(PyLong_AsLong(args[1]));
  auto* map = LoopMap::of(reinterpret_cast<PyCodeObject*>(args[0]));
  if (map == nullptr || map->branchAt(from) != LoopMap::Branch::LOOP_TEST) return Py_NewRef(tool.disable);
  if (!s.counting) return idle();
  if (map->endsLoop(from, static_cast<int>(PyLong_AsLong(args[2])))) ++s.count.iterations;
  tick(s);
  Py_RETURN_NONE;
}

PyMethodDef onJumpDef = {"on_jump", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(onJump)), METH_FASTCALL,
                         nullptr};
PyMethodDef onBranchDef = {"on_branch", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(onBranch)), METH_FASTCALL,
                           nullptr};

// The tool's name as sys.monitoring has it, borrowed for the moment; null if the number is free.
bool taken(int id) {
  PyObject* name = PyObject_CallMethod(tool.api, "get_tool", "i", id);
  if (name == nullptr) PyErr_Clear();
  bool yes = name != nullptr && name != Py_None;
  Py_XDECREF(name);
  return yes;
}

bool claim(int id) {
  PyObject* done = PyObject_CallMethod(tool.api, "use_tool_id", "is", id, "epochly");
  if (done == nullptr) PyErr_Clear();  // somebody has it
  Py_XDECREF(done);
  return done != nullptr;
}

// After listen() has failed, with its exception set.
void release(int id) {
  PyErr_Clear();
  PyObject* done = PyObject_CallMethod(tool.api, "free_tool_id", "i", id);
  if (done == nullptr) PyErr_Clear();
  Py_XDECREF(done);
  tool.id = -1;
  tool.events = 0;
}

long eventNumber(const char* name) {
  PyObject* events = PyObject_GetAttrString(tool.api, "events");
  PyObject* number = events == nullptr ? nullptr : PyObject_GetAttrString(events, name);
  long value = number == nullptr ? 0 : PyLong_AsLong(number);
  Py_XDECREF(number);
  Py_XDECREF(events);
  return value;
}

bool listen(const char* event, PyMethodDef& method) {
  long number = eventNumber(event);
  PyObject* callback = PyCFunction_New(&method, nullptr);
  PyObject* old =
      callback == nullptr ? nullptr : PyObject_CallMethod(tool.api, "register_callback", "ilO", tool.id, number, callback);
  Py_XDECREF(callback);
  if (old == nullptr) return false;
  Py_DECREF(old);
  tool.events |= number;
  return number != 0;
}

// The child of a fork has one thread.
void forgetOtherThreads() { tool.counting = session.counting ? 1 : 0; }

// Takes a tool number, once. False: none was free.
bool ready() {
  if (tool.id >= 0) return true;
  if (tool.api == nullptr) tool.api = Py_XNewRef(PySys_GetObject("monitoring"));
  if (tool.api == nullptr) return false;
  if (tool.disable == nullptr) tool.disable = PyObject_GetAttrString(tool.api, "DISABLE");
  for (int id : OUR_TOOLS) {
    if (!claim(id)) continue;
    tool.id = id;
    if (tool.disable != nullptr && listen("JUMP", onJumpDef) && listen("BRANCH", onBranchDef)) {
      pthread_atfork(nullptr, nullptr, forgetOtherThreads);
      return true;
    }
    release(id);
    break;
  }
  return false;
}

const char* obstacle() {
  PyThreadState* thread = PyThreadState_Get();
  if (thread->c_tracefunc != nullptr) return "a debugger or coverage holds the trace function";
  if (thread->c_profilefunc != nullptr) return "a profiler is running";
  if (!ready()) return "no tool number of sys.monitoring is free, or an audit hook forbids it";
  for (int id = 0; id < FOREIGN_TOOLS; ++id) {
    if (taken(id)) return "a debugger, coverage or profiler uses sys.monitoring";
  }
  if (!switchEvents(true)) {
    PyErr_Clear();
    return "sys.monitoring refused the events";
  }
  return nullptr;
}

}  // namespace

Count soFar() { return session.count; }
void add(uint64_t iterations) { session.count.iterations += iterations; }
const char* whyNot() { return session.whyNot; }

bool start(Nanos limit) {
  Session& s = session;
  s.whyNot = obstacle();
  if (s.whyNot != nullptr) return false;
  active = s.counting = true;
  s.count = {};
  s.deadline = cpuNow() + limit;
  s.eventsLeft = EVENTS_PER_CLOCK;
  ++tool.counting;
  return true;
}

Count stop(bool more) {
  Session& s = session;
  if (s.counting) endCounting(s, more);
  active = false;
  return s.count;
}

}  // namespace epochly::ext::loops

#endif

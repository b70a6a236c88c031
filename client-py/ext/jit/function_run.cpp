// JitFunction: a call with code that is there.
#include <algorithm>

#include "ext/jit/function.h"
#include "ext/jit/marshal.h"
#include "ext/jit/numpy_buffer.h"
#include "ext/jit/team_library.h"
#include "ext/take_gil.h"

namespace epochly::ext::jit {

namespace {

// See Api::loopIterations.
thread_local uint64_t iterations = 0;

// Frames that CPython would still allow this thread, less what builtins and comprehensions take on the way.
int32_t recursionLeft() {
  PyThreadState* thread = PyThreadState_Get();
#if PY_VERSION_HEX >= 0x030c0000
  int32_t left = thread->py_recursion_remaining;
#elif PY_VERSION_HEX >= 0x030b0000
  int32_t left = thread->recursion_remaining;
#else
  int32_t left = Py_GetRecursionLimit() - thread->recursion_depth;
#endif
  return std::min(left - 16, RECURSION_MAX);
}

// The call that runs on this thread, for interrupted().
struct Released {
  epochly::jit::Context context;
  PyThreadState* state = nullptr;  // null: the GIL is held
};

// Leaves on the stack, as long as they are few.
class Leaves {
 public:
  explicit Leaves(size_t count) {
    if (count <= std::size(few)) return;
    many.resize(count);
    at = many.data();
  }
  Leaves(const Leaves&) = delete;
  uint64_t* data() { return at; }

 private:
  uint64_t few[24];
  std::vector<uint64_t> many;
  uint64_t* at = few;
};

// Runs pending signal handlers; only the main thread has any.
bool interrupted(epochly::jit::Context& context) {
  auto& released = reinterpret_cast<Released&>(context);
  if (released.state) takeGil(released.state);
  bool raised = PyErr_CheckSignals() != 0;
  if (released.state) released.state = PyEval_SaveThread();
  return raised;
}
static_assert(offsetof(Released, context) == 0);

}  // namespace

void JitFunction::failed(Version& version, uint32_t guard) {
  version.failures++;
  version.failuresInARow++;
  version.lastGuard = guard;
  auto& which = version.unit->guards[guard];
  decline("this call went back to CPython: " + which.reason, which.line);
}

JitFunction::Attempt JitFunction::execute(Version& version, const epochly::jit::Code& code, Marshal& marshal,
                                          epochly::jit::Context& context, const uint64_t* arguments, Ran& ran,
                                          PyObject*& result) {
  auto& released = reinterpret_cast<Released&>(context);
  Leaves leaves(version.resultLeaves);
  ran = Ran::DECLINED;
  if (!marshal.keepArrays()) {
    decline("no memory to keep the arrays it writes");
    return Attempt::ENDED;
  }
  // On several cores the iterations are not in order: what they have written is put back whole.
  bool shares = version.releases && version.writesArrays && !multicore;
  bool releases = version.releases && (!shares || marshal.writesAlone());
  if (releases) released.state = PyEval_SaveThread();
  // What libm leaves there, CPython's run of the call must not find: its abs(complex) reads it.
  auto errnoBefore = errno;
  auto guard = code.entry(&context, arguments, leaves.data());
  errno = errnoBefore;
  if (released.state) takeGil(released.state);
  released.state = nullptr;
  auto undo = [&] {
    if (!releases || !shares) return marshal.restore();
    marshal.restoreOwn([&] {
      epochly::jit::Context again;
      again.depth = recursionLeft();
      code.entry(&again, arguments, leaves.data());
    });
  };
  if (guard) {
    if (PyErr_Occurred()) {
      // Where other threads may have written meanwhile, the arrays stay as the iterations so far have left them, as in CPython.
      if (!releases || !shares || context.spoiled) marshal.restore();
      ran = Ran::RAISED;
      return Attempt::ENDED;
    }
    undo();
    if (&code == version.careful.get()) failed(version, guard);
    return Attempt::GUARD_FAILED;
  }
  result = marshal.box(version.result, leaves.data());
  if (!result) {
    undo();
    if (PyErr_Occurred()) {
      ran = Ran::RAISED;
      return Attempt::ENDED;
    }
    version.failures++;
    version.failuresInARow++;
    decline("it returns a view of a part of an array");
    return Attempt::ENDED;
  }
  if (!marshal.writeBack()) {
    Py_CLEAR(result);
    ran = Ran::RAISED;
    return Attempt::ENDED;
  }
  version.runs++;
  iterations += context.iterations;
  version.failuresInARow = 0;
  ran = Ran::RETURNED;
  return Attempt::ENDED;
}

JitFunction::Attempt JitFunction::attempt(Version& version, const epochly::jit::Code& code, Bound bound, Ran& ran,
                                          PyObject*& result) {
  Leaves leaves(version.argumentLeaves);
  Released released;
  released.context.interrupted = interrupted;
  released.context.depth = recursionLeft();
  released.context.loops = version.loopTimes.get();
  if (multicore) released.context.team = &teamOrNone()->team();
  Marshal marshal(*version.unit, *version.texts, released.context);
  auto* leaf = leaves.data();
  for (size_t i = 0; i < bound.size(); i++) {
    if (!marshal.load(bound[i], version.arguments[i], leaf)) return Attempt::OTHER_TYPES;
  }
  for (auto [at, value] : version.options.constants) {
    if (leaves.data()[at] != value) return Attempt::OTHER_TYPES;
  }
  if (version.unit->needsUsualBuffer && !hasUsualNumpyBuffer()) {
    decline("numpy.setbufsize() has changed the order in which numpy adds up");
    ran = Ran::DECLINED;
    return Attempt::ENDED;
  }
  return execute(version, code, marshal, released.context, leaves.data(), ran, result);
}

bool JitFunction::run(Version& version, Bound bound, Ran& ran, PyObject*& result) {
  if (version.retries < RETRIES_MAX) {
    auto attempted = attempt(version, *version.code, bound, ran, result);
    if (attempted != Attempt::GUARD_FAILED) return attempted == Attempt::ENDED;
    version.retries++;
  }
  ran = Ran::DECLINED;
  if (!makeCareful(version)) return true;
  return attempt(version, *version.careful, bound, ran, result) != Attempt::OTHER_TYPES;
}

bool JitFunction::callKnown(Bound bound, Ran& ran, PyObject*& result) {
  for (size_t i = 0; i < versions.size(); i++) {
    auto version = versions[i];  // kept: the call may let other threads change the table
    // A version that was given up: another, of wider types, may still take the call.
    if (version->failuresInARow >= FAILURES_MAX || !version->assumptions.hold()) continue;
    if (!run(*version, bound, ran, result)) continue;
    auto found = std::find(versions.begin(), versions.end(), version);
    if (found != versions.end() && found != versions.begin()) std::rotate(versions.begin(), found, found + 1);
    return true;
  }
  return false;
}

uint64_t loopIterations() { return iterations; }

}  // namespace epochly::ext::jit

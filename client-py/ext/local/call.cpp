#include "ext/local/call.h"

#include <kj/exception.h>
#include <kj/vector.h>

#include "ext/local/automatic.h"
#include "ext/local/jit_engine.h"
#include "ext/local/levels.h"
#include "ext/local/loops.h"
#include "ext/local/measure.h"
#include "ext/local/stack.h"
#include "ext/local/steps.h"

namespace epochly::ext {

namespace {

using monitor::Block;
using monitor::ThreadState;

// Bytes of stack that must be left: one Python call from C and whatever C code it ends in.
constexpr uintptr_t STACK_LEFT_MIN = 128u << 10;

// Lowest address of this thread's stack; 0 until asked, STACK_UNKNOWN.
thread_local constinit uintptr_t stackBottom = 0;

// An engine's own failure is not the user's code raising: it is told apart by its type.
void runOn(run::LevelEngine& engine, PythonCall& call) {
  try {
    engine.run(call);
  } catch (const kj::Exception& e) {
    Py_CLEAR(call.result);
    PyErr_Format(PyExc_SystemError, "epochly: the engine of level %d failed: %s", static_cast<int>(engine.level()),
                 e.getDescription().cStr());
  }
}

// Marks the function as running on this thread.
class Running {
 public:
  explicit Running(Block& block) : block(block) { ++block.depth; }
  ~Running() { --block.depth; }
  KJ_DISALLOW_COPY(Running);

 private:
  Block& block;
};

void noteOutcome(Function* f, Block& block, levels::Engines::Pick& pick, Nanos now) {
  if (pick.standing != nullptr) {
    f->ledger->note(block, *pick.standing, now);
  } else {
    f->ledger->note(block, kj::heap<run::Outcome>(pick.fresh->clone()), now);  // noteDeclined() may need it
  }
}

// The level that a call ran at in the end. If the engine gave it back, or left parts of it as they were, what was noted of it when
// it began is put right.
Level noteDeclined(Function* f, Block& block, Level asked, const levels::Engines::Pick& pick, PythonCall& call) {
  Level took = pick.engine.level();
  if (call.givenBack == nullptr && call.alsoDeclined.empty()) return took;
  kj::Vector<run::Decline> declined;
  auto& before = pick.standing != nullptr ? *pick.standing : *pick.fresh;
  for (auto& d : before.declined) declined.add(run::Decline{d.level, kj::str(d.reason)});
  for (auto& reason : call.alsoDeclined) declined.add(run::Decline{took, kj::str(reason)});
  Level ran = took;
  KJ_IF_MAYBE(reason, call.givenBack) {
    declined.add(run::Decline{took, kj::str(*reason)});
    ran = Level::MONITOR;
  }
  f->ledger->note(block, kj::heap<run::Outcome>(run::Outcome{asked, ran, declined.releaseAsArray()}), wallNow());
  return ran;
}

// One call on its way. Each way to run it says what it may measure.
struct Way {
  Function* f;
  ThreadState& thread;
  Block& block;
  PythonCall& call;
  Level asked;
  levels::Engines::Pick pick;

  bool counted(Nanos limit);
  void insideCounted();
  Nanos timed(bool countsCompiled);
};

// Loops are counted and nothing is timed. False: they could not be, and the call has not been made.
bool Way::counted(Nanos limit) {
  if (!loops::start(limit)) {
    block.sampler.refusedCounting();
    return false;
  }
  Nanos start = cpuNow();
  noteOutcome(f, block, pick, wallNow());
  runOn(pick.engine, call);
  loops::Count count = loops::stop();
  monitor::addLoops(block.tally, count.iterations, count.complete);
  block.sampler.endCounted(cpuNow() - start, count.complete);
  return true;
}

// A caller is being counted, which slows this call down; its loops are counted for free.
void Way::insideCounted() {
  noteOutcome(f, block, pick, wallNow());
  uint64_t before = loops::soFar().iterations;
  runOn(pick.engine, call);
  noteDeclined(f, block, asked, pick, call);
  loops::Count after = loops::soFar();
  monitor::addLoops(block.tally, after.iterations - before, after.complete);
}

// The wall time. Loops that ran compiled are counted without a session, and the time is that of any other call.
Nanos Way::timed(bool countsCompiled) {
  uint64_t before = countsCompiled ? compiledIterations() : 0;
  Stretch stretch(thread, block);
  noteOutcome(f, block, pick, stretch.startedAt());
  runOn(pick.engine, call);
  Nanos wall = stretch.end();
  Level ran = noteDeclined(f, block, asked, pick, call);
  monitor::addTimedCall(block.tally, ran, wall);
  if (countsCompiled && ran != Level::MONITOR) monitor::addLoops(block.tally, compiledIterations() - before, true);
  return wall;
}

Turn takeTurn(Function* f, Block& block, PythonCall& call, double elements) {
  if (f->level != LEVEL_NOT_GIVEN) return Turn();
  bool automatic = isAutomatic(f);
  Automatic* known = rootOf(f)->automatic;
  if (known != nullptr) known->wasLast = automatic;
  bool awake = known != nullptr || block.tally.wallNs.get() >= choice::AWAKE_AFTER_NS;
  return automatic && awake && !loops::active ? Turn(f, call, elements) : Turn();
}

PyObject* finish(Block& block, PythonCall& call) {
  if (call.result == nullptr) block.tally.errors.add(1);
  return call.result;
}

// Arguments as a tuple and a dict, the rest is epochly._optimize's.
PyObject* callOnCluster(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* names) {
  Py_ssize_t positional = PyVectorcall_NARGS(nargsf);
  PyObject* module = PyImport_ImportModule("epochly._optimize");
  PyObject* tuple = PyTuple_New(positional);
  PyObject* dict = PyDict_New();
  PyObject* result = nullptr;
  if (module != nullptr && tuple != nullptr && dict != nullptr) {
    for (Py_ssize_t i = 0; i < positional; ++i) PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    bool complete = true;
    for (Py_ssize_t i = 0; complete && i < named; ++i) {
      complete = PyDict_SetItem(dict, PyTuple_GET_ITEM(names, i), args[positional + i]) == 0;
    }
    if (complete) result = PyObject_CallMethod(module, "call_on_cluster", "OOO", self, tuple, dict);
  }
  Py_XDECREF(dict);
  Py_XDECREF(tuple);
  Py_XDECREF(module);
  return result;
}

}  // namespace

bool stackIsLow() {
  if (stackBottom == 0) stackBottom = findStackBottom();
  uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (stackBottom == STACK_UNKNOWN || here - stackBottom >= STACK_LEFT_MIN) return false;
  PyErr_SetString(PyExc_RecursionError, "maximum recursion depth exceeded: the thread's stack is used up");
  return true;
}

PyObject* callHere(Function* f, PyObject* const* args, size_t nargsf, PyObject* names) {
  if (stackIsLow()) return nullptr;
  ThreadState& thread = ThreadState::current();
  Block& block = f->ledger->mine(thread);
  block.tally.calls.add(1);
  PythonCall call(f->wrapped, args, nargsf, names, f);
  Level asked = levelAsked(f);
  Makes makes = whatItMakes(f);
  if (makes != Makes::VALUE) return makeSteps(f, makes, asked, block, call);

  if (block.depth > 0) {  // a function's call to itself is part of the outermost one's time, loops and data
    Running running(block);
    runOn(engines().pick(asked, call).engine, call);
    return finish(block, call);
  }
  double size = call.dataSize();
  if (size >= 0) monitor::addSize(block.tally, size);
  Turn turn = takeTurn(f, block, call, size);
  if (turn.level() != Level::MONITOR) {
    asked = turn.level();
    call.levelWasSaid = false;
  }
  auto pick = engines().pick(asked, call);
  turn.picked(pick);
  Running running(block);
  Way way{f, thread, block, call, asked, kj::mv(pick)};
  if (loops::active) {
    way.insideCounted();
  } else {
    Nanos limit = block.sampler.beginCall();
    bool plain = way.pick.engine.level() == Level::MONITOR;
    bool isCounted = limit != monitor::NEVER;
    if (!isCounted || !plain || !way.counted(limit)) turn.ended(way.timed(isCounted && runsCompiled(way.pick.engine)));
  }
  return finish(block, call);
}

PyObject* callFunction(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* names) {
  auto* f = reinterpret_cast<Function*>(self);
  if (f->placement == Placement::CLUSTER) return callOnCluster(self, args, nargsf, names);
  return callHere(f, args, nargsf, names);
}

}  // namespace epochly::ext

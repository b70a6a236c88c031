// What epochly._native offers to the Python files of the local part.
#include <vector>

#include "ext/bindings.h"
#include "ext/local/automatic.h"
#include "ext/local/batch.h"
#include "ext/local/call.h"
#include "ext/local/function.h"
#include "ext/local/jit_engine.h"
#include "ext/local/levels.h"
#include "ext/local/loops.h"
#include "ext/local/loops_engine.h"
#include "ext/local/measure.h"
#include "ext/local/offered.h"
#include "ext/local/steps.h"
#include "levels/monitor/ledger.h"

namespace epochly::ext {

namespace nb = nanobind;

namespace {

// Two interpreters in one process would share the sums, the levels and the types; each needs its own.
void refuseSubinterpreter() {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return;
  PyErr_SetString(PyExc_ImportError,
                  "epochly works in the main interpreter only, not in a subinterpreter: use a process instead");
  throw nb::python_error();
}

Function& expectFunction(nb::handle object) {
  if (!isFunction(object.ptr())) throw nb::type_error("not a function that epochly.optimize() has made");
  return *reinterpret_cast<Function*>(object.ptr());
}

nb::object wrap(nb::handle callable, int level, int placement, int fastmath) {
  PyObject* made = makeFunction(callable.ptr(), level, static_cast<Placement>(placement), fastmath);
  if (made == nullptr) throw nb::python_error();
  return nb::steal(made);
}

nb::tuple optionsOf(nb::handle object) {
  Function& f = expectFunction(object);
  return nb::make_tuple(nb::borrow(f.wrapped), int(f.level), int(f.placement), int(f.fastmath));
}

nb::object runHere(nb::handle object, const nb::tuple& args, const nb::dict& kwargs) {
  Function& f = expectFunction(object);
  std::vector<PyObject*> all;
  for (nb::handle each : args) all.push_back(each.ptr());
  nb::list names;
  for (auto [name, value] : kwargs) {
    names.append(name);
    all.push_back(value.ptr());
  }
  nb::tuple keywords(names);
  PyObject* result = callHere(&f, all.data(), args.size(), keywords.ptr());
  if (result == nullptr) throw nb::python_error();
  return nb::steal(result);
}

// What was not measured is absent.
void put(nb::dict& into, const char* name, double value) {
  if (!std::isnan(value)) into[name] = value;
}

nb::dict asDict(const monitor::Figures& f) {
  nb::dict d;
  d["total_calls"] = f.totalCalls;
  d["error_count"] = f.errorCount;
  put(d, "total_time_ms", f.totalTimeMs);
  put(d, "cpu_time_ms", f.cpuTimeMs);
  put(d, "wait_time_ms", f.waitTimeMs);
  put(d, "avg_time_ms", f.avgTimeMs);
  put(d, "min_time_ms", f.minTimeMs);
  put(d, "max_time_ms", f.maxTimeMs);
  put(d, "io_wait_ratio", f.ioWaitRatio);
  put(d, "avg_loop_iterations", f.avgLoopIterations);
  put(d, "avg_data_size", f.avgDataSize);
  d["timed_calls"] = f.timedCalls;
  d["cpu_samples"] = f.cpuSamples;
  d["loop_samples"] = f.loopSamples;
  d["loop_samples_cut"] = f.loopSamplesCut;
  d["data_samples"] = f.dataSamples;
  return d;
}

nb::dict figuresOf(nb::handle object) { return asDict(monitor::figuresOf(expectFunction(object).ledger->read())); }
nb::dict allFigures() { return asDict(monitor::processFigures()); }
void reset(nb::handle object) { expectFunction(object).ledger->reset(); }

// (asked, ran, ((level, reason), ...)), or None before the first call.
nb::object outcomeOf(nb::handle object) {
  KJ_IF_MAYBE(outcome, expectFunction(object).ledger->lastOutcome()) {
    nb::list declined;
    for (auto& d : outcome->declined) declined.append(nb::make_tuple(int(d.level), nb::str(d.reason.cStr())));
    return nb::make_tuple(int(outcome->asked), int(outcome->ran), nb::tuple(declined));
  }
  return nb::none();
}

// (whether the last call had no level, its shapes' rows).
nb::tuple choiceOf(nb::handle object) {
  Function& f = expectFunction(object);
  PyObject* rows = trialsOf(&f);
  if (rows == nullptr) throw nb::python_error();
  auto* automatic = rootOf(&f)->automatic;
  return nb::make_tuple(automatic != nullptr && automatic->wasLast, nb::steal(rows));
}

// {level: (calls, milliseconds)} of the plainly timed calls.
nb::dict levelTimesOf(nb::handle object) {
  auto totals = expectFunction(object).ledger->read();
  nb::dict times;
  for (size_t i = 0; i < LEVEL_COUNT; ++i) {
    auto& level = totals.levels[i];
    if (level.calls.get() > 0) times[nb::int_(i)] = nb::make_tuple(level.calls.get(), double(level.wallNs.get()) / 1e6);
  }
  return times;
}

// What this build's engines of `level` run calls with, and if there are none, why.
nb::tuple engineFor(int level) {
  auto l = static_cast<Level>(level);
  nb::list means;
  for (auto each : engines().means(l)) means.append(nb::str(each.cStr()));
  return nb::make_tuple(means, nb::str(engines().whyAbsent(l).cStr()));
}

// (level, value, [(level, why it declined), ...]) of a call that an engine of `level`, or of those after it, has run; level 0 if one took
// it and ran it as it is. (None, None, [...]) if none has and nothing has happened.
nb::tuple tryLevel(nb::handle function, int level, const nb::tuple& args) {
  PythonCall call(function.ptr(), &PyTuple_GET_ITEM(args.ptr(), 0), args.size(), nullptr);
  call.mayRunPlainly = false;
  auto pick = engines().pick(static_cast<Level>(level), call);
  nb::list declined;
  auto& outcome = pick.standing == nullptr ? *pick.fresh : *pick.standing;
  auto add = [&declined](Level level, kj::StringPtr why) {
    declined.append(nb::make_tuple(int(level), nb::str(why.cStr())));
  };
  for (auto& d : outcome.declined) add(d.level, d.reason);
  Level ran = pick.engine.level();
  if (ran == Level::MONITOR) return nb::make_tuple(nb::none(), nb::none(), declined);
  pick.engine.run(call);
  for (auto& reason : call.alsoDeclined) add(ran, reason);
  KJ_IF_MAYBE(reason, call.givenBack) {
    add(ran, *reason);
    if (call.result == nullptr && !PyErr_Occurred()) return nb::make_tuple(nb::none(), nb::none(), declined);
    ran = Level::MONITOR;
  }
  if (call.result == nullptr) throw nb::python_error();
  return nb::make_tuple(int(ran), nb::steal(call.result), declined);
}

void makeContextVariable() {
  levelChoice.variable = PyContextVar_New("epochly_level", nullptr);
  if (levelChoice.variable == nullptr) throw nb::python_error();
}

nb::object enterLevel(int level, bool fastmath) {
  levelChoice.contextUsed = true;
  nb::int_ value(fastmath ? level | CONTEXT_FASTMATH : level);
  PyObject* token = PyContextVar_Set(levelChoice.variable, value.ptr());
  if (token == nullptr) throw nb::python_error();
  return nb::steal(token);
}

void leaveLevel(nb::handle token) {
  if (PyContextVar_Reset(levelChoice.variable, token.ptr()) != 0) throw nb::python_error();
}

// The level that a call without one of its own asks for; LEVEL_NOT_GIVEN if nobody said.
int levelInForce() {
  int level = levelChoice.contextUsed ? contextLevel() : LEVEL_NOT_GIVEN;
  return level != LEVEL_NOT_GIVEN ? level : levelChoice.process;
}

// Why loops cannot be counted on this thread now; None if they can.
nb::object loopObstacle() {
  if (loops::active) return nb::none();
  if (!loops::start(0)) return nb::str(loops::whyNot());
  loops::stop();
  return nb::none();
}

// Makes what was written to a frame's `f_locals` its variables. From 3.13 on they are.
void localsToFast(nb::handle frame) {
#if PY_VERSION_HEX < 0x030d0000
  PyFrame_LocalsToFast(reinterpret_cast<PyFrameObject*>(frame.ptr()), 0);
#endif
}

}  // namespace

void bindLocal(nb::module_& m) {
  refuseSubinterpreter();
  calibrateClocks();
  makeContextVariable();
  addThreadsEngine(engines());
  addHostsEngine(engines());  // before what uses this process's cores
  addJitEngine(engines());
  addProcessesEngine(engines());  // after what compiles
  addFunctionTypes(m.ptr());
  addStepTypes(m.ptr());
  addBatchType(m.ptr());
  m.def("wrap", &wrap);
  m.def("is_wrapped", [](nb::handle object) { return isFunction(object.ptr()); });
  m.def("options", &optionsOf);
  m.def("call_here", &runHere);
  m.def("figures", &figuresOf);
  m.def("all_figures", &allFigures);
  m.def("reset", &reset);
  m.def("reset_all", &monitor::resetProcess);
  m.def("outcome", &outcomeOf);
  m.def("level_times", &levelTimesOf);
  m.def("choice", &choiceOf);
  m.def("engine", &engineFor);
  m.def("try_level", &tryLevel);
  m.def("set_process_level", [](int level) { levelChoice.process = level; });
  m.def("level_in_force", &levelInForce);
  m.def("enter_level", &enterLevel);
  m.def("leave_level", &leaveLevel);
  m.def("offer", [](nb::handle function) { return offer(function.ptr()); });
  m.def("withdraw", [](nb::handle function) { withdraw(function.ptr()); });
  m.def("loop_obstacle", &loopObstacle);
  m.def("is_watched", &isWatched);
  m.def("locals_to_fast", &localsToFast);
}

}  // namespace epochly::ext

#include "ext/executor_attempt.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "ext/local/clock.h"
#include "ext/local/jit_engine.h"
#include "ext/local/levels.h"
#include "ext/local/loops.h"
#include "ext/local/ready.h"
#include "ext/local/sizes.h"
#include "run/result_objects.h"
#include "wire/task_spec.h"
#include "wire/text.h"

namespace epochly::ext {

namespace {

using monitor::Nanos;

// Of reading the thread's CPU clock and the time it was kept from running: two system calls.
constexpr Nanos CPU_READING_COST_NS = 2000;
// Larger ones may have to wait for room in the ring: not while other threads want the GIL.
constexpr size_t SENT_UNDER_GIL_MAX = 16u << 10;
// Words of a message's first segment, on the stack: most results fit.
constexpr size_t SCRATCH_WORDS = 256;

kj::String textOf(nb::handle text) {
  Py_ssize_t size;
  auto utf8 = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (utf8 != nullptr) return kj::str(kj::ArrayPtr<const char>(utf8, size));
  PyErr_Clear();  // lone surrogates
  auto bytes = nb::steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "backslashreplace"));
  return bytes.is_valid() ? kj::str(PyBytes_AsString(bytes.ptr())) : kj::str("?");
}

kj::String messageOf(nb::python_error& error) {
  nb::object describe = nb::module_::import_("epochly._exceptions").attr("one_line");
  return textOf(describe(error.value()));
}

// What user code raised, as the client needs it to raise it again.
Failure failureOf(nb::python_error& error) {
  auto value = nb::borrow(error.value());
  if (auto traceback = error.traceback(); traceback.is_valid() && !traceback.is_none()) {
    PyException_SetTraceback(value.ptr(), traceback.ptr());
  }
  nb::object described = nb::module_::import_("epochly._exceptions").attr("describe")(value);
  auto at = [&described](Py_ssize_t i) { return nb::handle(PyTuple_GET_ITEM(described.ptr(), i)); };
  auto failure = Failure::of(ErrorCode::USER_EXCEPTION, textOf(at(0)));
  failure.type = cut(textOf(at(1)), NAME_BYTES_MAX);
  failure.traceback = cut(textOf(at(2)), TRACEBACK_BYTES_MAX);
  failure.pickled =
      kj::heapArray<byte>(reinterpret_cast<const byte*>(PyBytes_AsString(at(3).ptr())), PyBytes_GET_SIZE(at(3).ptr()));
  return failure;
}

nb::object awaited(nb::object value) {
  if (!PyCoro_CheckExact(value.ptr())) return value;
  return nb::module_::import_("asyncio").attr("run")(value);
}

// A call's arguments as vectorcall takes them. Borrowed from `args` and `kwargs`, which outlive it.
class VectorArguments {
 public:
  VectorArguments(PyObject* args, PyObject* kwargs) : positional(PyTuple_GET_SIZE(args)), first(&PyTuple_GET_ITEM(args, 0)) {
    if (kwargs == Py_None || PyDict_GET_SIZE(kwargs) == 0) return;
    all.assign(first, first + positional);
    keywords = nb::steal(PyTuple_New(PyDict_GET_SIZE(kwargs)));
    if (!keywords.is_valid()) throw nb::python_error();
    Py_ssize_t at = 0, i = 0;
    for (PyObject *key, *value; PyDict_Next(kwargs, &at, &key, &value); i++) {
      PyTuple_SET_ITEM(keywords.ptr(), i, Py_NewRef(key));
      all.push_back(value);
    }
    first = all.data();
  }
  KJ_DISALLOW_COPY(VectorArguments);

  PyObject* const* data() const { return first; }
  size_t count() const { return positional; }
  PyObject* names() const { return keywords.ptr(); }

 private:
  size_t positional;
  PyObject* const* first;
  std::vector<PyObject*> all;
  nb::object keywords;  // null: none
};

}  // namespace

struct AttemptRunner::Report {
  kj::Maybe<Failure> failure;  // none: `value`
  Encoded value;
  uint64_t runNs = UINT64_MAX;  // as schema Timings
  uint64_t cpuNs = UINT64_MAX;
  uint64_t waitNs = UINT64_MAX;
  uint64_t compileNs = UINT64_MAX;
  Level ran = Level::MONITOR;
  kj::Vector<run::Decline> declined;
  double loopIterations = std::nan("");
  double dataSize = std::nan("");
};

AttemptRunner::AttemptRunner(run::ExecutorPort& port, FunctionStore& functions, run::Mode mode)
    : port(port), functions(functions), mode(mode) {}

bool AttemptRunner::run(const Attempt& attempt, kj::Function<nb::object()> loadArguments, kj::Function<bool()> moreFollows) {
  if (!port.begin(attempt.index)) return true;  // taken back
  Report report;
  call(attempt, loadArguments, report);
  bool alive = send(attempt, report, moreFollows() ? run::Wake::LATER : run::Wake::NOW);
  port.end(attempt.index);
  return alive;
}

void AttemptRunner::call(const Attempt& attempt, kj::Function<nb::object()>& loadArguments, Report& report) {
  auto function = functions.find(attempt.function);
  if (function == nullptr) {
    report.failure =
        Failure::of(ErrorCode::INTERNAL, kj::str("function ", attempt.function, " was never sent to this executor"));
    return;
  }
  KJ_IF_MAYBE(why, functions.load(*function)) {
    report.failure = kj::mv(*why);
    return;
  }
  nb::object arguments;
  try {
    arguments = loadArguments();
  } catch (nb::python_error& error) {
    report.failure =
        Failure::of(ErrorCode::ARGUMENTS_UNPICKLABLE,
                    kj::str("the arguments of ", function->name, " cannot be loaded on the worker: ", messageOf(error)));
    return;
  } catch (kj::Exception& error) {
    report.failure = Failure::of(
        ErrorCode::ARGUMENTS_UNPICKLABLE,
        kj::str("the arguments of ", function->name, " cannot be mapped on the worker: ", epochly::messageOf(error)));
    return;
  }
  nb::object value;
  try {
    value = invoke(attempt, *function, arguments, report);
  } catch (nb::python_error& error) {
    report.failure = failureOf(error);
    return;
  }
  arguments.reset();
  try {
    report.value = encode(value, Reader::CLIENT, !attempt.inlineResult, run::markOf({attempt.task, attempt.number}));
  } catch (nb::python_error& error) {
    report.failure = Failure::of(ErrorCode::RESULT_UNPICKLABLE,
                                 kj::str(function->name, " returned a ", Py_TYPE(value.ptr())->tp_name,
                                         " that cannot be sent back: ", messageOf(error), ". Return plain data instead"));
  } catch (kj::Exception& error) {
    report.failure = Failure::of(codeOf(error), kj::str("the result of ", function->name, ": ", epochly::messageOf(error)));
  }
}

bool AttemptRunner::send(const Attempt& attempt, Report& report, run::Wake wake) {
  capnp::word scratch[SCRATCH_WORDS] = {};
  capnp::MallocMessageBuilder message(kj::arrayPtr(scratch, SCRATCH_WORDS));
  auto result = message.initRoot<schema::FromExecutor>().initResults().initResults(1)[0];
  writeTaskId(attempt.task, result.initTask());
  result.setAttempt(attempt.number.value);
  KJ_IF_MAYBE(failure, report.failure) {
    failure->write(result.initFailure());
  } else {
    report.value.payload.write(result.initValue());
  }
  result.setLevelRan(static_cast<uint8_t>(report.ran));
  auto declined = result.initDeclined(report.declined.size());
  for (auto i : kj::indices(report.declined)) {
    declined[i].setLevel(static_cast<uint8_t>(report.declined[i].level));
    declined[i].setReason(report.declined[i].reason);
  }
  auto timings = result.initTimings();
  timings.setCompile(report.compileNs);
  timings.setRun(report.runNs);
  timings.setCpu(report.cpuNs);
  timings.setWait(report.waitNs);
  result.setLoopIterations(report.loopIterations);
  result.setDataSize(report.dataSize);

  bool alive;
  if (mode == run::Mode::CPU && message.sizeInWords() * sizeof(capnp::word) <= SENT_UNDER_GIL_MAX) {
    alive = port.send(message, wake);
  } else {
    nb::gil_scoped_release release;
    alive = port.send(message, wake);
  }
  if (alive && report.value.sharedName) report.value.sharedName->release();  // the client's now
  return alive;
}

// ---- the call and its measuring ------------------------------------------------------------------------------------

void AttemptRunner::readCpuTimes(Nanos cpuStart, std::optional<Nanos> readyStart, Nanos wall, Report& report) {
  report.cpuNs = std::min(cpuNow() - cpuStart, wall);
  auto readyEnd = ready::now();
  if (!readyStart || !readyEnd) return;  // whether it waited or was kept from running is unknown
  report.waitNs = wall - std::min(wall, report.cpuNs + (*readyEnd - *readyStart));
}

levels::Engines::Pick AttemptRunner::pick(const Attempt& attempt, PythonCall& call, Report& report) {
  if (mode == run::Mode::IO) {
    // Sharing this executor's threads is level 1 already; a function whose own loops can be spread gains by that too.
    report.ran = Level::THREADS;
    return engines().pick(attempt.level == Level::THREADS ? Level::THREADS : Level::MONITOR, call);
  }
  auto madeBefore = madeCodeNs();
  auto picked = engines().pick(attempt.level, call);
  if (auto made = madeCodeNs() - madeBefore; made > 0) report.compileNs = made;
  auto& outcome = picked.standing == nullptr ? *picked.fresh : *picked.standing;
  report.ran = outcome.ran;
  for (auto& d : outcome.declined) report.declined.add(run::Decline{d.level, kj::str(d.reason)});
  return picked;
}

nb::object AttemptRunner::invoke(const Attempt& attempt, FunctionStore::Function& function, nb::handle arguments,
                                 Report& report) {
  thread_local monitor::CpuRation ration(CPU_READING_COST_NS);
  PyObject* args = PyTuple_GetItem(arguments.ptr(), 0);
  PyObject* kwargs = args == nullptr ? nullptr : PyTuple_GetItem(arguments.ptr(), 1);
  if (kwargs == nullptr) throw nb::python_error();
  report.dataSize = dataSizeOf(&PyTuple_GET_ITEM(args, 0), PyTuple_GET_SIZE(args));
  auto callable = function.callable;  // keeps it, should it be unloaded meanwhile
  VectorArguments vector(args, kwargs);
  PythonCall call(callable.ptr(), vector.data(), vector.count(), vector.names());
  auto picked = pick(attempt, call, report);
  auto& sampler = function.sampler;
  bool isPlain = picked.engine.level() == Level::MONITOR;
  Nanos limit = isPlain ? sampler.beginCall() : monitor::NEVER;
  bool counting = limit != monitor::NEVER && loops::start(limit);
  if (limit != monitor::NEVER && !counting) sampler.refusedCounting();
  // The CPU clock's readings are around the wall clock's: reading it takes longer than a short call, and that must not look
  // like waiting.
  bool readCpu = sampler.beginStretch(wallNow(), ration);
  auto readyStart = readCpu ? ready::now() : std::nullopt;
  Nanos cpuStart = readCpu ? cpuNow() : 0;
  Nanos wallStart = wallNow();

  auto iterationsBefore = compiledIterations();
  kj::Maybe<nb::python_error> raised;
  nb::object value;
  try {
    picked.engine.run(call);
    value = nb::steal(call.result);
    if (!value.is_valid()) throw nb::python_error();
    value = awaited(kj::mv(value));
  } catch (nb::python_error& error) {
    raised = kj::mv(error);
  }

  Nanos wall = wallNow() - wallStart;
  if (readCpu) readCpuTimes(cpuStart, readyStart, wall, report);
  if (counting) {
    auto count = loops::stop();
    sampler.endCounted(wall, count.complete);
    if (count.complete) report.loopIterations = static_cast<double>(count.iterations);
    report.cpuNs = report.waitNs = UINT64_MAX;  // the times are those of counting
  } else {
    if (isPlain) sampler.endStretch(wall);
    bool ranCompiled = runsCompiled(picked.engine) && call.givenBack == nullptr;
    if (ranCompiled) report.loopIterations = static_cast<double>(compiledIterations() - iterationsBefore);
    report.runNs = wall;
  }
  for (auto& reason : call.alsoDeclined) report.declined.add(run::Decline{picked.engine.level(), kj::mv(reason)});
  bool sharesThreads = mode == run::Mode::IO;
  if (call.givenBack != nullptr && !sharesThreads) report.ran = Level::MONITOR;
  KJ_IF_MAYBE(reason, call.givenBack) {
    report.declined.add(run::Decline{picked.engine.level(), kj::mv(*reason)});
  }
  KJ_IF_MAYBE(error, raised) throw nb::python_error(kj::mv(*error));
  return value;
}

}  // namespace epochly::ext

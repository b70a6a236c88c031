#include "ext/jit/function.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "ext/jit/marshal.h"
#include "ext/jit/numpy_buffer.h"
#include "ext/jit/numpy_types.h"
#include "ext/jit/obtain.h"
#include "ext/jit/team_library.h"
#include "ext/take_gil.h"
#include "levels/program/elaborator.h"

namespace epochly::ext::jit {

using program::Declined;

namespace {

// See Api::madeCodeNs.
thread_local uint64_t madeCode = 0;
// See Api::loopIterations.
thread_local uint64_t iterations = 0;

int64_t nowNs() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

class MakingCode {
 public:
  MakingCode() = default;
  ~MakingCode() { madeCode += nowNs() - start; }

 private:
  const int64_t start = nowNs();
};

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

// The kinds of the arguments without a look inside them.
std::string kindsOf(std::span<PyObject* const> bound) {
  std::string kinds;
  for (auto* object : bound) kinds += std::string(Py_TYPE(object)->tp_name) + ",";
  return kinds;
}

std::string typesOf(const std::vector<Shape>& shapes) {
  program::Types types;
  std::string text;
  uint32_t sites = 0;
  for (auto& shape : shapes) text += (text.empty() ? "" : ", ") + types.show(typeFor(shape, types, sites));
  return text;
}

// Innermost strides that are the element's size, as they mostly are: loops over them can be vectorised.
std::map<size_t, uint64_t> stridesToRelyOn(std::span<PyObject* const> bound, const Version& version) {
  std::map<size_t, uint64_t> result;
  auto& types = version.unit->types;
  size_t leaf = 0;
  for (size_t i = 0; i < bound.size(); i++) {
    auto type = version.arguments[i];
    if (types.is(type, program::Kind::ARRAY) && types[type].dims) {
      auto* array = reinterpret_cast<ArrayObject*>(bound[i]);
      auto size = program::bytesOf(types[type].dtype);
      if (array->strides[array->dims - 1] == size) result[leaf + 2 * array->dims] = size;
    }
    leaf += types.leaves(type).size();
  }
  return result;
}

// Compiling needs nothing of Python: other threads go on meanwhile.
std::shared_ptr<epochly::jit::Code> compileWithoutGil(program::Unit& unit, const epochly::jit::Options& options) {
  std::shared_ptr<epochly::jit::Code> code;
  std::optional<Declined> refused;
  auto* state = PyEval_SaveThread();
  try {
    code = obtain(unit, options);
  } catch (Declined& e) {
    refused = e;
  }
  takeGil(state);
  if (refused) throw *refused;
  return code;
}

// To the logger "epochly": what typed code should always compile did not. Never leaves an exception set.
void logRefusal(program::Unit& unit, const std::string& reason) {
  std::string text;
  for (auto& instance : unit.instances) {
    if (instance.round == unit.instances[0].round) text += program::show(unit, instance);
  }
  Reference logging(PyImport_ImportModule("logging"));
  Reference logger(logging ? PyObject_CallMethod(logging.get(), "getLogger", "s", "epochly") : nullptr);
  Reference done(logger ? PyObject_CallMethod(logger.get(), "error", "ssss",
                                              "level 2: %s stays in CPython, code could not be made of it: %s\n%s",
                                              unit.instances[0].name.c_str(), reason.c_str(), text.c_str())
                        : nullptr);
  if (!done) PyErr_Clear();
}

// Tells other threads, while it lives, that code for these types is being made. Needs the GIL when it begins and ends.
class Compiling {
 public:
  Compiling(std::map<std::string, std::shared_ptr<Compilation>>& all, const std::string& types) : all(all), types(types) {
    all[types] = own;
  }
  Compiling(const Compiling&) = delete;
  ~Compiling() {
    if (auto found = all.find(types); found != all.end() && found->second == own) all.erase(found);
    {
      std::lock_guard lock(own->mutex);
      own->ended = true;
    }
    own->changed.notify_all();
  }

 private:
  std::map<std::string, std::shared_ptr<Compilation>>& all;
  const std::string types;
  const std::shared_ptr<Compilation> own = std::make_shared<Compilation>();
};

bool writesArrays(program::Types& types, program::Type type) {
  auto data = types[type];
  if (data.kind == program::Kind::ARRAY) return types(data.ref).written;
  return std::any_of(data.parts.begin(), data.parts.end(), [&](auto part) { return writesArrays(types, part); });
}

bool writesLists(program::Types& types, program::Type type, int depth = 0) {
  auto data = types[type];
  if (data.kind == program::Kind::LIST) {
    auto site = types(data.ref);
    return site.written || (depth < 8 && writesLists(types, site.element, depth + 1));
  }
  return std::any_of(data.parts.begin(), data.parts.end(), [&](auto part) { return writesLists(types, part, depth + 1); });
}

}  // namespace

bool JitFunction::decline(std::string reason, uint32_t line) {
  why = line ? "line " + std::to_string(line) + ": " + reason : std::move(reason);
  whyLine = line;
  return false;
}

bool JitFunction::encodeOnce() {
  auto* code = reinterpret_cast<PyFunctionObject*>(function)->func_code;
  if (PyFunction_Check(function) && encodedCode.get() == code) {
    if (encoded) return true;
    return decline(declines["source"]);
  }
  if (!PyFunction_Check(function)) return decline("it is no Python function");
  encodedCode = Reference::borrowed(code);
  std::string reason;
  encoded = encode(function, reason);
  versions.clear();
  declines.clear();
  declinedKinds.clear();
  if (!encoded) {
    declines["source"] = reason;
    return decline(reason);
  }
  parameters = encoded->function().getParameters().size();
  plainlyCallable = !encoded->function().getReceiver();
  for (auto one : encoded->function().getParameters())
    plainlyCallable &= one.getKind() != schema::Parameter::Kind::KEYWORD_ONLY;
  return true;
}

bool JitFunction::bind(PyObject* const* args, size_t nargs, PyObject* names, Store& store, Bound& result) {
  if (plainlyCallable && nargs == this->parameters && !names) {
    result = {args, nargs};
    return true;
  }
  auto parameters = encoded->function().getParameters();
  auto* receiver = encoded->function().getReceiver() && nargs ? args[0] : nullptr;
  if (receiver) args++, nargs--;
  if (encoded->function().getReceiver() && !receiver) return decline("the arguments do not fit");
  auto& bound = store.bound;
  bound.assign(parameters.size(), nullptr);
  auto isOfKind = [&](size_t at, schema::Parameter::Kind kind) { return parameters[at].getKind() == kind; };
  using Kind = schema::Parameter::Kind;
  for (size_t i = 0; i < nargs; i++) {
    if (i >= parameters.size() || isOfKind(i, Kind::KEYWORD_ONLY) || isOfKind(i, Kind::ATTRIBUTE))
      return decline("the arguments do not fit");
    bound[i] = args[i];
  }
  auto named = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t i = 0; i < named; i++) {
    const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
    if (!name) {
      PyErr_Clear();
      return decline("the arguments do not fit");
    }
    bool found = false;
    for (uint at = 0; at < parameters.size(); at++) {
      if (parameters[at].getName() != name || isOfKind(at, Kind::POSITIONAL_ONLY) || isOfKind(at, Kind::ATTRIBUTE)) continue;
      if (bound[at]) return decline("the arguments do not fit");
      bound[at] = args[nargs + i];
      found = true;
    }
    if (!found) return decline("the arguments do not fit");
  }
  auto* f = reinterpret_cast<PyFunctionObject*>(function);
  Py_ssize_t positional = 0;
  for (uint at = 0; at < parameters.size(); at++)
    positional += !isOfKind(at, Kind::KEYWORD_ONLY) && !isOfKind(at, Kind::ATTRIBUTE);
  if (receiver && !bindAttributes(receiver, store)) return false;
  for (uint at = 0; at < parameters.size(); at++) {
    if (bound[at]) continue;
    if (isOfKind(at, Kind::KEYWORD_ONLY)) {
      if (f->func_kwdefaults) bound[at] = PyDict_GetItemString(f->func_kwdefaults, parameters[at].getName().cStr());
    } else if (f->func_defaults) {
      auto from = static_cast<Py_ssize_t>(at) - (positional - PyTuple_GET_SIZE(f->func_defaults));
      if (from >= 0) bound[at] = PyTuple_GET_ITEM(f->func_defaults, from);
    }
    if (!bound[at]) return decline("the arguments do not fit");
  }
  result = bound;
  return true;
}

// Reads what is surely read without running any code: the object's own attributes, slots, and plain values of its class.
bool JitFunction::bindAttributes(PyObject* receiver, Store& store) {
  auto parameters = encoded->function().getParameters();
  auto* type = Py_TYPE(receiver);
  for (uint at = 0; at < parameters.size(); at++) {
    if (parameters[at].getKind() != schema::Parameter::Kind::ATTRIBUTE) continue;
    std::string full = parameters[at].getName().cStr();  // "self.x"
    Reference name(PyUnicode_InternFromString(full.c_str() + full.find('.') + 1));
    auto* ofClass = _PyType_Lookup(type, name.get());
    bool isPlain = type->tp_getattro == PyObject_GenericGetAttr &&
                   (!ofClass || Py_TYPE(ofClass) == &PyMemberDescr_Type || !Py_TYPE(ofClass)->tp_descr_get);
    if (!isPlain) return decline(full + " is looked up by code of its class, which is not compiled");
    store.attributes.emplace_back(PyObject_GenericGetAttr(receiver, name.get()));
    PyErr_Clear();
    if (!store.attributes.back()) return decline("there is no " + full);
    store.bound[at] = store.attributes.back().get();
  }
  return true;
}

void JitFunction::dropStale() {
  std::erase_if(versions, [](auto& version) { return !version->assumptions.hold(); });
  if (!declineAssumptions.hold()) {
    declineAssumptions = Assumptions();
    declines.clear();
    declinedKinds.clear();
  }
}

void JitFunction::splitLoops(Version& version) {
  if (!teamOrNone()) throw Declined(0, whyNoTeam());
  version.split = multicore::split(*version.unit, options.fastmath);
  version.loopTimes = std::make_unique<epochly::jit::LoopTimes[]>(version.split.parallel);
  for (auto& loop : version.split.loops) {
    if (!loop.number) continue;
    version.loopTimes[*loop.number].isOrdered = loop.isOrdered;
    version.loopTimes[*loop.number].isFixed = loop.isFixed;
  }
  if (version.split.parallel) return;
  declinedLoops = version.split.loops;
  if (version.split.loops.empty()) throw Declined(0, "it has no loop that could run on several cores");
  auto& first = version.split.loops[0];
  throw Declined(first.reasonLine, "the loop of line " + std::to_string(first.line) + " cannot be split: " + first.reason);
}

bool JitFunction::awaitOther(Bound bound) {
  if (compiling.empty()) return false;
  std::shared_ptr<Compilation> other;
  try {
    std::vector<Shape> shapes;
    for (auto* object : bound) shapes.push_back(shapeOf(object));
    auto found = compiling.find(typesOf(shapes));
    if (found != compiling.end()) other = found->second;
  } catch (Declined&) {
  }
  if (!other || other->process != getpid()) return false;
  auto* state = PyEval_SaveThread();
  {
    std::unique_lock lock(other->mutex);
    other->changed.wait(lock, [&] { return other->ended; });
  }
  takeGil(state);
  return true;
}

std::shared_ptr<Version> JitFunction::compile(Bound bound) {
  auto kinds = kindsOf(bound);
  if (auto known = declinedKinds.find(kinds); known != declinedKinds.end() && known->second.first >= DECLINES_MAX) {
    decline(known->second.second);
    return nullptr;
  }
  std::string types = kinds;
  auto made = std::make_shared<Version>();
  try {
    std::vector<Shape> shapes;
    for (auto* object : bound) shapes.push_back(shapeOf(object));
    types = typesOf(shapes);
    if (auto known = declines.find(types); known != declines.end()) {
      decline(known->second);
      return nullptr;
    }
    auto start = nowNs();
    MakingCode making;
    Compiling announced(compiling, types);
    Names names(function, encoded, made->assumptions);
    program::Elaborator elaborator(names, {.python = PY_VERSION_HEX >> 16, .numpy = NumpyTypes::get().version});
    made->unit = elaborator.run([&](program::Types& types) {
      std::vector<program::Type> result;
      uint32_t sites = 0;
      for (auto& shape : shapes) result.push_back(typeFor(shape, types, sites));
      return result;
    });
    if (multicore) splitLoops(*made);
    auto& unit = *made->unit;
    made->arguments = unit.instances[0].arguments;
    made->texts.emplace(unit.texts);
    if (!canBox(unit.types, unit.instances[0].result))
      throw Declined(0, "it returns " + unit.types.show(unit.instances[0].result));
    made->result = unit.instances[0].result;
    made->resultLeaves = unit.types.leaves(made->result).size();
    for (auto type : made->arguments) made->argumentLeaves += unit.types.leaves(type).size();
    made->types = types;
    made->options = options;
    // A second version of the same types is for what the first one relies on and does not hold.
    if (std::none_of(versions.begin(), versions.end(), [&](auto& other) { return other->types == types; }))
      made->options.constants = stridesToRelyOn(bound, *made);
    made->elaborateNs = nowNs() - start;
    made->code = generate(unit, made->options);
    made->releases = unit.instances[0].hasLoop;
    for (auto type : made->arguments) {
      made->writesArrays |= writesArrays(unit.types, type);
      if (writesLists(unit.types, type)) made->releases = false;
    }
  } catch (Declined& declined) {
    decline(declined.reason, declined.line);
    declines[types] = why;
    declinedKinds[kinds].first++;
    declinedKinds[kinds].second = why;
    declineAssumptions = std::move(made->assumptions);
    return nullptr;
  }
  if (versions.size() >= VERSIONS_MAX) versions.pop_back();
  versions.insert(versions.begin(), made);
  return made;
}

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

std::shared_ptr<epochly::jit::Code> JitFunction::generate(program::Unit& unit, const epochly::jit::Options& with) {
  try {
    return compileWithoutGil(unit, with);
  } catch (Declined& declined) {
    if (!refusalLogged) logRefusal(unit, declined.reason);
    refusalLogged = true;
    throw;
  }
}

bool JitFunction::makeCareful(Version& version) {
  if (version.careful) return true;
  auto careful = version.options;
  careful.careful = true;
  MakingCode making;
  try {
    auto made = generate(*version.unit, careful);
    if (!version.careful) version.careful = std::move(made);  // else another thread was first
  } catch (Declined& declined) {
    return decline(declined.reason, declined.line);
  }
  return true;
}

bool JitFunction::run(Version& version, Bound bound, Ran& ran, PyObject*& result) {
  if (version.retries < RETRIES_MAX) {
    auto code = version.code;
    auto attempted = attempt(version, *code, bound, ran, result);
    if (attempted != Attempt::GUARD_FAILED) return attempted == Attempt::ENDED;
    version.retries++;
  }
  ran = Ran::DECLINED;
  if (!makeCareful(version)) return true;
  auto code = version.careful;
  return attempt(version, *code, bound, ran, result) != Attempt::OTHER_TYPES;
}

std::shared_ptr<Version> JitFunction::prepare(PyObject* const* args, size_t nargs, PyObject* names) {
  Store store;
  Bound bound;
  if (!encodeOnce() || !bind(args, nargs, names, store, bound)) return nullptr;
  dropStale();
  return compile(bound);
}

bool JitFunction::givenUp() {
  for (auto& version : versions) {
    if (version->failuresInARow < FAILURES_MAX) continue;
    auto& which = version->unit->guards[version->lastGuard];
    decline("given up after " + std::to_string(FAILURES_MAX) + " calls in a row went back to CPython: " + which.reason,
            which.line);
    return true;
  }
  return false;
}

bool JitFunction::hasCode() const {
  if (!encoded || encodedCode.get() != reinterpret_cast<PyFunctionObject*>(function)->func_code) return false;
  return std::any_of(versions.begin(), versions.end(), [](auto& one) { return one->failuresInARow < FAILURES_MAX; });
}

bool JitFunction::ready(PyObject* const* args, size_t nargs, PyObject* names) {
  if (!encodeOnce()) return false;
  if (hasCode()) return true;
  dropStale();
  if (givenUp()) return false;
  Store store;
  Bound bound;
  if (!bind(args, nargs, names, store, bound)) return false;
  return awaitOther(bound) ? ready(args, nargs, names) : compile(bound) != nullptr;
}

Ran JitFunction::call(PyObject* const* args, size_t nargs, PyObject* names, PyObject*& result) {
  Store store;
  Bound bound;
  if (!encodeOnce() || !bind(args, nargs, names, store, bound)) return Ran::DECLINED;
  Ran ran;
  do {
    if (callKnown(bound, ran, result)) return ran;
    dropStale();
    if (givenUp()) return Ran::DECLINED;
  } while (awaitOther(bound));
  auto version = compile(bound);
  if (!version) return Ran::DECLINED;
  if (!run(*version, bound, ran, result)) {
    decline("the arguments do not load (the same list twice, or a read-only array that is written)");
    return Ran::DECLINED;
  }
  return ran;
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

uint64_t madeCodeNs() { return madeCode; }

uint64_t loopIterations() { return iterations; }

}  // namespace epochly::ext::jit

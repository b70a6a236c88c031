// JitFunction: code for types that it has none for yet.
#include <algorithm>
#include <chrono>

#include "ext/jit/function.h"
#include "ext/jit/marshal.h"
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

int64_t nowNs() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

class MakingCode {
 public:
  MakingCode() = default;
  ~MakingCode() { madeCode += nowNs() - start; }

 private:
  const int64_t start = nowNs();
};

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

void JitFunction::splitLoops(Version& version) {
  if (!teamOrNone()) throw Declined(0, whyNoTeam());
  version.split = multicore::split(*version.unit, options.fastmath);
  version.loopTimes = std::make_unique<epochly::jit::LoopTimes[]>(version.split.parallel);
  for (auto& loop : version.split.loops) {
    if (!loop.number) continue;
    auto& times = version.loopTimes[*loop.number];
    times.isOrdered = loop.isOrdered;
    times.isFixed = loop.isFixed;
    if (loop.inner) times.inner = static_cast<int32_t>(*loop.inner);
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

uint64_t madeCodeNs() { return madeCode; }

}  // namespace epochly::ext::jit

// epochly._jit: level 2. Loaded by the first call that asks for it; LLVM by the first whose code is not on disk.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "ext/jit/api.h"
#include "ext/jit/complex_power.h"
#include "ext/jit/function.h"
#include "ext/jit/marshal.h"
#include "ext/jit/obtain.h"
#include "ext/jit/team_library.h"

namespace nb = nanobind;

namespace epochly::ext::jit {

namespace {

// Loops of the source that were looked at; `times` of those that may run on several cores.
nb::list loopsOf(const std::vector<multicore::LoopShape>& loops, const epochly::jit::LoopTimes* times) {
  nb::list result;
  for (auto& loop : loops) {
    nb::dict one;
    one["line"] = loop.line;
    one["depth"] = loop.depth;
    one["function"] = loop.function;
    one["shape"] = loop.kind;
    one["splits"] = loop.splits;
    one["reason"] = nb::none();
    if (!loop.reason.empty()) one["reason"] = "line " + std::to_string(loop.reasonLine) + ": " + loop.reason;
    if (loop.number) {
      auto& own = times[*loop.number];
      one["ran_split"] = own.split.load();
      one["ran_alone"] = own.alone.load();
      one["ns_per_iteration"] = own.nsPerThousand.load() / 1000.0;
    }
    result.append(one);
  }
  return result;
}

nb::list loopsOf(const Version& version) { return loopsOf(version.split.loops, version.loopTimes.get()); }

nb::list versionsOf(const JitFunction& function) {
  nb::list result;
  for (auto& version : function.all()) {
    auto& unit = *version->unit;
    nb::dict one;
    nb::list types;
    for (auto type : version->arguments) types.append(unit.types.show(type));
    one["arguments"] = types;
    one["returns"] = unit.types.show(unit.instances[0].result);
    one["runs"] = version->runs;
    one["given_back"] = version->failures;
    one["infer_ms"] = version->elaborateNs / 1e6;
    one["compile_ms"] = version->code->compileNs / 1e6;
    one["from_disk"] = version->code->fromDisk;
    one["loops"] = loopsOf(*version);
    result.append(one);
  }
  return result;
}

nb::dict declinesOf(const JitFunction& function) {
  nb::dict result;
  for (auto& [types, reason] : function.declined()) result[types.c_str()] = reason;
  return result;
}

// What calls through optimize() made of a function.
nb::dict known(nb::object callable, bool fastmath, bool multicore) {
  nb::dict result;
  auto* function = functionKnown({callable.ptr(), fastmath, multicore});
  result["versions"] = function ? versionsOf(*function) : nb::list();
  result["declined"] = function ? declinesOf(*function) : nb::dict();
  return result;
}

void setCores(int cores, int64_t chunkNs) {
  if (!teamOrNone()) throw std::runtime_error(whyNoTeam());
  teamOrNone()->setCores(cores, chunkNs);
}

// 0: there is no level 3.
int cores() { return teamOrNone() ? teamOrNone()->cores() : 0; }

// A function at level 2, callable: compiled where it can be, else in CPython. What optimize() uses is JitFunction itself; this one
// is for epochly.inspect() and the tests.
class Jit {
 public:
  Jit(nb::object function, bool fastmath, bool multicore) : function(function), jit({function.ptr(), fastmath, multicore}) {}

  nb::object call(nb::args args, nb::kwargs kwargs) {
    std::vector<PyObject*> all;
    nb::object names = flatten(args, kwargs, all);
    PyObject* result = nullptr;
    switch (jit.call(all.data(), args.size(), names.ptr(), result)) {
      case Ran::RETURNED: declined = ""; return nb::steal(result);
      case Ran::RAISED: throw nb::python_error();
      default: break;
    }
    declined = jit.reason();
    result = PyObject_Call(function.ptr(), args.ptr(), kwargs.ptr());
    if (!result) throw nb::python_error();
    return nb::steal(result);
  }

  // What is known of the code for these arguments.
  nb::dict explain(nb::args args, nb::kwargs kwargs) {
    std::vector<PyObject*> all;
    nb::object names = flatten(args, kwargs, all);
    auto version = jit.prepare(all.data(), args.size(), names.ptr());
    nb::dict result;
    if (!version) {
      result["declined"] = jit.reason();
      result["loops"] = loopsOf(jit.loopsDeclined(), nullptr);
      return result;
    }
    auto& unit = *version->unit;
    nb::list functions;
    for (auto& instance : unit.instances) {
      if (instance.round == unit.instances[0].round) functions.append(program::show(unit, instance));
    }
    nb::list types;
    for (auto type : version->arguments) types.append(unit.types.show(type));
    result["arguments"] = types;
    result["returns"] = unit.types.show(unit.instances[0].result);
    result["typed"] = functions;
    result["loops"] = loopsOf(*version);
    result["llvm"] = intermediate(unit, version->options);
    result["assembly"] = assembly(unit, version->options);
    result["infer_ms"] = version->elaborateNs / 1e6;
    result["compile_ms"] = version->code->compileNs / 1e6;
    return result;
  }

  nb::list versions() { return versionsOf(jit); }
  nb::dict declines() { return declinesOf(jit); }

  nb::object function;
  std::string declined;  // why the last call ran in CPython; empty: it ran compiled

 private:
  JitFunction jit;

  static nb::object flatten(nb::args& args, nb::kwargs& kwargs, std::vector<PyObject*>& all) {
    for (auto arg : args) all.push_back(arg.ptr());
    if (kwargs.size() == 0) return {};
    nb::list names;
    for (auto [name, value] : kwargs) {
      names.append(name);
      all.push_back(value.ptr());
    }
    return nb::tuple(names);
  }
};

}  // namespace

}  // namespace epochly::ext::jit

NB_MODULE(_jit, m) {
  using epochly::ext::jit::Jit;
  epochly::ext::jit::provideComplexPower();
  nb::set_leak_warnings(false);  // functions that the table of compiled code holds live until the process ends
  m.attr("_api") = nb::capsule(&epochly::ext::jit::api, epochly::ext::jit::API_NAME);
  m.def("known", &epochly::ext::jit::known, nb::arg("function"), nb::arg("fastmath") = false, nb::arg("multicore") = false);
  m.def("set_cores", &epochly::ext::jit::setCores, nb::arg("cores"), nb::arg("chunk_ns") = 50'000,
        "For tests: the threads that level 3 works with, and how long a chunk takes at least.");
  m.def("cores", &epochly::ext::jit::cores);
  nb::class_<Jit>(m, "Jit", "A function at level 2: compiled where it can be, else in CPython.")
      .def(nb::init<nb::object, bool, bool>(), nb::arg("function"), nb::arg("fastmath") = false,
           nb::arg("multicore") = false)
      .def("__call__", &Jit::call)
      .def("explain", &Jit::explain, "Types, typed code, LLVM IR and assembly for these arguments, or why not.")
      .def("versions", &Jit::versions)
      .def("declines", &Jit::declines)
      .def_ro("function", &Jit::function)
      .def_ro("declined", &Jit::declined, "Why the last call ran in CPython; empty if it ran compiled.");
}

// epochly._jit: level 2. Loaded by the first call that asks for it; LLVM by the first whose code is not on disk.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "ext/jit/api.h"
#include "ext/jit/complex_power.h"
#include "ext/jit/function.h"
#include "ext/jit/marshal.h"
#include "ext/jit/obtain.h"

namespace nb = nanobind;

namespace epochly::ext::jit {

namespace {

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
nb::dict known(nb::object callable, bool fastmath) {
  nb::dict result;
  auto* function = functionKnown({callable.ptr(), fastmath});
  result["versions"] = function ? versionsOf(*function) : nb::list();
  result["declined"] = function ? declinesOf(*function) : nb::dict();
  return result;
}

// A function at level 2, callable: compiled where it can be, else in CPython. What optimize() uses is JitFunction itself; this one
// is for epochly.inspect() and the tests.
class Jit {
 public:
  Jit(nb::object function, bool fastmath) : function(function), jit(function.ptr(), fastmath) {}

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
  m.def("known", &epochly::ext::jit::known, nb::arg("function"), nb::arg("fastmath") = false);
  nb::class_<Jit>(m, "Jit", "A function at level 2: compiled where it can be, else in CPython.")
      .def(nb::init<nb::object, bool>(), nb::arg("function"), nb::arg("fastmath") = false)
      .def("__call__", &Jit::call)
      .def("explain", &Jit::explain, "Types, typed code, LLVM IR and assembly for these arguments, or why not.")
      .def("versions", &Jit::versions)
      .def("declines", &Jit::declines)
      .def_ro("function", &Jit::function)
      .def_ro("declined", &Jit::declined, "Why the last call ran in CPython; empty if it ran compiled.");
}

#include "ext/jit/names.h"

#include <string_view>

#include "ext/jit/numpy_types.h"

namespace epochly::ext::jit {

using program::Binding;

namespace {

// Functions that one program may call: a chain of helpers is shorter, and each costs a parse.
constexpr size_t FUNCTIONS_MAX = 32;

Binding other(std::string what) { return {.what = Binding::OTHER, .name = std::move(what)}; }

const char* builtinType(PyObject* object) {
  static const std::pair<PyTypeObject*, const char*> TYPES[] = {
      {&PyRange_Type, "range"},     {&PyEnum_Type, "enumerate"}, {&PyZip_Type, "zip"},     {&PyReversed_Type, "reversed"},
      {&PyLong_Type, "int"},        {&PyFloat_Type, "float"},    {&PyBool_Type, "bool"},   {&PyList_Type, "list"},
      {&PyComplex_Type, "complex"}, {&PyTuple_Type, "tuple"},    {&PyUnicode_Type, "str"}, {&PyBytes_Type, "bytes"},
  };
  for (auto& [type, name] : TYPES) {
    if (object == reinterpret_cast<PyObject*>(type)) return name;
  }
  return nullptr;
}

std::string moduleOf(PyObject* builtin) {
  Reference module(PyObject_GetAttrString(builtin, "__module__"));
  const char* utf8 = module && PyUnicode_Check(module.get()) ? PyUnicode_AsUTF8(module.get()) : nullptr;
  std::string result = utf8 ? utf8 : "";
  PyErr_Clear();
  return result;
}

}  // namespace

void Assumptions::ofDict(PyObject* dict, PyObject* key, PyObject* value) {
  entries.push_back({Reference::borrowed(dict), Reference::borrowed(key), PyObject_Hash(key), Reference::borrowed(value)});
}

void Assumptions::ofCell(PyObject* cell, PyObject* value) {
  cells.push_back({Reference::borrowed(cell), Reference::borrowed(value)});
}

void Assumptions::ofFunction(PyObject* function) {
  auto* f = reinterpret_cast<PyFunctionObject*>(function);
  functions.push_back({Reference::borrowed(function), Reference::borrowed(f->func_code),
                       Reference::borrowed(f->func_defaults), Reference::borrowed(f->func_kwdefaults)});
}

bool Assumptions::hold() const {
  for (auto& entry : entries) {
    if (_PyDict_GetItem_KnownHash(entry.dict.get(), entry.key.get(), entry.hash) != entry.value.get()) {
      PyErr_Clear();
      return false;
    }
  }
  for (auto& cell : cells) {
    if (PyCell_GET(cell.cell.get()) != cell.value.get()) return false;
  }
  for (auto& state : functions) {
    auto* f = reinterpret_cast<PyFunctionObject*>(state.function.get());
    if (f->func_code != state.code.get() || f->func_defaults != state.defaults.get() ||
        f->func_kwdefaults != state.keywordDefaults.get()) {
      return false;
    }
  }
  return true;
}

Names::Names(PyObject* entry, std::shared_ptr<Encoded> encoded, Assumptions& assumptions) : assumptions(assumptions) {
  functions.push_back({Reference::borrowed(entry), std::move(encoded)});
  assumptions.ofFunction(entry);
}

Binding Names::name(uint32_t index, bool closure, const std::string& name) {
  auto* f = reinterpret_cast<PyFunctionObject*>(functions[index].object.get());
  Reference key(PyUnicode_InternFromString(name.c_str()));
  if (closure) {
    Reference names(PyObject_GetAttrString(f->func_code, "co_freevars"));
    auto at = PySequence_Index(names.get(), key.get());
    if (at < 0 || !f->func_closure) {
      PyErr_Clear();
      return other("internal: the closure has no " + name);
    }
    PyObject* cell = PyTuple_GET_ITEM(f->func_closure, at);
    PyObject* value = PyCell_GET(cell);
    assumptions.ofCell(cell, value);
    return value ? meaning(value, name) : other("'" + name + "' is not assigned yet");
  }
  if (PyObject* value = PyDict_GetItemWithError(f->func_globals, key.get())) {
    assumptions.ofDict(f->func_globals, key.get(), value);
    return meaning(value, name);
  }
  PyErr_Clear();
  assumptions.ofDict(f->func_globals, key.get(), nullptr);
  // The builtins that the function itself sees.
  PyObject* builtins = f->func_builtins;
  PyObject* value = PyDict_GetItemWithError(builtins, key.get());
  PyErr_Clear();
  assumptions.ofDict(builtins, key.get(), value);
  return value ? meaning(value, name) : other("the name '" + name + "' is not defined");
}

Binding Names::attribute(const std::string& module, const std::string& name) {
  PyObject* object = PyDict_GetItemString(PyImport_GetModuleDict(), module.c_str());
  PyObject* dict = object && PyModule_Check(object) ? PyModule_GetDict(object) : nullptr;
  if (!dict) return other("the module " + module + " is gone");
  Reference key(PyUnicode_InternFromString(name.c_str()));
  PyObject* value = PyDict_GetItemWithError(dict, key.get());
  PyErr_Clear();
  if (!value) return other("the attribute '" + name + "' of the module " + module);
  assumptions.ofDict(dict, key.get(), value);
  return meaning(value, module + "." + name);
}

Binding Names::meaning(PyObject* object, const std::string& name) {
  if (object == Py_None) return {.what = Binding::NONE};
  if (PyBool_Check(object)) return {.what = Binding::BOOL, .i = object == Py_True};
  if (PyLong_CheckExact(object)) {
    int overflow = 0;
    auto value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow) return other("'" + name + "' is an integer beyond 64 bits");
    return {.what = Binding::INT, .i = value};
  }
  if (PyFloat_CheckExact(object)) return {.what = Binding::FLOAT, .f = PyFloat_AS_DOUBLE(object)};
  if (PyComplex_CheckExact(object)) {
    auto value = PyComplex_AsCComplex(object);
    return {.what = Binding::COMPLEX, .f = value.real, .imaginary = value.imag};
  }
  if (PyUnicode_CheckExact(object)) {
    Py_ssize_t size = 0;
    const char* utf8 = PyUnicode_AsUTF8AndSize(object, &size);
    PyErr_Clear();
    if (!utf8) return other("'" + name + "' is a string with half a character");
    return {.what = Binding::STR, .name = std::string(utf8, size)};
  }
  if (PyBytes_CheckExact(object))
    return {.what = Binding::BYTES, .name = std::string(PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object))};
  if (PyModule_Check(object)) {
    for (auto* known : {"math", "numpy"}) {
      if (PyDict_GetItemString(PyImport_GetModuleDict(), known) == object) return {.what = Binding::MODULE, .name = known};
    }
    // Another module, for its functions and constants. A module of a class of its own may answer as it likes.
    const char* own = PyModule_GetName(object);
    PyErr_Clear();
    if (PyModule_CheckExact(object) && own && PyDict_GetItemString(PyImport_GetModuleDict(), own) == object)
      return {.what = Binding::MODULE, .name = own};
    return other("the module '" + name + "' is not compiled");
  }
  auto& numpy = NumpyTypes::get();
  if (PyType_Check(object) && numpy.array) {
    if (auto dtype = numpy.scalarType(reinterpret_cast<PyTypeObject*>(object)))
      return {.what = Binding::DTYPE, .i = static_cast<int64_t>(*dtype)};
  }
  if (auto function = numpyFunction(object); !function.empty()) return {.what = Binding::NUMPY, .name = function};
  if (auto* type = builtinType(object)) return {.what = Binding::BUILTIN, .name = type};
  if (PyCFunction_Check(object)) {
    auto module = moduleOf(object);
    std::string function = reinterpret_cast<PyCFunctionObject*>(object)->m_ml->ml_name;
    if (module == "builtins") return {.what = Binding::BUILTIN, .name = function};
    if (module == "math") return {.what = Binding::MATH, .name = function};
    return other("the C function '" + name + "' is not compiled");
  }
  if (PyFunction_Check(object)) return functionBinding(object);
  // A function that optimize() has decorated is, to a caller, the function.
  if (std::string_view(Py_TYPE(object)->tp_name).starts_with("epochly.")) {
    Reference inner(PyObject_GetAttrString(object, "__wrapped__"));
    PyErr_Clear();
    if (inner && PyFunction_Check(inner.get())) return functionBinding(inner.get());
  }
  return other("'" + name + "' is a " + Py_TYPE(object)->tp_name + ", which is not compiled");
}

Binding Names::functionBinding(PyObject* object) {
  for (size_t i = 0; i < functions.size(); i++) {
    if (functions[i].object.get() == object) return {.what = Binding::FUNCTION, .i = static_cast<int64_t>(i)};
  }
  if (functions.size() >= FUNCTIONS_MAX) return other("too many functions are called");
  std::string reason;
  std::shared_ptr<Encoded> encoded = encode(object, reason);
  if (!encoded) return other("it calls a function that does not compile: " + reason);
  assumptions.ofFunction(object);
  functions.push_back({Reference::borrowed(object), std::move(encoded)});
  return {.what = Binding::FUNCTION, .i = static_cast<int64_t>(functions.size() - 1)};
}

Binding Names::defaultOf(uint32_t index, uint32_t parameter) {
  auto& known = functions[index];
  auto* f = reinterpret_cast<PyFunctionObject*>(known.object.get());
  auto parameters = known.encoded->function().getParameters();
  PyObject* value = nullptr;
  if (parameters[parameter].getKind() == schema::Parameter::Kind::KEYWORD_ONLY) {
    if (f->func_kwdefaults) value = PyDict_GetItemString(f->func_kwdefaults, parameters[parameter].getName().cStr());
  } else if (f->func_defaults) {
    Py_ssize_t positional = 0;
    for (auto one : parameters) positional += one.getKind() != schema::Parameter::Kind::KEYWORD_ONLY;
    auto at = static_cast<Py_ssize_t>(parameter) - (positional - PyTuple_GET_SIZE(f->func_defaults));
    if (at >= 0) value = PyTuple_GET_ITEM(f->func_defaults, at);
  }
  if (!value) return other("");
  return meaning(value, parameters[parameter].getName().cStr());
}

}  // namespace epochly::ext::jit

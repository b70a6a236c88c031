#include "ext/jit/numpy_types.h"

#include "ext/jit/reference.h"
#include "levels/jit/runtime.h"

namespace epochly::ext::jit {

using program::DType;

namespace {

PyTypeObject* typeNamed(PyObject* module, const char* name) {
  PyObject* found = PyObject_GetAttrString(module, name);  // kept for ever
  if (!found || !PyType_Check(found)) {
    PyErr_Clear();
    return nullptr;
  }
  return reinterpret_cast<PyTypeObject*>(found);
}

uint16_t versionOf(PyObject* module) {
  Reference text(PyObject_GetAttrString(module, "__version__"));
  const char* utf8 = text && PyUnicode_Check(text.get()) ? PyUnicode_AsUTF8(text.get()) : nullptr;
  int major = 0, minor = 0;
  if (utf8) sscanf(utf8, "%d.%d", &major, &minor);
  PyErr_Clear();
  return major << 8 | minor;
}

// PyUFuncObject's first members, which are part of numpy's ABI.
struct UfuncObject {
  PyObject_HEAD
  int inputs, outputs, operands, identity;
  void (**functions)(char**, const intptr_t*, const intptr_t*, void*);
  void* const* data;
  int types;
  int reserved;
  const char* name;
  const char* signatures;
};

constexpr int TYPE_NUMBERS[] = {0, 1, 3, 5, 7, 2, 4, 6, 8, 11, 12, 14, 15};  // NPY_TYPES by DType

// Functions that are not ufuncs; what compiled code does not know declines where it is called.
constexpr const char* FUNCTIONS[] = {"zeros",       "ones",      "empty",      "full",      "arange",
                                     "zeros_like",  "ones_like", "empty_like", "full_like", "sum",
                                     "prod",        "min",       "max",        "amin",      "amax",
                                     "any",         "all",       "argmin",     "argmax",    "mean",
                                     "std",         "var",       "where",      "asarray",   "ascontiguousarray",
                                     "array",       "copy",      "transpose",  "ravel",     "dot",
                                     "sort",        "cumsum",    "linspace",   "clip",      "concatenate",
                                     "array_equal", "real",      "imag"};

// Types whose own loops compiled code calls.
constexpr DType LOOPS[] = {DType::F32, DType::F64, DType::C64, DType::C128};

// Where every operand is of `dtype`.
epochly::jit::UfuncLoop loopOf(const UfuncObject& ufunc, DType dtype, DType result) {
  for (int i = 0; i < ufunc.types; i++) {
    bool fits = true;
    for (int k = 0; k < ufunc.operands; k++)
      fits &= ufunc.signatures[i * ufunc.operands + k] == TYPE_NUMBERS[static_cast<int>(k < ufunc.inputs ? dtype : result)];
    if (fits) return {ufunc.functions[i], ufunc.data ? ufunc.data[i] : nullptr};
  }
  return {};
}

void loadFunctions(NumpyTypes& types, PyObject* module) {
  types.ufunc = typeNamed(module, "ufunc");
  for (auto* name : FUNCTIONS) {
    Reference found(PyObject_GetAttrString(module, name));
    PyErr_Clear();
    if (found && Py_TYPE(found.get()) != types.ufunc) types.functions[found.release()] = name;
  }
  Reference matmul(PyObject_GetAttrString(module, "matmul"));
  PyErr_Clear();
  if (matmul && Py_TYPE(matmul.get()) == types.ufunc) {
    for (auto dtype : LOOPS)
      epochly::jit::matmulLoop(dtype) = loopOf(*reinterpret_cast<UfuncObject*>(matmul.get()), dtype, dtype);
  }
  for (uint32_t i = 0; i < program::UFUNC_COUNT; i++) {
    Reference found(PyObject_GetAttrString(module, program::UFUNCS[i].name));
    PyErr_Clear();
    if (!found || Py_TYPE(found.get()) != types.ufunc) continue;
    auto& ufunc = *reinterpret_cast<UfuncObject*>(found.get());
    if (ufunc.inputs != program::UFUNCS[i].operands || ufunc.outputs != 1) continue;
    for (auto dtype : LOOPS)
      epochly::jit::ufuncLoop(program::ufuncCell(i, dtype)) = loopOf(ufunc, dtype, program::UFUNCS[i].resultOf(dtype));
  }
}

// numpy's C API, for the one function that makes an array of given memory.
void** apiOf() {
  static void** api = [] {
    void** found = nullptr;
    for (auto* name : {"numpy._core._multiarray_umath", "numpy.core._multiarray_umath"}) {
      Reference module(PyImport_ImportModule(name));
      Reference capsule(module ? PyObject_GetAttrString(module.get(), "_ARRAY_API") : nullptr);
      PyErr_Clear();
      if (capsule) found = static_cast<void**>(PyCapsule_GetPointer(capsule.get(), nullptr));
      PyErr_Clear();
      if (found) break;
    }
    return found;
  }();
  return api;
}

void load(NumpyTypes& types, PyObject* module) {
  static const char* const NAMES[] = {"bool_",  "int8",   "int16",   "int32",   "int64",     "uint8",     "uint16",
                                      "uint32", "uint64", "float32", "float64", "complex64", "complex128"};
  static_assert(std::size(NAMES) == program::DTYPES);
  for (size_t i = 0; i < program::DTYPES; i++) types.scalar[i] = typeNamed(module, NAMES[i]);
  types.trueObject = PyObject_GetAttrString(module, "True_");
  types.falseObject = PyObject_GetAttrString(module, "False_");
  PyErr_Clear();
  types.version = versionOf(module);
  loadFunctions(types, module);
  types.array = typeNamed(module, "ndarray");
}

}  // namespace

const NumpyTypes& NumpyTypes::get() {
  static NumpyTypes types;
  if (!types.array) {
    PyObject* module = PyDict_GetItemString(PyImport_GetModuleDict(), "numpy");
    // A module that is still being imported has no ndarray yet.
    if (module && PyObject_HasAttrString(module, "ndarray") && PyObject_HasAttrString(module, "float64"))
      load(types, module);
  }
  return types;
}

std::optional<DType> NumpyTypes::scalarType(PyTypeObject* type) const {
  if (!array) return {};
  for (size_t i = 0; i < program::DTYPES; i++) {
    if (scalar[i] == type) return static_cast<DType>(i);
  }
  return {};
}

std::optional<DType> elementType(const ArrayObject* array) {
  auto* descr = array->descr;
  if (!(array->flags & ArrayObject::ALIGNED) ||
      (descr->byteorder != '=' && descr->byteorder != '|' && descr->byteorder != '<'))
    return {};
  switch (descr->typeNumber) {  // NPY_TYPES; 9 and 10, long long, have scalar types of their own
    case 0: return DType::BOOL;
    case 1: return DType::I8;
    case 2: return DType::U8;
    case 3: return DType::I16;
    case 4: return DType::U16;
    case 5: return DType::I32;
    case 6: return DType::U32;
    case 7: return DType::I64;
    case 8: return DType::U64;
    case 11: return DType::F32;
    case 12: return DType::F64;
    case 14: return DType::C64;
    case 15: return DType::C128;
    default: return {};
  }
}

std::string numpyFunction(PyObject* object) {
  auto& types = NumpyTypes::get();
  if (types.ufunc && Py_TYPE(object) == types.ufunc) return reinterpret_cast<UfuncObject*>(object)->name;
  auto found = types.functions.find(object);
  return found == types.functions.end() ? "" : found->second;
}

PyObject* arrayOwning(char* data, DType dtype, uint32_t dims, const uint64_t* shape, const uint64_t* strides) {
  constexpr int NEW = 93, OWNDATA = 0x0004;  // PyArray_New's place in the table
  auto** api = apiOf();
  if (!api) {
    PyErr_SetString(PyExc_SystemError, "numpy's C API was not found");
    return nullptr;
  }
  using New = PyObject* (*)(PyTypeObject*, int, const Py_ssize_t*, int, const Py_ssize_t*, void*, int, int, PyObject*);
  PyObject* made = reinterpret_cast<New>(api[NEW])(
      NumpyTypes::get().array, dims, reinterpret_cast<const Py_ssize_t*>(shape), TYPE_NUMBERS[static_cast<int>(dtype)],
      reinterpret_cast<const Py_ssize_t*>(strides), data, 0, ArrayObject::ALIGNED | ArrayObject::WRITEABLE, nullptr);
  // numpy frees memory that came with no handler of its own by free().
  if (made) reinterpret_cast<ArrayObject*>(made)->flags |= OWNDATA;
  return made;
}

}  // namespace epochly::ext::jit

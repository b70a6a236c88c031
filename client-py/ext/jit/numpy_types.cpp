#include "ext/jit/numpy_types.h"

#include "ext/jit/reference.h"

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

void load(NumpyTypes& types, PyObject* module) {
  static const char* const NAMES[] = {"bool_",  "int8",   "int16",  "int32",   "int64",  "uint8",
                                      "uint16", "uint32", "uint64", "float32", "float64"};
  for (int i = 0; i < 11; i++) types.scalar[i] = typeNamed(module, NAMES[i]);
  types.trueObject = PyObject_GetAttrString(module, "True_");
  types.falseObject = PyObject_GetAttrString(module, "False_");
  PyErr_Clear();
  types.version = versionOf(module);
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
  for (int i = 0; i < 11; i++) {
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
    default: return {};
  }
}

}  // namespace epochly::ext::jit

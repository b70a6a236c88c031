#include "ext/local/sizes.h"

#include <cstdint>
#include <cstring>
#include <limits>

namespace epochly::ext {

namespace {

constexpr double NONE = -1;

// Attribute names that arrays, tensors and data frames have and other classes do not.
enum : size_t { ARRAY_INTERFACE, CUDA_ARRAY_INTERFACE, ARRAY, DATAFRAME, DLPACK, MARKER_COUNT };
constexpr const char* MARKERS[MARKER_COUNT] = {"__array_interface__", "__cuda_array_interface__", "__array__",
                                               "__dataframe__", "__dlpack__"};

PyObject* interned(const char* text) { return PyUnicode_InternFromString(text); }

// Looks along the class's own bases, so that nothing of the program runs.
bool looksLikeArray(PyTypeObject* type) {
  static PyObject* const markers[MARKER_COUNT] = {interned(MARKERS[0]), interned(MARKERS[1]), interned(MARKERS[2]),
                                                  interned(MARKERS[3]), interned(MARKERS[4])};
  for (PyObject* marker : markers) {
    if (_PyType_Lookup(type, marker) != nullptr) return true;
  }
  return false;
}

// Product of the integers of a shape; NONE for a scalar's empty one and for shapes not known yet.
double elementsOf(PyObject* shape) {
  if (!PyTuple_Check(shape) || PyTuple_GET_SIZE(shape) == 0) return NONE;
  double product = 1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(shape); ++i) {
    PyObject* extent = PyTuple_GET_ITEM(shape, i);
    if (!PyLong_Check(extent)) return NONE;
    product *= PyLong_AsDouble(extent);
  }
  return product;
}

double sizeByShape(PyObject* object) {
  static PyObject* const name = interned("shape");
  PyObject* shape = PyObject_GetAttr(object, name);
  double size = shape == nullptr ? NONE : elementsOf(shape);
  Py_XDECREF(shape);
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return NONE;
  }
  return size;
}

double sizeByLength(PyObject* object) {
  Py_ssize_t length = PyObject_Size(object);
  if (length >= 0) return double(length);
  PyErr_Clear();  // a range with more than a Py_ssize_t holds
  return NONE;
}

double sizeByBuffer(PyObject* object) {
  Py_buffer view;
  if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) != 0) {
    PyErr_Clear();  // closed, released, or not to be read in this form
    return NONE;
  }
  double size = view.ndim > 0 && view.itemsize > 0 ? double(view.len / view.itemsize) : NONE;
  PyBuffer_Release(&view);
  return size;
}

// From 3.12 on a class of the program may give out buffers by a method of its own; that is not called.
bool hasBufferInC(PyTypeObject* type) {
  if (type->tp_as_buffer == nullptr || type->tp_as_buffer->bf_getbuffer == nullptr) return false;
  static PyObject* const name = interned("__buffer__");
  PyObject* method = _PyType_Lookup(type, name);
  return method == nullptr || Py_TYPE(method) == &PyWrapperDescr_Type;
}

bool hasBuiltinLength(PyTypeObject* type) {
  return type == &PyRange_Type || type == &PyDictKeys_Type || type == &PyDictValues_Type || type == &PyDictItems_Type ||
         type == &PyDictProxy_Type || std::strcmp(type->tp_name, "collections.deque") == 0;
}

// How the size of a type's instances is found.
enum class Way : uint8_t { NOTHING, SHAPE, LENGTH, BUFFER };

Way findWay(PyTypeObject* type) {
  if (hasBuiltinLength(type)) return Way::LENGTH;
  if (looksLikeArray(type)) return Way::SHAPE;
  return hasBufferInC(type) ? Way::BUFFER : Way::NOTHING;
}

// A class's version changes with the class and is never given twice; 0: it has none.
unsigned versionOf(PyTypeObject* type) {
#if PY_VERSION_HEX < 0x030D0000
  if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG)) return 0;
#endif
  return type->tp_version_tag;
}

// The last way found for each of some classes. Guarded by the GIL.
Way wayOf(PyTypeObject* type) {
  constexpr size_t KNOWN_MAX = 256;  // classes seen in one program's hot calls; a collision costs a few look-ups
  struct Known {
    unsigned version = 0;
    Way way = Way::NOTHING;
  };
  static Known known[KNOWN_MAX];
  unsigned version = versionOf(type);
  Known& entry = known[version % KNOWN_MAX];
  if (version != 0 && entry.version == version) return entry.way;
  Way way = findWay(type);
  version = versionOf(type);  // the look-up gives a class its version
  known[version % KNOWN_MAX] = {version, way};
  return way;
}

double sizeOfOther(PyObject* object) {
  switch (wayOf(Py_TYPE(object))) {
    case Way::NOTHING: return NONE;
    case Way::SHAPE: return sizeByShape(object);
    case Way::LENGTH: return sizeByLength(object);
    case Way::BUFFER: return sizeByBuffer(object);
  }
  return NONE;
}

bool hasNoSize(PyObject* object) {
  return object == Py_None || PyUnicode_Check(object) || PyLong_Check(object) || PyFloat_CheckExact(object) ||
         PyComplex_CheckExact(object) || PyFunction_Check(object) || PyType_Check(object) || PyModule_Check(object);
}

// Subclasses of the built-in containers are asked for what they hold, not through a __len__ of their own.
double sizeOf(PyObject* object) {
  if (PyList_Check(object) || PyTuple_Check(object)) return double(Py_SIZE(object));
  if (hasNoSize(object)) return NONE;
  if (PyDict_Check(object)) return double(PyDict_GET_SIZE(object));
  if (PyAnySet_Check(object)) return double(PySet_GET_SIZE(object));
  if (PyBytes_Check(object)) return double(PyBytes_GET_SIZE(object));
  if (PyByteArray_Check(object)) return double(PyByteArray_GET_SIZE(object));
  return sizeOfOther(object);
}

}  // namespace

double dataSizeOf(PyObject* const* args, Py_ssize_t count) {
  double largest = NONE;
  for (Py_ssize_t i = 0; i < count; ++i) {
    double size = sizeOf(args[i]);
    if (size > largest) largest = size;
  }
  return largest >= 0 ? largest : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace epochly::ext

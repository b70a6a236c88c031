// numpy's arrays and scalars without its headers: the members below have had their places since numpy 1.7 and are part of its ABI.
#pragma once

#include <Python.h>

#include <map>
#include <optional>
#include <string>

#include "levels/program/types.h"

namespace epochly::ext::jit {

struct ArrayDescr {
  PyObject_HEAD
  PyTypeObject* typeobj;
  char kind;
  char type;
  char byteorder;
  char flags;
  int typeNumber;
};

struct ArrayObject {
  PyObject_HEAD
  char* data;
  int dims;
  Py_ssize_t* shape;
  Py_ssize_t* strides;
  PyObject* base;
  ArrayDescr* descr;
  int flags;

  static constexpr int CONTIGUOUS = 0x0001, ALIGNED = 0x0100, WRITEABLE = 0x0400;
};

// numpy's types in this process. Null members until somebody has imported numpy. Needs the GIL.
struct NumpyTypes {
  PyTypeObject* array = nullptr;
  PyTypeObject* scalar[program::DTYPES] = {};  // by DType
  PyObject* trueObject = nullptr;
  PyObject* falseObject = nullptr;
  uint16_t version = 0;                        // major << 8 | minor
  std::map<PyObject*, std::string> functions;  // of numpy's namespace that are no ufuncs, by identity
  PyTypeObject* ufunc = nullptr;

  static const NumpyTypes& get();
  std::optional<program::DType> scalarType(PyTypeObject* type) const;
};

// The name of a numpy function; empty if it is none that is known.
std::string numpyFunction(PyObject* object);
// An array that owns `data`, which is malloc'd. A new reference; null with an exception set, then `data` is still the caller's.
PyObject* arrayOwning(char* data, program::DType dtype, uint32_t dims, const uint64_t* shape, const uint64_t* strides);

// The element type of an array that compiled code can read: native byte order, aligned.
std::optional<program::DType> elementType(const ArrayObject* array);

}  // namespace epochly::ext::jit

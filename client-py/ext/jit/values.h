// Values that both ways, from Python and back, look at alike.
#pragma once

#include <Python.h>

#include <bit>
#include <cstdint>

#include "ext/jit/numpy_types.h"

namespace epochly::ext::jit {

inline uint64_t bitsOf(double value) { return std::bit_cast<uint64_t>(value); }

// False: it is no int, or one that needs more than 64 bits.
inline bool loadInt(PyObject* object, uint64_t& leaf) {
  if (Py_TYPE(object) != &PyLong_Type) return false;
  int overflow = 0;
  leaf = PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow == 0;
}

inline size_t elementsOf(const ArrayObject* array) {
  size_t count = 1;
  for (int i = 0; i < array->dims; i++) count *= array->shape[i];
  return count;
}

}  // namespace epochly::ext::jit

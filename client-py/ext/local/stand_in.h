// What makes an object that stands in for another look like it, and the Python types of such objects.
#pragma once

#include <Python.h>

#include <initializer_list>
#include <vector>

namespace epochly::ext {

template <typename F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}
template <typename F>
PyCFunction method(F* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

// A type whose objects begin with a reference to the real one, `inner`: all attributes are its but those by which it is resumed.
// Raises.
PyTypeObject* addStandInType(PyObject* module, const char* name, size_t size, std::vector<PyType_Slot> slots);

}  // namespace epochly::ext

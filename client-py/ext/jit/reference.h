// A strong reference to a Python object. Needs the GIL wherever it changes.
#pragma once

#include <Python.h>

#include <utility>

namespace epochly::ext::jit {

class Reference {
 public:
  Reference() = default;
  explicit Reference(PyObject* stolen) : object(stolen) {}
  static Reference borrowed(PyObject* object) { return Reference(Py_XNewRef(object)); }
  Reference(Reference&& other) noexcept : object(std::exchange(other.object, nullptr)) {}
  Reference& operator=(Reference&& other) noexcept {
    std::swap(object, other.object);
    return *this;
  }
  ~Reference() { Py_XDECREF(object); }

  PyObject* get() const { return object; }
  PyObject* release() { return std::exchange(object, nullptr); }
  explicit operator bool() const { return object != nullptr; }

 private:
  PyObject* object = nullptr;
};

}  // namespace epochly::ext::jit

#include "ext/jit/numpy_buffer.h"

#include "ext/jit/numpy_types.h"
#include "ext/jit/reference.h"
#include "levels/program/ufuncs.h"

namespace epochly::ext::jit {

namespace {

bool isUsual(PyObject* size) {
  bool usual = size && PyLong_Check(size) && PyLong_AsLongLong(size) == program::NUMPY_BUFFER;
  PyErr_Clear();
  return usual;
}

bool asksNumpy() {
  Reference module(PyImport_ImportModule("numpy"));
  Reference size(module ? PyObject_CallMethod(module.get(), "getbufsize", nullptr) : nullptr);
  return isUsual(size.get());
}

Reference memberOf(const char* module, const char* name) {
  Reference found(PyImport_ImportModule(module));
  Reference member(found ? PyObject_GetAttrString(found.get(), name) : nullptr);
  PyErr_Clear();
  return member;
}

// Numpy 1 keeps [buffer size, ...] in the thread's dictionary, once somebody has changed any of it.
bool isUsualInThread(PyObject* key) {
  PyObject* space = PyThreadState_GetDict();
  PyObject* settings = space ? PyDict_GetItemWithError(space, key) : nullptr;
  if (!settings) {
    bool unchanged = !PyErr_Occurred();
    PyErr_Clear();
    return unchanged;
  }
  if (!PyList_CheckExact(settings) || PyList_GET_SIZE(settings) == 0) return asksNumpy();
  return isUsual(PyList_GET_ITEM(settings, 0));
}

// Numpy 2 keeps an object that never changes in a context variable: what was asked of the last one holds while it is there.
bool isUsualInContext(PyObject* variable) {
  static PyObject* asked = nullptr;  // owned, so that no other object takes its address
  static bool answer = false;
  PyObject* found = nullptr;
  if (PyContextVar_Get(variable, Py_None, &found) != 0) {
    PyErr_Clear();
    return asksNumpy();
  }
  Reference settings(found);
  if (found != asked) {
    answer = asksNumpy();
    Py_XSETREF(asked, settings.release());
  }
  return answer;
}

}  // namespace

// numpy.getbufsize() itself takes longer than many a sum: 0.6 us.
bool hasUsualNumpyBuffer() {
  static PyObject* place = nullptr;  // kept for ever; stays null where this numpy keeps its settings elsewhere
  if (!place) {
    place = NumpyTypes::get().version < 0x0200 ? memberOf("numpy.core.umath", "UFUNC_PYVALS_NAME").release()
                                               : memberOf("numpy._core.umath", "_extobj_contextvar").release();
  }
  if (place && PyContextVar_CheckExact(place)) return isUsualInContext(place);
  if (place && PyUnicode_CheckExact(place)) return isUsualInThread(place);
  return asksNumpy();
}

}  // namespace epochly::ext::jit

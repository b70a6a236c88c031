#include "ext/local/stand_in.h"

#include <nanobind/nanobind.h>

namespace epochly::ext {

namespace {

struct StandIn {
  PyObject_HEAD
  PyObject* inner;
};

PyObject* innerOf(PyObject* self) { return reinterpret_cast<StandIn*>(self)->inner; }

bool isAmong(PyObject* name, std::initializer_list<const char*> own) {
  for (const char* each : own) {
    if (PyUnicode_CompareWithASCIIString(name, each) == 0) return true;
  }
  return false;
}

PyObject* getAttribute(PyObject* self, PyObject* name) {
  if (isAmong(name, {"send", "throw", "close", "asend", "athrow", "aclose", "__class__", "__iter__", "__next__", "__await__",
                     "__aiter__", "__anext__"})) {
    return PyObject_GenericGetAttr(self, name);
  }
  return PyObject_GetAttr(innerOf(self), name);
}

int setAttribute(PyObject* self, PyObject* name, PyObject* value) { return PyObject_SetAttr(innerOf(self), name, value); }
PyObject* represent(PyObject* self) { return PyObject_Repr(innerOf(self)); }
PyObject* getClass(PyObject* self, void*) { return Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(innerOf(self)))); }

PyGetSetDef properties[] = {{"__class__", getClass, nullptr, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

PyTypeObject* addStandInType(PyObject* module, const char* name, size_t size, std::vector<PyType_Slot> slots) {
  slots.insert(slots.end(), {{Py_tp_getattro, slot(getAttribute)},
                             {Py_tp_setattro, slot(setAttribute)},
                             {Py_tp_repr, slot(represent)},
                             {Py_tp_getset, properties},
                             {0, nullptr}});
  unsigned long flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  PyType_Spec spec = {name, static_cast<int>(size), 0, static_cast<unsigned int>(flags), slots.data()};
  auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (type == nullptr || PyModule_AddType(module, type) != 0) throw nanobind::python_error();
  return type;
}

}  // namespace epochly::ext

#include "ext/local/function.h"

#include "ext/local/automatic.h"

#include <nanobind/nanobind.h>
#include <structmember.h>

#include <cstddef>

namespace epochly::ext {

namespace {

// Of callables that bind when they are read from an instance (functions, method descriptors): a call of the bound method is a
// call with the instance in front.
PyTypeObject* functionType = nullptr;
// Of all others: builtins, bound methods, partials, instances with __call__.
PyTypeObject* callableType = nullptr;

Function* asFunction(PyObject* object) { return reinterpret_cast<Function*>(object); }

// Attributes that are the wrapper's own; every other is the callable's, to read and to write.
bool isOwn(PyObject* name) {
  static PyObject* const own[] = {PyUnicode_InternFromString("__wrapped__"), PyUnicode_InternFromString("__class__"),
                                  PyUnicode_InternFromString("__call__"),    PyUnicode_InternFromString("__get__"),
                                  PyUnicode_InternFromString("__reduce__"),  PyUnicode_InternFromString("__reduce_ex__"),
                                  PyUnicode_InternFromString("__copy__"),    PyUnicode_InternFromString("__deepcopy__"),
                                  PyUnicode_InternFromString("__repr__")};
  for (PyObject* each : own) {
    if (name == each) return true;
  }
  if (PyUnicode_CHECK_INTERNED(name)) return false;
  for (PyObject* each : own) {
    if (PyUnicode_Compare(name, each) == 0) return true;
  }
  return false;
}

PyObject* getAttribute(PyObject* self, PyObject* name) {
  if (isOwn(name)) return PyObject_GenericGetAttr(self, name);
  return PyObject_GetAttr(asFunction(self)->wrapped, name);
}

// `__wrapped__` too: functools.wraps() above this decorator sets it, and inspect.unwrap() follows from here through there.
int setAttribute(PyObject* self, PyObject* name, PyObject* value) {
  return PyObject_SetAttr(asFunction(self)->wrapped, name, value);
}

PyObject* getWrapped(PyObject* self, void*) { return Py_NewRef(asFunction(self)->wrapped); }

// isinstance(f, types.FunctionType) holds, as inspect, pydoc, doctest and mock ask.
PyObject* getClass(PyObject* self, void*) {
  static PyObject* const name = PyUnicode_InternFromString("__class__");
  return PyObject_GetAttr(asFunction(self)->wrapped, name);
}

// For object.__getattribute__, by which pydoc looks.
PyObject* getDoc(PyObject* self, void*) { return PyObject_GetAttrString(asFunction(self)->wrapped, "__doc__"); }

PyObject* bindFunction(PyObject* self, PyObject* instance, PyObject*) {
  if (instance == nullptr || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

// A callable with a binding of its own keeps it: what it binds to is measured as this is.
PyObject* bindCallable(PyObject* self, PyObject* instance, PyObject* type) {
  Function* f = asFunction(self);
  descrgetfunc bind = Py_TYPE(f->wrapped)->tp_descr_get;
  if (bind == nullptr) return Py_NewRef(self);
  PyObject* bound = bind(f->wrapped, instance, type);
  if (bound == nullptr || bound == f->wrapped || !PyCallable_Check(bound) || PyType_Check(bound)) {
    if (bound != f->wrapped) return bound;
    Py_DECREF(bound);
    return Py_NewRef(self);
  }
  PyObject* made = makeFunction(bound, f->level, f->placement, f->fastmath, self);
  Py_DECREF(bound);
  return made;
}

PyObject* represent(PyObject* self) {
  Function* f = asFunction(self);
  if (f->level == LEVEL_NOT_GIVEN) return PyUnicode_FromFormat("<epochly.optimize() of %R>", f->wrapped);
  return PyUnicode_FromFormat("<epochly.optimize(level=%d) of %R>", f->level, f->wrapped);
}

// Pickling and copying need the module that knows names: epochly._optimize.
PyObject* reduce(PyObject* self, PyObject*) {
  PyObject* module = PyImport_ImportModule("epochly._optimize");
  if (module == nullptr) return nullptr;
  PyObject* reduced = PyObject_CallMethod(module, "reduce", "O", self);
  Py_DECREF(module);
  return reduced;
}

PyObject* sameObject(PyObject* self, PyObject*) { return Py_NewRef(self); }

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(asFunction(self)->wrapped);
  Py_VISIT(asFunction(self)->origin);
  return 0;
}

int clear(PyObject* self) {
  Py_CLEAR(asFunction(self)->wrapped);
  return 0;
}

void deallocate(PyObject* self) {
  Function* f = asFunction(self);
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (f->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  Py_CLEAR(f->wrapped);
  if (f->origin == nullptr) delete f->ledger;
  delete f->automatic;
  Py_CLEAR(f->origin);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef functionMethods[] = {{"__reduce_ex__", reduce, METH_O, nullptr},
                                 {"__reduce__", reduce, METH_NOARGS, nullptr},
                                 {"__copy__", sameObject, METH_NOARGS, nullptr},
                                 {"__deepcopy__", sameObject, METH_O, nullptr},
                                 {nullptr, nullptr, 0, nullptr}};

PyMethodDef callableMethods[] = {{"__reduce_ex__", reduce, METH_O, nullptr},
                                 {"__reduce__", reduce, METH_NOARGS, nullptr},
                                 {nullptr, nullptr, 0, nullptr}};

PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Function, call), READONLY, nullptr},
                         {"__weaklistoffset__", T_PYSSIZET, offsetof(Function, weakrefs), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef properties[] = {{"__wrapped__", getWrapped, nullptr, nullptr, nullptr},
                            {"__class__", getClass, nullptr, nullptr, nullptr},
                            {"__doc__", getDoc, nullptr, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

template <typename F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

PyTypeObject* addType(PyObject* module, const char* name, PyMethodDef* methods, descrgetfunc bind,
                      unsigned long extraFlags) {
  PyType_Slot slots[] = {{Py_tp_call, slot(PyVectorcall_Call)},
                         {Py_tp_descr_get, slot(bind)},
                         {Py_tp_getattro, slot(getAttribute)},
                         {Py_tp_setattro, slot(setAttribute)},
                         {Py_tp_repr, slot(represent)},
                         {Py_tp_traverse, slot(traverse)},
                         {Py_tp_clear, slot(clear)},
                         {Py_tp_dealloc, slot(deallocate)},
                         {Py_tp_methods, methods},
                         {Py_tp_members, members},
                         {Py_tp_getset, properties},
                         {0, nullptr}};
  unsigned long flags =
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  PyType_Spec spec = {name, sizeof(Function), 0, static_cast<unsigned int>(flags | extraFlags), slots};
  auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (type == nullptr || PyModule_AddType(module, type) != 0) throw nanobind::python_error();
  return type;
}

Makes fromFlags(int flags) {
  if (flags & CO_COROUTINE) return Makes::COROUTINE;
  if (flags & CO_ASYNC_GENERATOR) return Makes::ASYNC_GENERATOR;
  if (flags & CO_GENERATOR) return Makes::GENERATOR;
  return Makes::VALUE;
}

PyObject* attributeOrNull(PyObject* object, const char* name) {
  PyObject* value = PyObject_GetAttrString(object, name);
  if (value == nullptr) PyErr_Clear();
  return value;
}

bool isPartial(PyObject* object) {
  static PyObject* const module = PyImport_ImportModule("_functools");
  static PyObject* const type = module == nullptr ? nullptr : PyObject_GetAttrString(module, "partial");
  if (type == nullptr) PyErr_Clear();
  return type != nullptr && PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(type));
}

// Looks through bound methods, partials and __call__ for the Python function that a call ends in.
Makes behind(PyObject* callable) {
  constexpr int DEPTH_MAX = 16;  // partials of partials; a cycle must end
  PyObject* at = Py_NewRef(callable);
  for (int depth = 0; depth < DEPTH_MAX && at != nullptr && !PyFunction_Check(at) && !PyCFunction_Check(at); ++depth) {
    PyObject* inner;
    if (PyMethod_Check(at)) {
      inner = Py_NewRef(PyMethod_GET_FUNCTION(at));
    } else if (isPartial(at)) {
      inner = attributeOrNull(at, "func");
    } else {
      inner = attributeOrNull(reinterpret_cast<PyObject*>(Py_TYPE(at)), "__call__");
    }
    Py_DECREF(at);
    at = inner;
  }
  Makes makes = at != nullptr && PyFunction_Check(at)
                    ? fromFlags(reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(at))->co_flags)
                    : Makes::VALUE;
  Py_XDECREF(at);
  return makes;
}

}  // namespace

void addFunctionTypes(PyObject* module) {
  functionType = addType(module, "epochly._native.Function", functionMethods, bindFunction, Py_TPFLAGS_METHOD_DESCRIPTOR);
  callableType = addType(module, "epochly._native.Callable", callableMethods, bindCallable, 0);
}

bool isFunction(PyObject* object) { return Py_TYPE(object) == functionType || Py_TYPE(object) == callableType; }

PyObject* makeFunction(PyObject* callable, int level, Placement placement, int fastmath, PyObject* origin) {
  bool binds = PyType_HasFeature(Py_TYPE(callable), Py_TPFLAGS_METHOD_DESCRIPTOR);
  PyTypeObject* type = binds ? functionType : callableType;
  auto* f = asFunction(type->tp_alloc(type, 0));
  if (f == nullptr) return nullptr;
  f->wrapped = Py_NewRef(callable);
  f->call = callFunction;
  f->level = static_cast<int8_t>(level);
  f->placement = placement;
  f->fastmath = static_cast<int8_t>(fastmath);
  f->makes = PyFunction_Check(callable) ? Makes::VALUE : behind(callable);
  f->origin = Py_XNewRef(origin);
  f->ledger = origin != nullptr ? asFunction(origin)->ledger : new monitor::Ledger;
  return reinterpret_cast<PyObject*>(f);
}

Makes whatItMakes(const Function* f) {
  if (!PyFunction_Check(f->wrapped)) return f->makes;
  return fromFlags(reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(f->wrapped))->co_flags);
}

}  // namespace epochly::ext

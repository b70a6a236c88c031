#include "ext/local/batch.h"

#include <nanobind/nanobind.h>
#include <structmember.h>

#include <cstddef>

#include "ext/local/clock.h"

namespace epochly::ext {

namespace {

// Items that take less than this many nanoseconds are quick: the clock, which takes 25, is looked at for every LOOK_EVERY of them. So
// many iterations that suddenly wait still run one after the other.
constexpr monitor::Nanos QUICK_NS = 2000;
constexpr Py_ssize_t LOOK_EVERY = 8;

struct Batch {
  PyObject_HEAD
  PyObject* inner;
  monitor::Nanos began;
  monitor::Nanos deadline;
  Py_ssize_t taken;
  Py_ssize_t looksAt;  // `taken` at which the clock is looked at next
  char exhausted;
};

Batch* asBatch(PyObject* object) { return reinterpret_cast<Batch*>(object); }

PyObject* makeBatch(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* iterator;
  double seconds;
  if (!PyArg_ParseTuple(args, "Od:Batch", &iterator, &seconds)) return nullptr;
  if (!PyIter_Check(iterator)) {
    PyErr_SetString(PyExc_TypeError, "Batch() takes an iterator");
    return nullptr;
  }
  auto* made = asBatch(type->tp_alloc(type, 0));
  if (made == nullptr) return nullptr;
  made->inner = Py_NewRef(iterator);
  made->began = wallNow();
  made->deadline = made->began + static_cast<monitor::Nanos>(seconds * 1e9);
  made->looksAt = 1;
  return reinterpret_cast<PyObject*>(made);
}

bool isOver(Batch* batch) {
  if (batch->taken < batch->looksAt) return false;
  monitor::Nanos now = wallNow();
  bool quick = now - batch->began < QUICK_NS * static_cast<monitor::Nanos>(batch->taken);
  batch->looksAt = batch->taken + (quick ? LOOK_EVERY : 1);
  return now >= batch->deadline;
}

PyObject* nextOfBatch(PyObject* self) {
  Batch* batch = asBatch(self);
  if (batch->exhausted || isOver(batch)) return nullptr;
  PyObject* item = Py_TYPE(batch->inner)->tp_iternext(batch->inner);
  if (item != nullptr) {
    ++batch->taken;
    return item;
  }
  // What the iterator raises is the user's; only its end is told apart.
  if (PyErr_Occurred() == nullptr || PyErr_ExceptionMatches(PyExc_StopIteration)) batch->exhausted = 1;
  return nullptr;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(asBatch(self)->inner);
  return 0;
}

int clear(PyObject* self) {
  Py_CLEAR(asBatch(self)->inner);
  return 0;
}

void deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {{"taken", T_PYSSIZET, offsetof(Batch, taken), READONLY, nullptr},
                         {"exhausted", T_BOOL, offsetof(Batch, exhausted), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

template <typename F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

void addBatchType(PyObject* module) {
  PyType_Slot slots[] = {{Py_tp_new, slot(makeBatch)},
                         {Py_tp_iter, slot(PyObject_SelfIter)},
                         {Py_tp_iternext, slot(nextOfBatch)},
                         {Py_tp_traverse, slot(traverse)},
                         {Py_tp_clear, slot(clear)},
                         {Py_tp_dealloc, slot(deallocate)},
                         {Py_tp_members, members},
                         {0, nullptr}};
  PyType_Spec spec = {"epochly._native.Batch", sizeof(Batch), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};
  auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (type == nullptr || PyModule_AddType(module, type) != 0) throw nanobind::python_error();
}

}  // namespace epochly::ext

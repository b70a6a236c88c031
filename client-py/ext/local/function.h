// The object that epochly.optimize() makes of a callable: it is called, bound, pickled and looked into as the callable itself,
// with no Python frame of its own.
#pragma once

#include <Python.h>

#include "levels/monitor/ledger.h"

namespace epochly::ext {

enum class Placement : uint8_t { AUTO, LOCAL, CLUSTER };

// What a call of the callable makes. A coroutine or generator runs later, in steps, and is measured there.
enum class Makes : uint8_t { VALUE, GENERATOR, COROUTINE, ASYNC_GENERATOR };

constexpr int LEVEL_NOT_GIVEN = -1;
constexpr int FASTMATH_NOT_GIVEN = -1;

struct Automatic;

struct Function {
  PyObject_HEAD
  PyObject* wrapped;
  PyObject* weakrefs;
  vectorcallfunc call;
  monitor::Ledger* ledger;  // owned, unless:
  PyObject* origin;         // the Function this one was bound from, whose ledger it shares; or null
  Automatic* automatic;     // of one without origin: what was chosen for calls without a level; owned; null before the first
  int8_t level;             // 0..4, or LEVEL_NOT_GIVEN: the context's, else the process's
  Placement placement;
  int8_t fastmath;  // 0, 1, or FASTMATH_NOT_GIVEN: the context's, else 0
  Makes makes;      // of callables that are not plain Python functions; those are asked at each call
};

// Creates the types and adds them to `module`; raises.
void addFunctionTypes(PyObject* module);

bool isFunction(PyObject* object);
// A new reference, null with an exception set. `callable` must be callable and no class. With `origin` it shares the ledger of
// that Function.
PyObject* makeFunction(PyObject* callable, int level, Placement placement, int fastmath, PyObject* origin = nullptr);
Makes whatItMakes(const Function* function);

// vectorcall of Function: ext/local/call.cpp.
PyObject* callFunction(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* names);

}  // namespace epochly::ext

// What is awaited of a measured coroutine, and each step of a measured asynchronous generator: it moves its Steps on.
#pragma once

#include <Python.h>

namespace epochly::ext {

// Creates the type; raises.
void addAwaitedType(PyObject* module);

// `inner`: the real awaitable, taken over; null with an exception set is handed on. `closing`: aclose(), which is over when this is.
PyObject* makeAwaited(PyObject* steps, PyObject* inner, bool closing);

// The methods of asynchronous generators, which are steps to be awaited.
extern PyMethodDef asyncMethods[];
PyObject* asyncNext(PyObject* self);

}  // namespace epochly::ext

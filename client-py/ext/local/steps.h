// Generators, coroutines and asynchronous generators made by measured functions: each stands in for the real one, and
// measures the time in its code from resumption to suspension, not what passes between.
#pragma once

#include <Python.h>

#include "ext/local/call.h"
#include "ext/local/function.h"

namespace epochly::ext {

// Creates the types; raises.
void addStepTypes(PyObject* module);

// A coroutine, or what stands in for one: to be awaited.
bool isCoroutine(PyObject* object);

// Makes the call, which only creates the generator or coroutine, and returns what stands in for it; null with an exception.
PyObject* makeSteps(Function* f, Makes makes, Level asked, monitor::Block& block, PythonCall& call);

}  // namespace epochly::ext

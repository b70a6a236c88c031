// Floats of lists, and of lists of tuples, to leaves: checked and copied in one pass. Both need the GIL throughout, so that what was
// checked stays. False: an item is of another type or size; what `to` holds then means nothing.
#pragma once

#include <Python.h>

#include <cstdint>

namespace epochly::ext::jit {

bool loadFloats(PyObject* const* items, Py_ssize_t count, uint64_t* to);
// Tuples of `width` floats each.
bool loadTuplesOfFloats(PyObject* const* items, Py_ssize_t count, Py_ssize_t width, uint64_t* to);

}  // namespace epochly::ext::jit

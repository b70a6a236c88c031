// How much data a call was given.
#pragma once

#include <Python.h>

namespace epochly::ext {

// Elements of the largest of `args`: of built-in containers and buffers their len(), of arrays and data frames the product of
// their shape. NaN if nothing among them has a size; text and numbers have none. O(1), and no `__len__` of the program is called.
double dataSizeOf(PyObject* const* args, Py_ssize_t count);

}  // namespace epochly::ext

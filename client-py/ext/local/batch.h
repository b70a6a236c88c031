// The items of a loop, for as long as a batch of its iterations may take.
#pragma once

#include <Python.h>

namespace epochly::ext {

// Creates the type and adds it to `module` as Batch(iterator, seconds), an iterator that hands on what `iterator` gives until its time
// is over, one item at least. `taken`: items so far; `exhausted`: the iterator was at its end. Raises.
void addBatchType(PyObject* module);

}  // namespace epochly::ext

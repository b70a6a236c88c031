// Programs that earlier processes encoded, by code object. Their source is neither read nor parsed again: two sources of the same
// code object mean the same.
#pragma once

#include <Python.h>

#include <capnp/common.h>
#include <kj/array.h>

#include <string>

namespace epochly::ext::jit {

// What a function's program depends on; empty: it is not kept on disk. Never leaves an exception set. Needs the GIL.
std::string programKey(PyObject* function);
// A schema::Function message; empty: there is none.
kj::Array<capnp::word> findProgram(const std::string& key);
void storeProgram(const std::string& key, kj::ArrayPtr<const capnp::word> message);

}  // namespace epochly::ext::jit

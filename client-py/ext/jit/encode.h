// A Python function as a schema::Function message.
#pragma once

#include <Python.h>

#include <capnp/message.h>

#include <memory>
#include <string>

#include "program.capnp.h"

namespace epochly::ext::jit {

struct Encoded {
  capnp::MallocMessageBuilder message;
  schema::Function::Reader function() { return message.getRoot<schema::Function>().asReader(); }
};

// Null: `reason` says why the function has no program. Never leaves an exception set. Needs the GIL.
std::unique_ptr<Encoded> encode(PyObject* function, std::string& reason);

}  // namespace epochly::ext::jit

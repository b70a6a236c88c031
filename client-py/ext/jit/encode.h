// A Python function as a schema::Function message.
#pragma once

#include <Python.h>

#include <capnp/serialize.h>

#include <memory>
#include <string>

#include "program.capnp.h"

namespace epochly::ext::jit {

class Encoded {
 public:
  explicit Encoded(kj::Array<capnp::word> words) : words(kj::mv(words)), message(this->words, UNLIMITED) {}
  schema::Function::Reader function() { return message.getRoot<schema::Function>(); }

 private:
  // It is our own, and is read in every round of type inference: what bounds it are CPython's parser and the cache's checksum.
  static constexpr capnp::ReaderOptions UNLIMITED{.traversalLimitInWords = kj::maxValue, .nestingLimit = kj::maxValue};
  const kj::Array<capnp::word> words;
  capnp::FlatArrayMessageReader message;
};

// Null: `reason` says why the function has no program. Never leaves an exception set. Needs the GIL.
std::unique_ptr<Encoded> encode(PyObject* function, std::string& reason);

}  // namespace epochly::ext::jit

// The str and bytes objects behind the numbers that compiled code has for them.
#pragma once

#include <Python.h>

#include <vector>

#include "ext/jit/reference.h"
#include "levels/program/code.h"

namespace epochly::ext::jit {

// Numbers of texts: of equal ones the same. First those that the program mentions, then those of one call. Needs the GIL.
class Texts {
 public:
  // The texts that a program mentions.
  explicit Texts(const std::vector<program::Text>& mentioned);
  // The texts of a call, numbered behind those of its program, which outlive it.
  explicit Texts(const Texts* before) : before(before) {}
  Texts(const Texts&) = delete;
  // -1 with no exception set: out of memory.
  int64_t numberOf(PyObject* text);
  PyObject* at(uint64_t number) const;  // borrowed

 private:
  const Texts* before = nullptr;
  std::vector<Reference> objects;
  Reference numbers[2];  // dict from text to its number: of str, of bytes; in one, python -b would warn of their meeting

  size_t first() const { return before ? before->objects.size() : 0; }
  static bool kindOf(PyObject* text) { return PyBytes_Check(text); }
  int64_t find(PyObject* text) const;
  int64_t add(PyObject* text);
};

}  // namespace epochly::ext::jit

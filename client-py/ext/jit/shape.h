// The types of a call's arguments, as found by looking at them once.
#pragma once

#include <Python.h>

#include <string>
#include <vector>

#include "levels/program/types.h"

namespace epochly::ext::jit {

struct Shape {
  program::Kind kind = program::Kind::NEVER;
  program::DType dtype = program::DType::F64;
  uint32_t dims = 0;
  std::vector<Shape> parts;  // TUPLE: elements; LIST: the one element shape; UNION: members

  bool operator==(const Shape&) const = default;
};

// Throws program::Declined for what no program takes.
Shape shapeOf(PyObject* object);
Shape join(Shape a, Shape b);
// True if `object` is of that shape and nothing would have to be joined.
bool matches(PyObject* object, const Shape& shape);
// The same in the types of a compilation. Lists and arrays get sites of their own, numbered by `sites`.
program::Type typeFor(const Shape& shape, program::Types& types, uint32_t& sites);

}  // namespace epochly::ext::jit

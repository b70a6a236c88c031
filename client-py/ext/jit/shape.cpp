#include "ext/jit/shape.h"

#include <algorithm>

#include "ext/jit/numpy_types.h"
#include "levels/program/decline.h"

namespace epochly::ext::jit {

using program::Declined;
using program::Kind;

namespace {

// Deeper nesting is no numeric data.
constexpr int DEPTH_MAX = 8;

bool fitsInt64(PyObject* object) {
  int overflow = 0;
  PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow == 0;
}

Shape shapeAt(PyObject* object, int depth);

Shape listShape(PyObject* list, int depth) {
  Shape element;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
    PyObject* item = PyList_GET_ITEM(list, i);
    if (element.kind != Kind::NEVER && matches(item, element)) continue;
    element = join(std::move(element), shapeAt(item, depth + 1));
  }
  return {.kind = Kind::LIST, .parts = {std::move(element)}};
}

Shape arrayShape(PyObject* object) {
  auto* array = reinterpret_cast<ArrayObject*>(object);
  auto dtype = elementType(array);
  if (!dtype) throw Declined(0, "an array of this dtype, byte order or alignment is not compiled");
  if (array->dims > 4) throw Declined(0, "an array of more than 4 dimensions is not compiled");
  return {.kind = Kind::ARRAY, .dtype = *dtype, .dims = static_cast<uint32_t>(array->dims)};
}

Shape shapeAt(PyObject* object, int depth) {
  if (depth > DEPTH_MAX) throw Declined(0, "an argument nested more than 8 deep");
  auto* type = Py_TYPE(object);
  if (type == &PyFloat_Type) return {.kind = Kind::FLOAT};
  if (type == &PyLong_Type) {
    if (!fitsInt64(object)) throw Declined(0, "an argument is an integer beyond 64 bits");
    return {.kind = Kind::INT};
  }
  if (type == &PyBool_Type) return {.kind = Kind::BOOL};
  if (type == &PyComplex_Type) return {.kind = Kind::COMPLEX};
  if (type == &PyUnicode_Type) return {.kind = Kind::STR};
  if (type == &PyBytes_Type) return {.kind = Kind::BYTES};
  if (object == Py_None) return {.kind = Kind::NONE};
  if (type == &PyList_Type) return listShape(object, depth);
  if (type == &PyTuple_Type) {
    Shape tuple{.kind = Kind::TUPLE};
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); i++)
      tuple.parts.push_back(shapeAt(PyTuple_GET_ITEM(object, i), depth + 1));
    return tuple;
  }
  auto& numpy = NumpyTypes::get();
  if (type == numpy.array) return arrayShape(object);
  if (auto dtype = numpy.scalarType(type)) return {.kind = Kind::SCALAR, .dtype = *dtype};
  throw Declined(0, std::string("an argument of type ") + type->tp_name + " is not compiled");
}

}  // namespace

Shape shapeOf(PyObject* object) { return shapeAt(object, 0); }

Shape join(Shape a, Shape b) {
  if (a == b || b.kind == Kind::NEVER) return a;
  if (a.kind == Kind::NEVER) return b;
  if (a.kind == b.kind && a.kind == Kind::LIST) return {.kind = Kind::LIST, .parts = {join(a.parts[0], b.parts[0])}};
  if (a.kind == b.kind && a.kind == Kind::TUPLE && a.parts.size() == b.parts.size()) {
    for (size_t i = 0; i < a.parts.size(); i++) a.parts[i] = join(std::move(a.parts[i]), std::move(b.parts[i]));
    return a;
  }
  Shape result{.kind = Kind::UNION};
  result.parts = a.kind == Kind::UNION ? a.parts : std::vector<Shape>{a};
  for (auto& member : b.kind == Kind::UNION ? b.parts : std::vector<Shape>{b}) {
    if (std::find(result.parts.begin(), result.parts.end(), member) == result.parts.end()) result.parts.push_back(member);
  }
  if (result.parts.size() > program::UNION_MEMBERS_MAX) throw Declined(0, "a list of more than four types");
  return result;
}

bool matches(PyObject* object, const Shape& shape) {
  auto* type = Py_TYPE(object);
  switch (shape.kind) {
    case Kind::FLOAT: return type == &PyFloat_Type;
    case Kind::INT: return type == &PyLong_Type && fitsInt64(object);
    case Kind::BOOL: return type == &PyBool_Type;
    case Kind::COMPLEX: return type == &PyComplex_Type;
    case Kind::STR: return type == &PyUnicode_Type;
    case Kind::BYTES: return type == &PyBytes_Type;
    case Kind::NONE: return object == Py_None;
    case Kind::TUPLE: {
      if (type != &PyTuple_Type || PyTuple_GET_SIZE(object) != static_cast<Py_ssize_t>(shape.parts.size())) return false;
      for (size_t i = 0; i < shape.parts.size(); i++) {
        if (!matches(PyTuple_GET_ITEM(object, i), shape.parts[i])) return false;
      }
      return true;
    }
    case Kind::LIST: {
      if (type != &PyList_Type) return false;
      for (Py_ssize_t i = 0; i < PyList_GET_SIZE(object); i++) {
        if (!matches(PyList_GET_ITEM(object, i), shape.parts[0])) return false;
      }
      return true;
    }
    case Kind::UNION:
      return std::any_of(shape.parts.begin(), shape.parts.end(), [&](const Shape& part) { return matches(object, part); });
    default: return false;
  }
}

program::Type typeFor(const Shape& shape, program::Types& types, uint32_t& sites) {
  using program::Types;
  switch (shape.kind) {
    case Kind::NEVER: return Types::NEVER;
    case Kind::NONE: return Types::NONE;
    case Kind::BOOL: return Types::BOOL;
    case Kind::INT: return Types::INT;
    case Kind::FLOAT: return Types::FLOAT;
    case Kind::COMPLEX: return Types::COMPLEX;
    case Kind::STR: return Types::STR;
    case Kind::BYTES: return Types::BYTES;
    case Kind::SCALAR: return types.scalar(shape.dtype);
    case Kind::TUPLE: {
      std::vector<program::Type> parts;
      for (auto& part : shape.parts) parts.push_back(typeFor(part, types, sites));
      return types.tuple(std::move(parts));
    }
    case Kind::LIST: {
      auto site = types.site(sites++);
      types(site).parameter = true;
      types.widen(site, typeFor(shape.parts[0], types, sites));
      return types.list(site);
    }
    case Kind::ARRAY: {
      auto site = types.site(sites++);
      types(site).parameter = true;
      return types.array(shape.dtype, shape.dims, site);
    }
    case Kind::UNION: {
      std::vector<program::Type> parts;
      for (auto& part : shape.parts) parts.push_back(typeFor(part, types, sites));
      return types.unionOf(parts);
    }
    default: throw Declined(0, "an argument of this type is not compiled");
  }
}

}  // namespace epochly::ext::jit

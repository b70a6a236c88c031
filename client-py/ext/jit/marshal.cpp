#include "ext/jit/marshal.h"

#include <cstring>

#include "ext/jit/load_floats.h"
#include "ext/jit/numpy_types.h"
#include "ext/jit/values.h"

namespace epochly::ext::jit {

using program::DType;
using program::Kind;
using program::Type;
using program::Types;

namespace {

// Objects of a list lie all over memory; so many items ahead they are asked for.
constexpr Py_ssize_t PREFETCH_TUPLES = 32;

// numpy's scalar objects: the value follows the header.
template <typename T>
T scalarValue(PyObject* object) {
  T value;
  std::memcpy(&value, reinterpret_cast<char*>(object) + sizeof(PyObject), sizeof(T));
  return value;
}

uint64_t scalarLeaf(PyObject* object, DType dtype) {
  switch (dtype) {
    case DType::BOOL: return scalarValue<uint8_t>(object) != 0;
    case DType::I8: return static_cast<int64_t>(scalarValue<int8_t>(object));
    case DType::I16: return static_cast<int64_t>(scalarValue<int16_t>(object));
    case DType::I32: return static_cast<int64_t>(scalarValue<int32_t>(object));
    case DType::U8: return scalarValue<uint8_t>(object);
    case DType::U16: return scalarValue<uint16_t>(object);
    case DType::U32: return scalarValue<uint32_t>(object);
    case DType::F32: return bitsOf(scalarValue<float>(object));
    default: return scalarValue<uint64_t>(object);
  }
}

void loadComplexScalar(PyObject* object, DType dtype, uint64_t*& leaf) {
  struct Single {
    float parts[2];
  };
  struct Double {
    double parts[2];
  };
  for (int i = 0; i < 2; i++)
    *leaf++ = bitsOf(dtype == DType::C64 ? scalarValue<Single>(object).parts[i] : scalarValue<Double>(object).parts[i]);
}

}  // namespace

Marshal::~Marshal() {
  for (auto& array : arrays) {
    if (array.copy.data) epochly::jit::returnMemory(array.copy);
  }
  for (auto* object : held) Py_DECREF(object);
}

bool Marshal::load(PyObject* object, Type type, uint64_t*& leaf) {
  // These two without a look into the table: a call on numbers takes no longer than that.
  if (type == Types::FLOAT) {
    if (Py_TYPE(object) != &PyFloat_Type) return false;
    *leaf++ = bitsOf(PyFloat_AS_DOUBLE(object));
    return true;
  }
  if (type == Types::INT) return loadInt(object, *leaf++);
  auto& data = types[type];
  switch (data.kind) {
    case Kind::BOOL:
      if (Py_TYPE(object) != &PyBool_Type) return false;
      *leaf++ = object == Py_True;
      return true;
    case Kind::COMPLEX: {
      if (Py_TYPE(object) != &PyComplex_Type) return false;
      auto value = reinterpret_cast<PyComplexObject*>(object)->cval;
      *leaf++ = bitsOf(value.real);
      *leaf++ = bitsOf(value.imag);
      return true;
    }
    case Kind::STR: return Py_TYPE(object) == &PyUnicode_Type && loadText(object, *leaf++);
    case Kind::BYTES: return Py_TYPE(object) == &PyBytes_Type && loadText(object, *leaf++);
    case Kind::NONE: return object == Py_None;
    case Kind::SCALAR:
      if (Py_TYPE(object) != NumpyTypes::get().scalar[static_cast<int>(data.dtype)]) return false;
      if (program::isComplex(data.dtype)) return loadComplexScalar(object, data.dtype, leaf), true;
      *leaf++ = scalarLeaf(object, data.dtype);
      return true;
    case Kind::TUPLE: {
      if (Py_TYPE(object) != &PyTuple_Type || PyTuple_GET_SIZE(object) != static_cast<Py_ssize_t>(data.parts.size()))
        return false;
      for (size_t i = 0; i < types[type].parts.size(); i++) {
        if (!load(PyTuple_GET_ITEM(object, i), types[type].parts[i], leaf)) return false;
      }
      return true;
    }
    case Kind::LIST: return loadList(object, type, leaf);
    case Kind::ARRAY: return loadArray(object, type, leaf);
    case Kind::UNION: {
      auto width = types.leaves(type).size();
      auto count = types[type].parts.size();
      for (size_t i = 0; i < count; i++) {
        auto* at = leaf + 1;
        if (!load(object, types[type].parts[i], at)) continue;
        *leaf = i;
        while (at < leaf + width) *at++ = 0;
        leaf += width;
        return true;
      }
      return false;
    }
    default: return false;
  }
}

bool Marshal::loadText(PyObject* object, uint64_t& leaf) {
  auto number = texts.numberOf(object);
  leaf = number;
  return number >= 0;
}

bool Marshal::loadList(PyObject* object, Type type, uint64_t*& leaf) {
  if (Py_TYPE(object) != &PyList_Type) return false;
  auto site = types(types[type].ref);
  if (site.written) {
    for (auto& known : lists) {
      if (known.object != object) continue;
      // The same list twice among the arguments: one list in the program too, if it is one type there.
      if (known.type != type) return false;
      *leaf++ = reinterpret_cast<uint64_t>(known.native);
      return true;
    }
  }
  auto count = PyList_GET_SIZE(object);
  if (site.element == Types::NEVER && count) return false;
  auto stride = types.leaves(site.element).size();
  auto* native = context.newList(count, stride);
  if (!native) return false;
  native->origin = object;
  held.push_back(Py_NewRef(object));
  native->length = count;
  auto* to = native->data;
  auto** items = reinterpret_cast<PyListObject*>(object)->ob_item;
  if (site.element == Types::FLOAT) {
    if (!loadFloats(items, count, to)) return false;
  } else if (types.is(site.element, Kind::TUPLE)) {
    if (!loadTuples(object, site.element, to)) return false;
  } else {
    for (Py_ssize_t i = 0; i < count; i++) {
      if (!load(items[i], site.element, to)) return false;
    }
  }
  if (site.written) lists.push_back({object, native, type});
  *leaf++ = reinterpret_cast<uint64_t>(native);
  return true;
}

bool Marshal::loadTuples(PyObject* list, Type element, uint64_t* to) {
  auto parts = types[element].parts;
  auto count = PyList_GET_SIZE(list);
  auto** items = reinterpret_cast<PyListObject*>(list)->ob_item;
  if (std::all_of(parts.begin(), parts.end(), [](auto part) { return part == Types::FLOAT; }))
    return loadTuplesOfFloats(items, count, static_cast<Py_ssize_t>(parts.size()), to);
  for (Py_ssize_t i = 0; i < count; i++) {
    if (i + PREFETCH_TUPLES < count) __builtin_prefetch(items[i + PREFETCH_TUPLES]);
    if (!load(items[i], element, to)) return false;
  }
  return true;
}

bool Marshal::loadArray(PyObject* object, Type type, uint64_t*& leaf) {
  auto& numpy = NumpyTypes::get();
  if (Py_TYPE(object) != numpy.array || !numpy.array) return false;
  auto* array = reinterpret_cast<ArrayObject*>(object);
  auto& data = types[type];
  auto dtype = elementType(array);
  if (!dtype || *dtype != data.dtype || array->dims != static_cast<int>(data.dims)) return false;
  if (types(data.ref).written) {
    if (!(array->flags & ArrayObject::WRITEABLE)) return false;
    arrays.push_back({object, leaf, {}});
  }
  views.push_back(object);
  held.push_back(Py_NewRef(object));
  *leaf++ = reinterpret_cast<uint64_t>(array->data);
  for (int i = 0; i < array->dims; i++) *leaf++ = array->shape[i];
  for (int i = 0; i < array->dims; i++) *leaf++ = array->strides[i];
  return true;
}

}  // namespace epochly::ext::jit

// Marshal: results to Python objects, and what the code has changed in the caller's lists.
#include <algorithm>
#include <bit>

#include "ext/jit/marshal.h"
#include "ext/jit/numpy_types.h"
#include "ext/jit/reference.h"
#include "ext/jit/values.h"

namespace epochly::ext::jit {

using epochly::jit::List;
using program::DType;
using program::Kind;
using program::Type;
using program::Types;

namespace {

PyObject* boxComplex(const uint64_t* leaves) {
  return PyComplex_FromDoubles(std::bit_cast<double>(leaves[0]), std::bit_cast<double>(leaves[1]));
}

bool isWhole(const ArrayObject* array, DType dtype, uint32_t dims, const uint64_t* leaves) {
  if (reinterpret_cast<uint64_t>(array->data) != leaves[0] || array->dims != static_cast<int>(dims) ||
      elementType(array) != dtype)
    return false;
  bool whole = true;
  for (uint32_t i = 0; i < dims; i++) {
    whole &= leaves[1 + i] == static_cast<uint64_t>(array->shape[i]) &&
             leaves[1 + dims + i] == static_cast<uint64_t>(array->strides[i]);
  }
  return whole;
}

// Rows first or columns first, as numpy lays new arrays out.
bool isGapless(DType dtype, uint32_t dims, const uint64_t* leaves) {
  auto fits = [&](bool byRows) {
    uint64_t step = program::bytesOf(dtype);
    for (uint32_t k = 0; k < dims; k++) {
      auto i = byRows ? dims - 1 - k : k;
      if (leaves[1 + i] != 1 && leaves[1 + dims + i] != step) return false;
      step *= leaves[1 + i];
    }
    return true;
  };
  return fits(true) || fits(false);
}

}  // namespace

bool Marshal::same(PyObject* object, Type type, const uint64_t* leaves) {
  auto kind = types.kind(type);
  if (kind == Kind::LIST) return reinterpret_cast<List*>(*leaves)->origin == object;
  if (kind == Kind::FLOAT) return Py_TYPE(object) == &PyFloat_Type && bitsOf(PyFloat_AS_DOUBLE(object)) == *leaves;
  if (kind == Kind::COMPLEX) {
    uint64_t parts[2], *at = parts;
    return Py_TYPE(object) == &PyComplex_Type && load(object, type, at) && parts[0] == leaves[0] && parts[1] == leaves[1];
  }
  if (kind == Kind::STR || kind == Kind::BYTES)
    return (PyUnicode_CheckExact(object) || PyBytes_CheckExact(object)) &&
           texts.numberOf(object) == static_cast<int64_t>(*leaves);
  if (kind == Kind::INT) {
    uint64_t value;
    return loadInt(object, value) && value == *leaves;
  }
  if (kind == Kind::UNION) return same(object, types[type].parts[leaves[0]], leaves + 1);
  if (kind == Kind::BOOL) return object == (*leaves & 1 ? Py_True : Py_False);
  if (kind == Kind::NONE) return object == Py_None;
  if (kind == Kind::TUPLE) {
    auto parts = types[type].parts;
    if (Py_TYPE(object) != &PyTuple_Type || PyTuple_GET_SIZE(object) != static_cast<Py_ssize_t>(parts.size())) return false;
    for (size_t i = 0; i < parts.size(); i++) {
      if (!same(PyTuple_GET_ITEM(object, i), parts[i], leaves)) return false;
      leaves += types.leaves(parts[i]).size();
    }
    return true;
  }
  return false;
}

bool Marshal::writeBack(const LoadedList& list) {
  auto element = types(types[list.type].ref).element;
  auto stride = types.leaves(element).size();
  auto* native = list.native;
  auto length = static_cast<Py_ssize_t>(native->length);
  if (PyList_GET_SIZE(list.object) > length &&
      PyList_SetSlice(list.object, length, PyList_GET_SIZE(list.object), nullptr) < 0)
    return false;
  for (Py_ssize_t i = 0; i < length; i++) {
    auto* leaves = native->data + i * stride;
    bool isOld = i < PyList_GET_SIZE(list.object);
    if (isOld && same(PyList_GET_ITEM(list.object, i), element, leaves)) continue;
    Reference item(box(element, leaves));
    if (!item) return false;
    if (isOld) {
      if (PyList_SetItem(list.object, i, item.release()) < 0) return false;
    } else if (PyList_Append(list.object, item.get()) < 0) {
      return false;
    }
  }
  return true;
}

bool Marshal::writeBack() {
  for (auto& list : lists) {
    if (!writeBack(list)) return false;
  }
  return true;
}

PyObject* Marshal::boxList(Type type, List* list) {
  if (list->origin) return Py_NewRef(static_cast<PyObject*>(list->origin));
  auto element = types(types[type].ref).element;
  auto stride = types.leaves(element).size();
  PyObject* made = PyList_New(list->length);
  if (!made) return nullptr;
  // The same list twice in a result is one object.
  list->origin = made;
  for (int64_t i = 0; i < list->length; i++) {
    PyObject* item = element == Types::FLOAT ? PyFloat_FromDouble(std::bit_cast<double>(list->data[i]))
                                             : box(element, list->data + i * stride);
    if (!item) {
      Py_DECREF(made);
      return nullptr;
    }
    PyList_SET_ITEM(made, i, item);
  }
  return made;
}

PyObject* Marshal::boxArray(Type type, const uint64_t* leaves) {
  auto data = types[type];
  for (auto* view : views) {
    if (isWhole(reinterpret_cast<ArrayObject*>(view), data.dtype, data.dims, leaves)) return Py_NewRef(view);
  }
  return boxNewArray(data.dtype, data.dims, leaves);
}

// An array that the call made becomes the caller's, without a copy. Null: a view of a part.
PyObject* Marshal::boxNewArray(DType dtype, uint32_t dims, const uint64_t* leaves) {
  auto* data = reinterpret_cast<char*>(leaves[0]);
  for (auto* known : made) {
    // The same array twice in a result is one object.
    auto* array = reinterpret_cast<ArrayObject*>(known);
    if (array->data == data) return isWhole(array, dtype, dims, leaves) ? Py_NewRef(known) : nullptr;
  }
  if (!isGapless(dtype, dims, leaves) || !context.release(data)) return nullptr;
  PyObject* object = arrayOwning(data, dtype, dims, leaves + 1, leaves + 1 + dims);
  if (!object) {
    std::free(data);
    return nullptr;
  }
  made.push_back(object);
  return object;
}

PyObject* Marshal::boxScalar(DType dtype, const uint64_t* leaves) {
  auto leaf = *leaves;
  auto& numpy = NumpyTypes::get();
  if (dtype == DType::BOOL) return Py_NewRef(leaf & 1 ? numpy.trueObject : numpy.falseObject);
  Reference plain(program::isComplex(dtype) ? boxComplex(leaves)
                  : program::isReal(dtype)  ? PyFloat_FromDouble(std::bit_cast<double>(leaf))
                  : dtype == DType::U64     ? PyLong_FromUnsignedLongLong(leaf)
                                            : PyLong_FromLongLong(leaf));
  if (!plain) return nullptr;
  return PyObject_CallOneArg(reinterpret_cast<PyObject*>(numpy.scalar[static_cast<int>(dtype)]), plain.get());
}

PyObject* Marshal::box(Type type, const uint64_t* leaves) {
  if (type == Types::FLOAT) return PyFloat_FromDouble(std::bit_cast<double>(*leaves));
  if (type == Types::INT) return PyLong_FromLongLong(static_cast<int64_t>(*leaves));
  auto& data = types[type];
  switch (data.kind) {
    case Kind::NONE: return Py_NewRef(Py_None);
    case Kind::BOOL: return Py_NewRef(*leaves & 1 ? Py_True : Py_False);
    case Kind::SCALAR: return boxScalar(data.dtype, leaves);
    case Kind::COMPLEX: return boxComplex(leaves);
    case Kind::STR:
    case Kind::BYTES: return Py_NewRef(texts.at(*leaves));
    case Kind::LIST: return boxList(type, reinterpret_cast<List*>(*leaves));
    case Kind::ARRAY: return boxArray(type, leaves);
    case Kind::UNION: return box(data.parts[leaves[0]], leaves + 1);
    case Kind::RANGE:
      return PyObject_CallFunction(reinterpret_cast<PyObject*>(&PyRange_Type), "LLL", static_cast<long long>(leaves[0]),
                                   static_cast<long long>(leaves[1]), static_cast<long long>(leaves[2]));
    case Kind::TUPLE: {
      PyObject* made = PyTuple_New(data.parts.size());
      if (!made) return nullptr;
      for (size_t i = 0; i < data.parts.size(); i++) {
        PyObject* item = box(data.parts[i], leaves);
        if (!item) {
          Py_DECREF(made);
          return nullptr;
        }
        PyTuple_SET_ITEM(made, i, item);
        leaves += types.leaves(data.parts[i]).size();
      }
      return made;
    }
    default: return nullptr;
  }
}

namespace {

// `open`: sites of the lists around. One that is met again holds lists of its own kind, itself perhaps: boxing it need not end.
bool canBoxInside(Types& types, Type type, std::vector<const program::Site*>& open) {
  auto& data = types[type];
  switch (data.kind) {
    case Kind::REF:
    case Kind::UNBOUND:
    case Kind::NEVER: return false;
    case Kind::TUPLE:
    case Kind::UNION:
      return std::all_of(data.parts.begin(), data.parts.end(), [&](Type part) { return canBoxInside(types, part, open); });
    case Kind::LIST: {
      auto& site = types(data.ref);
      if (std::find(open.begin(), open.end(), &site) != open.end()) return false;
      open.push_back(&site);
      bool can = site.element == Types::NEVER || canBoxInside(types, site.element, open);
      open.pop_back();
      return can;
    }
    default: return true;
  }
}

}  // namespace

bool canBox(Types& types, Type type) {
  std::vector<const program::Site*> open;
  return canBoxInside(types, type, open);
}

}  // namespace epochly::ext::jit

#include "ext/jit/marshal.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "ext/jit/numpy_types.h"
#include "ext/jit/reference.h"

namespace epochly::ext::jit {

using epochly::jit::List;
using program::DType;
using program::Kind;
using program::Type;
using program::Types;

namespace {

// Objects of a list lie all over memory; so many items ahead they are asked for: tried from 8 to 128 with a million floats and tuples.
constexpr Py_ssize_t PREFETCH = 64, PREFETCH_TUPLES = 32;

uint64_t bitsOf(double value) { return std::bit_cast<uint64_t>(value); }

// Eight items at a time: one branch says whether all of them are floats.
bool loadFloats(PyObject** items, Py_ssize_t count, uint64_t* to) {
  constexpr Py_ssize_t AT_ONCE = 8;
  const auto isFloat = reinterpret_cast<uintptr_t>(&PyFloat_Type);
  Py_ssize_t i = 0;
  for (; i + PREFETCH + AT_ONCE <= count; i += AT_ONCE) {
    uintptr_t other = 0;
    for (Py_ssize_t k = i; k < i + AT_ONCE; k++) __builtin_prefetch(items[k + PREFETCH]);
    for (Py_ssize_t k = i; k < i + AT_ONCE; k++) other |= reinterpret_cast<uintptr_t>(Py_TYPE(items[k])) ^ isFloat;
    if (other) return false;
    for (Py_ssize_t k = i; k < i + AT_ONCE; k++) to[k] = bitsOf(PyFloat_AS_DOUBLE(items[k]));
  }
  for (; i < count; i++) {
    if (Py_TYPE(items[i]) != &PyFloat_Type) return false;
    to[i] = bitsOf(PyFloat_AS_DOUBLE(items[i]));
  }
  return true;
}

bool loadTuplesOfFloats(PyObject** items, Py_ssize_t count, Py_ssize_t width, uint64_t* to) {
  for (Py_ssize_t i = 0; i < count; i++) {
    if (i + PREFETCH_TUPLES < count)
      __builtin_prefetch(reinterpret_cast<PyTupleObject*>(items[i + PREFETCH_TUPLES])->ob_item);
    PyObject* tuple = items[i];
    if (Py_TYPE(tuple) != &PyTuple_Type || PyTuple_GET_SIZE(tuple) != width) return false;
    for (Py_ssize_t k = 0; k < width; k++) {
      PyObject* item = PyTuple_GET_ITEM(tuple, k);
      if (Py_TYPE(item) != &PyFloat_Type) return false;
      *to++ = bitsOf(PyFloat_AS_DOUBLE(item));
    }
  }
  return true;
}

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

bool loadInt(PyObject* object, uint64_t& leaf) {
  if (Py_TYPE(object) != &PyLong_Type) return false;
  int overflow = 0;
  leaf = PyLong_AsLongLongAndOverflow(object, &overflow);
  return overflow == 0;
}

PyObject* boxComplex(const uint64_t* leaves) {
  return PyComplex_FromDoubles(std::bit_cast<double>(leaves[0]), std::bit_cast<double>(leaves[1]));
}

size_t elementsOf(const ArrayObject* array) {
  size_t count = 1;
  for (int i = 0; i < array->dims; i++) count *= array->shape[i];
  return count;
}

// Calls `each` with the address of every element, in one fixed order.
template <typename Each>
void forElements(const ArrayObject* array, Each each) {
  if (elementsOf(array) == 0) return;
  Py_ssize_t at[4] = {};
  for (;;) {
    char* where = array->data;
    for (int i = 0; i < array->dims; i++) where += at[i] * array->strides[i];
    auto last = array->dims - 1;
    for (Py_ssize_t k = 0; k < array->shape[last]; k++) each(where + k * array->strides[last]);
    int i = last - 1;
    while (i >= 0 && ++at[i] == array->shape[i]) at[i--] = 0;
    if (i < 0) return;
  }
}

// The bytes between the first and the last element, both included.
struct Extent {
  char *low, *high;
};
Extent extentOf(const ArrayObject* array) {
  Extent extent{array->data, array->data};
  if (elementsOf(array) == 0) return extent;
  for (int i = 0; i < array->dims; i++) {
    auto way = (array->shape[i] - 1) * array->strides[i];
    (way < 0 ? extent.low : extent.high) += way;
  }
  extent.high += program::bytesOf(*elementType(array));
  return extent;
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

bool Marshal::keepArrays() {
  for (auto& kept : arrays) {
    auto* array = reinterpret_cast<ArrayObject*>(kept.object);
    auto size = program::bytesOf(*elementType(array));
    kept.copy = epochly::jit::takeMemory(elementsOf(array) * size);
    if (!kept.copy.data) return false;
    if (array->flags & ArrayObject::CONTIGUOUS) {
      std::memcpy(kept.copy.data, array->data, elementsOf(array) * size);
      continue;
    }
    auto* to = static_cast<char*>(kept.copy.data);
    forElements(array, [&](char* from) {
      std::memcpy(to, from, size);
      to += size;
    });
  }
  return true;
}

void Marshal::restore() {
  for (auto& kept : arrays) {
    auto* array = reinterpret_cast<ArrayObject*>(kept.object);
    auto size = program::bytesOf(*elementType(array));
    if (array->flags & ArrayObject::CONTIGUOUS) {
      std::memcpy(array->data, kept.copy.data, elementsOf(array) * size);
      continue;
    }
    forKept(kept, [&](char* to, const char* from) { std::memcpy(to, from, size); });
  }
}

template <typename Each>
void Marshal::forKept(const KeptArray& kept, Each each) {
  auto* array = reinterpret_cast<ArrayObject*>(kept.object);
  auto size = program::bytesOf(*elementType(array));
  auto* copy = static_cast<const char*>(kept.copy.data);
  forElements(array, [&](char* element) {
    each(element, copy);
    copy += size;
  });
}

bool Marshal::writesAlone() const {
  return std::all_of(arrays.begin(), arrays.end(), [&](auto& kept) {
    auto own = extentOf(reinterpret_cast<ArrayObject*>(kept.object));
    return 1 == std::count_if(views.begin(), views.end(), [&](auto* view) {
             auto other = extentOf(reinterpret_cast<ArrayObject*>(view));
             return own.low < other.high && other.low < own.high;
           });
  });
}

void Marshal::restoreOwn(const std::function<void()>& rerun) {
  std::vector<epochly::jit::Memory> shadows;
  for (auto& kept : arrays) {
    auto* array = reinterpret_cast<ArrayObject*>(kept.object);
    auto size = program::bytesOf(*elementType(array));
    auto extent = extentOf(array);
    shadows.push_back(epochly::jit::takeMemory(extent.high - extent.low));
    if (!shadows.back().data) break;
    auto* shadow = static_cast<char*>(shadows.back().data) + (array->data - extent.low);
    forKept(kept, [&](char* element, const char* from) { std::memcpy(shadow + (element - array->data), from, size); });
    *kept.pointer = reinterpret_cast<uint64_t>(shadow);
  }
  bool complete = shadows.empty() || shadows.back().data;
  if (complete) rerun();
  for (size_t i = 0; i < shadows.size(); i++) {
    auto* array = reinterpret_cast<ArrayObject*>(arrays[i].object);
    auto size = program::bytesOf(*elementType(array));
    auto* shadow = reinterpret_cast<char*>(*arrays[i].pointer);
    *arrays[i].pointer = reinterpret_cast<uint64_t>(array->data);
    if (complete) {
      forKept(arrays[i], [&](char* element, const char* from) {
        auto* written = shadow + (element - array->data);
        if (std::memcmp(written, from, size) != 0 && std::memcmp(element, written, size) == 0)
          std::memcpy(element, from, size);
      });
    }
    if (shadows[i].data) epochly::jit::returnMemory(shadows[i]);
  }
  if (!complete) restore();
}

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

bool canBox(Types& types, Type type) {
  auto data = types[type];
  switch (data.kind) {
    case Kind::REF:
    case Kind::UNBOUND:
    case Kind::NEVER: return false;
    case Kind::TUPLE:
    case Kind::UNION:
      for (auto part : data.parts) {
        if (!canBox(types, part)) return false;
      }
      return true;
    case Kind::LIST: {
      auto element = types(data.ref).element;
      return element == Types::NEVER || canBox(types, element);
    }
    default: return true;
  }
}

}  // namespace epochly::ext::jit

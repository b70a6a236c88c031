// Marshal: the caller's arrays as they were, should the call be given back.
#include <algorithm>
#include <cstring>

#include "ext/jit/marshal.h"
#include "ext/jit/numpy_types.h"
#include "ext/jit/values.h"

namespace epochly::ext::jit {

namespace {

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

}  // namespace

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

}  // namespace epochly::ext::jit

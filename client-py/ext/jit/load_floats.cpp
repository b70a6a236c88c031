#include "ext/jit/load_floats.h"

#ifdef __x86_64__
#include <emmintrin.h>
#endif

#include "ext/jit/values.h"

namespace epochly::ext::jit {

namespace {

// Objects of a list lie all over memory: they are asked for so many items ahead. Tried from 8 to 768 with a million floats and tuples.
constexpr Py_ssize_t FLOATS_AHEAD = 256, TUPLES_AHEAD = 32;
constexpr Py_ssize_t AT_ONCE = 8;
// What is larger than a core's second level cache has left it before compiled code reads it: it goes past the caches, so that no
// line is read only to be overwritten.
constexpr Py_ssize_t STREAMED_BYTES_MIN = 2 << 20;

// To the second level cache: far more of these can be under way at a time than of those to the first.
void ask(const void* address) { __builtin_prefetch(address, 0, 1); }

struct Cached {
  static void store(uint64_t* to, double value) { *to = bitsOf(value); }
  static void done() {}
};

#ifdef __x86_64__
struct Streamed {
  static void store(uint64_t* to, double value) {
    _mm_stream_si64(reinterpret_cast<long long*>(to), static_cast<long long>(bitsOf(value)));
  }
  // Other threads, which may run a part of the loop, see it then.
  static void done() { _mm_sfence(); }
};
#else
using Streamed = Cached;
#endif

// One branch for all of them.
bool areFloats(PyObject* const* items, Py_ssize_t count) {
  uintptr_t other = 0;
  for (Py_ssize_t i = 0; i < count; i++)
    other |= reinterpret_cast<uintptr_t>(Py_TYPE(items[i])) ^ reinterpret_cast<uintptr_t>(&PyFloat_Type);
  return other == 0;
}

template <typename Stores>
bool copyFloats(PyObject* const* items, Py_ssize_t count, uint64_t* to) {
  if (!areFloats(items, count)) return false;
  for (Py_ssize_t i = 0; i < count; i++) Stores::store(to + i, PyFloat_AS_DOUBLE(items[i]));
  return true;
}

template <typename Stores>
bool copyAllFloats(PyObject* const* items, Py_ssize_t count, uint64_t* to) {
  Py_ssize_t i = 0;
  for (; i + FLOATS_AHEAD + AT_ONCE <= count; i += AT_ONCE) {
    for (Py_ssize_t k = i; k < i + AT_ONCE; k++) ask(items[k + FLOATS_AHEAD]);
    if (!copyFloats<Stores>(items + i, AT_ONCE, to + i)) return false;
  }
  bool all = copyFloats<Stores>(items + i, count - i, to + i);
  Stores::done();
  return all;
}

PyObject* const* partsOf(PyObject* tuple) { return reinterpret_cast<PyTupleObject*>(tuple)->ob_item; }

bool isTuple(PyObject* object, Py_ssize_t width) {
  return Py_TYPE(object) == &PyTuple_Type && PyTuple_GET_SIZE(object) == width;
}

// The parts of neighbours lie near each other, so the processor finds those by itself: asking for them, too, takes longer.
template <typename Stores>
bool copyTuples(PyObject* const* items, Py_ssize_t count, Py_ssize_t width, uint64_t* to) {
  for (Py_ssize_t i = 0; i < count; i++) {
    if (i + TUPLES_AHEAD < count) __builtin_prefetch(partsOf(items[i + TUPLES_AHEAD]));
    if (!isTuple(items[i], width) || !copyFloats<Stores>(partsOf(items[i]), width, to)) return false;
    to += width;
  }
  Stores::done();
  return true;
}

}  // namespace

bool loadFloats(PyObject* const* items, Py_ssize_t count, uint64_t* to) {
  return count * 8 < STREAMED_BYTES_MIN ? copyAllFloats<Cached>(items, count, to)
                                        : copyAllFloats<Streamed>(items, count, to);
}

bool loadTuplesOfFloats(PyObject* const* items, Py_ssize_t count, Py_ssize_t width, uint64_t* to) {
  return count * width * 8 < STREAMED_BYTES_MIN ? copyTuples<Cached>(items, count, width, to)
                                                : copyTuples<Streamed>(items, count, width, to);
}

}  // namespace epochly::ext::jit

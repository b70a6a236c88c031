// Python objects to leaves and back.
#pragma once

#include <Python.h>

#include <functional>
#include <vector>

#include "ext/jit/texts.h"
#include "levels/jit/runtime.h"
#include "levels/program/code.h"

namespace epochly::ext::jit {

// The objects of one call. Lives on its stack; needs the GIL, except while the compiled code runs.
class Marshal {
 public:
  // `mentioned`: of the program, by Unit::texts.
  Marshal(program::Unit& unit, const Texts& mentioned, epochly::jit::Context& context)
      : types(unit.types), context(context), texts(&mentioned) {}
  Marshal(const Marshal&) = delete;
  ~Marshal();

  // Appends the leaves of `object` as `type`. False: it is of another type; nothing visible has happened.
  bool load(PyObject* object, program::Type type, uint64_t*& leaf);
  // The caller's arrays that the code writes, as they are now.
  bool keepArrays();
  // Puts the caller's arrays back as keepArrays() found them.
  void restore();
  // Whether no array that the code writes shares memory with another argument.
  bool writesAlone() const;
  // As restore(), but only where the code has written: other threads may have written elsewhere meanwhile. `rerun` is the code once
  // more, on copies. Needs writesAlone().
  void restoreOwn(const std::function<void()>& rerun);
  // Writes what the code changed in the caller's lists. False with an exception set: out of memory.
  bool writeBack();
  // A new reference; null with an exception set, or without one: this value cannot leave compiled code.
  PyObject* box(program::Type type, const uint64_t* leaves);

 private:
  struct LoadedList {
    PyObject* object;
    epochly::jit::List* native;
    program::Type type;
  };
  struct KeptArray {
    PyObject* object;
    uint64_t* pointer;  // the leaf with its address
    epochly::jit::Memory copy;
  };
  // `each(element, its copy)`.
  template <typename Each>
  static void forKept(const KeptArray& kept, Each each);
  program::Types& types;
  epochly::jit::Context& context;
  Texts texts;
  std::vector<LoadedList> lists;  // that the code may write
  std::vector<KeptArray> arrays;  // likewise
  std::vector<PyObject*> held;    // lists inside of lists: another thread may take them out meanwhile
  std::vector<PyObject*> made;    // arrays in the result that the call made; the result owns them
  std::vector<PyObject*> views;   // every array argument: a result that is one of them is that object

  bool loadList(PyObject* object, program::Type type, uint64_t*& leaf);
  bool loadText(PyObject* object, uint64_t& leaf);
  bool loadTuples(PyObject* list, program::Type element, uint64_t* to);
  bool loadArray(PyObject* object, program::Type type, uint64_t*& leaf);
  PyObject* boxList(program::Type type, epochly::jit::List* list);
  PyObject* boxArray(program::Type type, const uint64_t* leaves);
  PyObject* boxNewArray(program::DType dtype, uint32_t dims, const uint64_t* leaves);
  PyObject* boxScalar(program::DType dtype, const uint64_t* leaves);
  bool writeBack(const LoadedList& list);
  bool same(PyObject* object, program::Type type, const uint64_t* leaves);
};

// Whether values of `type` can be given back to Python.
bool canBox(program::Types& types, program::Type type);

}  // namespace epochly::ext::jit

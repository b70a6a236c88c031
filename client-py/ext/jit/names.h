// What the free names of a program mean in this interpreter, and the checks that they still do.
#pragma once

#include <string>
#include <vector>

#include "ext/jit/encode.h"
#include "ext/jit/reference.h"
#include "levels/program/bindings.h"

namespace epochly::ext::jit {

// Everything that a compilation relied on outside of its arguments. Checked before every call.
class Assumptions {
 public:
  // True while every name still means what it meant. Needs the GIL.
  bool hold() const;
  void ofDict(PyObject* dict, PyObject* key, PyObject* value);  // null: not there
  void ofCell(PyObject* cell, PyObject* value);
  void ofFunction(PyObject* function);  // its code and defaults

 private:
  struct Entry {
    Reference dict, key;
    Py_hash_t hash;
    Reference value;
  };
  struct Cell {
    Reference cell, value;
  };
  struct FunctionState {
    Reference function, code, defaults, keywordDefaults;
  };
  std::vector<Entry> entries;
  std::vector<Cell> cells;
  std::vector<FunctionState> functions;
};

// Lives for one compilation; needs the GIL.
class Names final : public program::Bindings {
 public:
  // `entry` is functions[0].
  Names(PyObject* entry, std::shared_ptr<Encoded> encoded, Assumptions& assumptions);

  program::Binding name(uint32_t function, bool closure, const std::string& name) override;
  program::Binding attribute(const std::string& module, const std::string& name) override;
  program::Binding defaultOf(uint32_t function, uint32_t parameter) override;
  schema::Function::Reader function(uint32_t index) override { return functions[index].encoded->function(); }

 private:
  struct Function {
    Reference object;
    std::shared_ptr<Encoded> encoded;
  };
  std::vector<Function> functions;
  Assumptions& assumptions;

  program::Binding meaning(PyObject* object, const std::string& name);
  program::Binding functionBinding(PyObject* object);
};

}  // namespace epochly::ext::jit

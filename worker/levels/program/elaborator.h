// From a program and the types of its arguments to typed code: name resolution, type inference by forward data flow to a fixed
// point, unions where paths meet with different types, a first loop iteration set apart where that makes the rest of one type.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "levels/program/bindings.h"
#include "levels/program/code.h"
#include "levels/program/decline.h"

namespace epochly::program {

class FunctionElaborator;

// One compilation. Not thread-safe; the host's lock (the GIL) is held throughout.
class Elaborator {
 public:
  Elaborator(Bindings& bindings, Dialect dialect);
  // Throws Declined.
  std::unique_ptr<Unit> run(const std::function<std::vector<Type>(Types&)>& argumentTypes);

 private:
  friend class FunctionElaborator;
  Bindings& bindings;
  const Dialect dialect;
  std::unique_ptr<Unit> unit;
  std::map<std::pair<uint32_t, std::vector<Type>>, uint32_t> instanceIndex;
  std::vector<Binding> refs;  // by TypeData::ref of a REF
  uint32_t round = 0;
  bool resultsChanged = false;

  uint32_t instance(uint32_t function, const std::vector<Type>& arguments, uint32_t line);
  void elaborate(uint32_t index);
  Type refType(Binding binding);
};

}  // namespace epochly::program

// The functions an executor has been sent.
#pragma once

#include <nanobind/nanobind.h>

#include <list>
#include <unordered_map>

#include "levels/monitor/sampling.h"
#include "task.capnp.h"
#include "wire/errors.h"
#include "wire/ids.h"

namespace epochly::ext {

namespace nb = nanobind;

// Functions kept loaded; others are loaded again from their pickle when they are called. Beyond a few hundred, a program makes
// functions without end and calls each once.
constexpr size_t FUNCTIONS_LOADED_MAX = 1024;

// One per process. Guarded by the GIL.
class FunctionStore {
 public:
  struct Function {
    kj::String name;
    kj::Array<byte> code;
    PythonVersion pythonVersion;
    kj::String module;
    nb::object callable;                      // null: not loaded
    std::list<Function*>::iterator loadedAt;  // in `loaded`, while callable is set
    monitor::CallSampler sampler;
  };

  // Functions are sent once and named by id afterwards.
  void add(schema::Function::Reader definition);
  // Null: never sent, the daemon's mistake.
  Function* find(uint32_t id);
  // None: loaded, `function.callable` is set. Else why it cannot be.
  kj::Maybe<Failure> load(Function& function);

 private:
  std::unordered_map<uint32_t, Function> functions;
  std::list<Function*> loaded;  // least recently used first
};

}  // namespace epochly::ext

// From Python functions to what is sent of them, without pickling twice.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "ext/client_task.h"

namespace epochly::ext {

namespace nb = nanobind;

// Functions remembered, and kept alive, at once, and the bytes of their pickles: what a function holds is about as large as its
// pickle. A program that makes functions without end, or such that carry data, forgets all of them here.
constexpr size_t FUNCTIONS_CACHED_MAX = 4096;
constexpr size_t FUNCTIONS_CACHED_BYTES_MAX = 64u << 20;

// One per client. Guarded by the GIL.
class FunctionCache {
 public:
  FunctionCache() = default;
  KJ_DISALLOW_COPY(FunctionCache);

  // Throws what epochly.serialize.describe raises.
  std::shared_ptr<const client::Function> find(nb::handle function);
  // What epochly.optimize() has measured of a function that it made; null if it made none, or there is little new since it was
  // last asked.
  std::unique_ptr<client::Workload> workloadOf(nb::handle function);
  void forgetAll();

 private:
  // See epochly.serialize: what must still be the same for the pickle to be right.
  struct Check {
    int kind;
    nb::object holder;
    nb::object key;
    nb::object value;
    bool holds() const;
  };
  struct Cached {
    nb::object function;  // kept, so that no other lives at its address
    std::shared_ptr<const client::Function> described;
    std::vector<Check> checks;
    // Of functions that epochly.optimize() made: how often it was asked for, and when the workload is read next, after 1, 2, 4, 8
    // times.
    uint64_t asked = 0;
    uint64_t readAt = 1;
  };

  std::unordered_map<PyObject*, Cached> byObject;
  size_t cachedBytes = 0;  // remembered since the last forgetAll(); what was replaced since then is counted too
  std::unordered_map<FunctionHash, std::weak_ptr<const client::Function>> byHash;  // shares equal ones

  std::shared_ptr<const client::Function> describe(nb::handle function);
  std::shared_ptr<const client::Function> shared(std::shared_ptr<const client::Function> function);
  void remember(nb::handle function, std::shared_ptr<const client::Function> described, nb::handle checks);
};

}  // namespace epochly::ext

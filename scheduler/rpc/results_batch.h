// One Results message in the making: which results go into it, and the placements they share.
#pragma once

#include <unordered_map>

#include <kj/vector.h>

#include "core/worker.h"
#include "scheduler.capnp.h"

namespace epochly::rpc {

// Refers to the client's results; lives for one turn of the loop.
class ResultsBatch {
 public:
  // As many of the results that were not sent as fit BATCH_TASKS_MAX and BATCH_BYTES_TARGET, at least one.
  explicit ResultsBatch(const core::Client& client);

  size_t count() const { return placementOf.size(); }
  size_t bytes() const { return words * sizeof(capnp::word); }
  void write(schema::Results::Builder builder) const;

 private:
  const core::Client& client;
  kj::Vector<const core::Placement*> placements;
  kj::Vector<uint32_t> placementOf;              // by result
  std::unordered_map<uint64_t, uint32_t> byKey;  // the latest placement of each key
  size_t words = 0;

  uint32_t placementIndex(const core::Placement& placement);
};

}  // namespace epochly::rpc

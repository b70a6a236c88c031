// What a store promises beyond taking notes: when they are safe.
#pragma once

#include <kj/async.h>

#include "core/outbox.h"

namespace epochly::store {

// Lives on the scheduler's kj loop.
class Store : public core::StorePort {
 public:
  // Resolves once everything noted so far survives what this store is there to survive. Receipts wait for it: what a client
  // is told is accepted must not be forgotten. Fails if the store can no longer promise it.
  virtual kj::Promise<void> committed() = 0;
};

}  // namespace epochly::store

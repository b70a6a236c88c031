// The store of a scheduler whose tasks live as long as its process.
#pragma once

#include "store/store.h"

namespace epochly::store {

// Core's tables are the memory: there is nothing to note and nothing to wait for.
class MemoryStore final : public Store {
 public:
  void accepted(const core::Task& task) override {}
  void ended(const core::Result& result) override {}
  void acknowledged(TaskId task) override {}
  kj::Promise<void> committed() override;
};

}  // namespace epochly::store

#include "store/memory_store.h"

#include <gtest/gtest.h>

namespace epochly::store {
namespace {

TEST(MemoryStore, IsCommittedAtOnce) {
  kj::EventLoop loop;
  kj::WaitScope scope(loop);
  MemoryStore store;
  core::Task task;
  store.accepted(task);
  auto committed = store.committed();
  EXPECT_TRUE(committed.poll(scope));
}

}  // namespace
}  // namespace epochly::store

#include "store/memory_store.h"

namespace epochly::store {

kj::Promise<void> MemoryStore::committed() { return kj::READY_NOW; }

}  // namespace epochly::store

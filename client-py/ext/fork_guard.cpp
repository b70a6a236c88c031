#include "ext/fork_guard.h"

#include <atomic>

#include <pthread.h>

namespace epochly::ext {

namespace {

std::atomic<uint64_t> generation{0};
const int registered = pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

uint64_t forkGeneration() { return registered == 0 ? generation.load(std::memory_order_relaxed) : 0; }

}  // namespace epochly::ext

// Where a thread's stack ends.
#pragma once

#include <cstdint>

namespace epochly::ext {

constexpr uintptr_t STACK_UNKNOWN = 1;

// Lowest address of the calling thread's stack, or STACK_UNKNOWN.
uintptr_t findStackBottom();
// The same of a process's first thread, without reading a file; STACK_UNKNOWN: it cannot be told so, or this is another thread.
uintptr_t mainStackBottom();

}  // namespace epochly::ext

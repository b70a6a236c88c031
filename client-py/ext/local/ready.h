// How long a thread was ready to run while others had the CPUs: what tells waiting from a busy machine.
#pragma once

#include <optional>

#include "levels/monitor/sampling.h"

namespace epochly::ext::ready {

// Nanoseconds of the calling thread since it began, from /proc/thread-self/schedstat; none where the kernel does not tell. Some
// 1.5 us: the file stays open for as long as the thread lives. Not for use after fork() in a child's first thread: it would read
// its parent's.
std::optional<monitor::Nanos> now();

}  // namespace epochly::ext::ready

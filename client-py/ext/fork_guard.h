// Notices that this process was forked from the one that made an object: its threads and locks are not here.
#pragma once

#include <cstdint>

namespace epochly::ext {

// Counts forks between the process that loaded the module and this one.
uint64_t forkGeneration();

}  // namespace epochly::ext

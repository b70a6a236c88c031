// How many cores level 3 may use.
#pragma once

namespace epochly::multicore {

// EPOCHLY_MAX_WORKERS, else what affinity and control groups leave to this process; at least 1.
int coresToUse();

}  // namespace epochly::multicore

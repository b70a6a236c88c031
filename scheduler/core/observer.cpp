#include "core/observer.h"

namespace epochly::core {

kj::StringPtr attemptEndName(AttemptEnd end) {
  constexpr const char* NAMES[] = {"returned", "failed", "executor_died", "timed_out", "worker_lost", "not_run"};
  return NAMES[static_cast<uint>(end)];
}

}  // namespace epochly::core

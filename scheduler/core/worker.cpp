#include "core/worker.h"

namespace epochly::core {

bool Worker::fits(const QueueKey& key) const {
  return state == WorkerState::READY && spec.offers(key.level) &&
         (key.pythonVersion.value == 0 || key.pythonVersion == spec.pythonVersion) &&
         (key.host.value == 0 || key.host == spec.host);
}

}  // namespace epochly::core

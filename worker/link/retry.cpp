#include "link/retry.h"

namespace epochly::link {

kj::Duration RetryDelay::next(uint64_t random) {
  auto full = delay;
  delay = kj::min(delay * 2, RETRY_DELAY_MAX);
  double fraction = 0.5 + 0.5 * (static_cast<double>(random >> 11) * 0x1p-53);
  return static_cast<int64_t>(static_cast<double>(full / kj::NANOSECONDS) * fraction) * kj::NANOSECONDS;
}

void RetryDelay::connectionLasted(kj::Duration time) {
  if (time >= GOOD_CONNECTION) delay = RETRY_DELAY_MIN;
}

}  // namespace epochly::link

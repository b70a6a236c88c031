// When to try again after a connection failed or was lost.
#pragma once

#include <kj/time.h>

#include "wire/ids.h"

namespace epochly::link {

// A scheduler that restarts is back in a second: the first tries are quick. 5 s apart, a thousand workers are 200 tries a second.
constexpr kj::Duration RETRY_DELAY_MIN = 50 * kj::MILLISECONDS;
constexpr kj::Duration RETRY_DELAY_MAX = 5 * kj::SECONDS;
// A connection that lasted this long was a good one: the next delay begins anew. Less, and a scheduler that accepts and hangs up
// would be asked twenty times a second.
constexpr kj::Duration GOOD_CONNECTION = 5 * kj::SECONDS;

// Delays that double from RETRY_DELAY_MIN to RETRY_DELAY_MAX, each shortened by up to a half at random, so that workers which lost
// their scheduler together do not come back together.
class RetryDelay {
 public:
  // random: any 64 uniform bits.
  kj::Duration next(uint64_t random);
  void connectionLasted(kj::Duration time);

 private:
  kj::Duration delay = RETRY_DELAY_MIN;
};

}  // namespace epochly::link

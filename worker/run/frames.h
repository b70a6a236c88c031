// What the daemon writes to an executor.
#pragma once

#include <kj/function.h>

#include "run/assignment.h"

namespace epochly::run {

struct Delivery {
  const Assignment* assignment;
  bool withFunction;              // the executor has not seen its function
};

// ToExecutor messages that carry `deliveries` in order, functions first. Each is closed at BATCH_BYTES_TARGET, so that it is
// within FRAME_BYTES_MAX however large the next function or assignment is.
void writeFrames(kj::ArrayPtr<const Delivery> deliveries, kj::FunctionParam<void(capnp::MessageBuilder&)> send);

}  // namespace epochly::run

// The scheduler as a program: its parts put together, on one kj loop and one REST thread.
#pragma once

#include <kj/async-io.h>

#include "scheduler.capnp.h"

namespace epochly::scheduler {

// What epochly-scheduler does with its command line (without the program's name); the exit status.
int runProgram(kj::ArrayPtr<const kj::StringPtr> args);

// A connection without a socket, for whoever lives on the scheduler's loop: letting go of the gateway and of what it gave ends it.
struct Door {
  schema::Gateway::Client gateway;
  kj::Promise<void> closed;  // by the scheduler
};

// A scheduler beside something else on a loop. Lives on that loop's thread.
class Daemon {
 public:
  virtual ~Daemon() noexcept(false) = default;
  // A signal asked for the end and the drain is over, or the parent process is gone; the exit status. Once.
  virtual kj::Promise<int> untilTold() = 0;
  virtual Door openDoor() = 0;
};

// Listens, and has said so on stdout. Stop signals must be captured and the log be set up. Throws INVALID_ARGUMENT for a command
// line that does not say how to run.
kj::Own<Daemon> start(kj::AsyncIoContext& io, kj::ArrayPtr<const kj::StringPtr> args);

}  // namespace epochly::scheduler

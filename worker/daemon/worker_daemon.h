// The worker as a program: its parts put together on one kj loop.
#pragma once

#include <kj/async-io.h>

#include "link/route.h"

namespace epochly::worker {

// What epochly-worker does with its command line (without the program's name); the exit status.
int runProgram(kj::ArrayPtr<const kj::StringPtr> args);

// A worker beside something else on a loop. Lives on that loop's thread.
class Daemon {
 public:
  virtual ~Daemon() noexcept(false) = default;
  // Until it has drained, is refused, or something ends it; the exit status. Once.
  virtual kj::Promise<int> run() = 0;
  // Its clients end with it: when it is gone, so are results in shared memory that they have not taken.
  virtual void endClients() = 0;
};

// Raises the limit of open files. Stop signals must be captured and the log be set up. Throws INVALID_ARGUMENT for a command line
// that does not say how to run; `dialer` is used instead of the address in it.
kj::Own<Daemon> start(kj::AsyncIoContext& io, kj::ArrayPtr<const kj::StringPtr> args, kj::Own<link::Dialer> dialer);

}  // namespace epochly::worker

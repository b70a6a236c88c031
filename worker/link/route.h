// How a worker reaches a scheduler: over a socket, or on the loop that both live on.
#pragma once

#include <kj/async-io.h>

#include "rt/address.h"
#include "scheduler.capnp.h"

namespace epochly::link {

// One connection to a scheduler. Its end is the worker's loss there.
class Route {
 public:
  virtual ~Route() noexcept(false) = default;
  // Call once.
  virtual schema::Gateway::Client gateway() = 0;
  // The scheduler has closed it, or it broke. Call once.
  virtual kj::Promise<void> onClosed() = 0;
};

// Makes connections to one scheduler, one at a time. Lives on the daemon's loop.
class Dialer {
 public:
  virtual ~Dialer() noexcept(false) = default;
  virtual kj::Promise<kj::Own<Route>> dial() = 0;
  virtual kj::StringPtr name() const = 0;  // of the scheduler, as users write its address
};

class SocketDialer final : public Dialer {
 public:
  SocketDialer(kj::AsyncIoContext& io, const rt::Address& scheduler);

  kj::Promise<kj::Own<Route>> dial() override;
  kj::StringPtr name() const override { return text; }

 private:
  kj::AsyncIoContext& io;
  const kj::String address;  // as kj takes it
  const kj::String text;
  const bool isTcp;
};

}  // namespace epochly::link

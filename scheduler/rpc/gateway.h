// What a new connection can call: prove itself, then become a client or a worker.
#pragma once

#include "rpc/peer.h"
#include "rpc/services.h"

namespace epochly::rpc {

// Tries to say hello on one connection: an honest peer needs one, guessing tokens needs more.
constexpr uint HELLOS_MAX = 3;

// One per connection. Lives on the scheduler's kj loop.
class Gateway final : public schema::Gateway::Server {
 public:
  Gateway(Services& services, kj::Own<Peer> peer) : services(services), peer(kj::mv(peer)) {}

 protected:
  kj::Promise<void> openClient(OpenClientContext context) override;
  kj::Promise<void> joinWorker(JoinWorkerContext context) override;

 private:
  Services& services;
  kj::Own<Peer> peer;

  // The protocol to speak. Throws UNAUTHENTICATED, PROTOCOL_MISMATCH, or INVALID_ARGUMENT if the connection has a session.
  uint16_t check(schema::Hello::Reader hello);
  void greet(schema::Hello::Reader hello);
  void writeWelcome(uint16_t protocol, schema::Welcome::Builder welcome) const;
  Close closer();
};

}  // namespace epochly::rpc

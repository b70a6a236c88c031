// Accepts connections and keeps them until they end.
#pragma once

#include <capnp/common.h>
#include <kj/async-io.h>

#include "rpc/services.h"
#include "rpc/unix_socket.h"
#include "rt/address.h"
#include "wire/task_spec.h"

namespace epochly::rpc {

// Connections open at once. Each costs a file descriptor and 20 KB.
constexpr size_t CONNECTIONS_MAX = 20'000;
// Connections that have not said hello: enough for a cluster that restarts, few enough that strangers cannot fill the rest.
constexpr size_t HANDSHAKES_MAX = 512;
// Words of calls of one peer that have not been answered, past which no more of it is read: two of the largest. We answer each
// within the turn that reads it, or after a commit, so an honest peer never waits for this.
constexpr size_t FLOW_WORDS_MAX = 2 * MESSAGE_BYTES_MAX / sizeof(capnp::word);
// Over TCP, what we wrote and the peer's kernel did not acknowledge in this time is lost with its connection: a minute, after
// which keep-alive notices one that is silent too.
constexpr int UNACKNOWLEDGED_MS_MAX = 60'000;
// After a failed accept (no descriptor left) we look again: by then some connection has ended, or nothing is lost by waiting.
constexpr kj::Duration ACCEPT_RETRY = 100 * kj::MILLISECONDS;

// Lives on the scheduler's kj loop. Its end closes all connections, which the core hears as losses.
class Listener final : private kj::TaskSet::ErrorHandler {
 public:
  struct Bounds {
    size_t connectionsMax = CONNECTIONS_MAX;
    size_t handshakesMax = HANDSHAKES_MAX;
    size_t flowWordsMax = FLOW_WORDS_MAX;
    kj::Duration handshake;  // HANDSHAKE_MS, less in tests

    Bounds();
  };

  Listener(kj::AsyncIoContext& io, Services& services, Bounds bounds = Bounds());
  KJ_DISALLOW_COPY(Listener);

  // Starts to listen; the address with its real port. Throws INVALID_ARGUMENT if it cannot be had.
  kj::Promise<rt::Address> listen(const rt::Address& address);
  // Serves a stream that is connected already.
  void serve(kj::Own<kj::AsyncIoStream> stream);

 private:
  struct Connection;

  kj::LowLevelAsyncIoProvider& lowLevel;
  kj::Network& network;
  kj::Timer& timer;
  kj::UnixEventPort& port;
  Services& services;
  const Bounds bounds;
  size_t handshakes = 0;
  bool isFull = false;  // said so in the log
  kj::Vector<UnixSocket> unixSockets;
  kj::TaskSet tasks;

  void acceptFrom(kj::Own<kj::ConnectionReceiver> receiver);
  kj::Promise<void> acceptLoop(kj::ConnectionReceiver& receiver);
  bool hasRoom();
  kj::Promise<void> lateHandshake(Connection& connection);
  void ended(Connection& connection);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace epochly::rpc

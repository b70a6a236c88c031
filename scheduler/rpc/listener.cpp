#include "rpc/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <capnp/rpc-twoparty.h>

#include "rpc/gateway.h"
#include "rt/log.h"
#include "transport/socket_stream.h"

namespace epochly::rpc {

namespace {

// A peer that vanished without a word is noticed after about a minute; workers sooner, by their heartbeats.
constexpr int KEEPALIVE_IDLE_SECONDS = 30;
constexpr int KEEPALIVE_INTERVAL_SECONDS = 10;
constexpr int KEEPALIVE_PROBES = 3;

void setOption(kj::AsyncIoStream& stream, int level, int option, int value) {
  stream.setsockopt(level, option, &value, sizeof(value));
}

void tuneTcp(kj::AsyncIoStream& stream) {
  setOption(stream, IPPROTO_TCP, TCP_NODELAY, 1);  // batches are made above; the kernel must not wait for more
  setOption(stream, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(stream, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS);
  setOption(stream, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS);
  setOption(stream, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
  setOption(stream, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX);
}

kj::String nameOf(kj::AsyncIoStream& stream) {
  sockaddr_storage address = {};
  uint length = sizeof(address);
  char host[INET6_ADDRSTRLEN] = "";
  stream.getpeername(reinterpret_cast<sockaddr*>(&address), &length);
  if (address.ss_family == AF_INET) {
    auto in = reinterpret_cast<sockaddr_in*>(&address);
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
    return kj::str(static_cast<const char*>(host), ':', ntohs(in->sin_port));
  }
  if (address.ss_family == AF_INET6) {
    auto in = reinterpret_cast<sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
    return kj::str('[', static_cast<const char*>(host), "]:", ntohs(in->sin6_port));
  }
  return kj::str("unix socket");
}

bool isTcp(kj::AsyncIoStream& stream) {
  int domain = AF_UNIX;
  uint length = sizeof(domain);
  stream.getsockopt(SOL_SOCKET, SO_DOMAIN, &domain, &length);
  return domain != AF_UNIX;
}

capnp::ReaderOptions readerOptions() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = TRAVERSAL_WORDS_MAX;
  return options;
}

}  // namespace

// Members end in reverse: first the RPC system and with it the session, at last the stream.
struct Listener::Connection {
  kj::Own<kj::AsyncIoStream> stream;
  kj::Own<Peer> peer;
  kj::Promise<void> closed;
  transport::FramedStream messages;
  capnp::TwoPartyVatNetwork network;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;

  Connection(kj::Own<kj::AsyncIoStream> connected, Services& services, kj::Timer& timer, size_t flowWordsMax,
             kj::PromiseFulfillerPair<void> closing, kj::Function<void()> onGreeted)
      : stream(kj::mv(connected)),
        peer(kj::refcounted<Peer>(nameOf(*stream), kj::mv(closing.fulfiller), kj::mv(onGreeted))),
        closed(kj::mv(closing.promise)),
        messages(*stream, timer, *peer),
        network(messages, capnp::rpc::twoparty::Side::SERVER, readerOptions()),
        rpc(capnp::makeRpcServer(network, kj::heap<Gateway>(services, kj::addRef(*peer)))) {
    rpc.setFlowLimit(flowWordsMax);
  }
};

Listener::Bounds::Bounds() : handshake(HANDSHAKE_MS * kj::MILLISECONDS) {}

Listener::Listener(kj::AsyncIoContext& io, Services& services, Bounds bounds)
    : lowLevel(*io.lowLevelProvider),
      network(io.provider->getNetwork()),
      timer(io.provider->getTimer()),
      port(io.unixEventPort),
      services(services),
      bounds(bounds),
      tasks(*this) {}

// ---- listening -----------------------------------------------------------------------------------------------------

kj::Promise<rt::Address> Listener::listen(const rt::Address& address) {
  rt::Address bound{address.reach, kj::str(address.path), kj::str(address.host), address.port};
  if (address.reach == rt::Reach::UNIX_SOCKET) {
    auto socket = UnixSocket::listen(address.path);
    acceptFrom(lowLevel.wrapListenSocketFd(socket.takeFd()));
    unixSockets.add(kj::mv(socket));
    return kj::mv(bound);
  }
  return network.parseAddress(address.forKj())
      .then([this, bound = kj::mv(bound)](kj::Own<kj::NetworkAddress> parsed) mutable {
        auto receiver = parsed->listen();
        bound.port = static_cast<uint16_t>(receiver->getPort());
        acceptFrom(kj::mv(receiver));
        return kj::mv(bound);
      })
      .catch_([text = address.toString()](kj::Exception&& error) -> kj::Promise<rt::Address> {
        return makeError(ErrorCode::INVALID_ARGUMENT, kj::str("cannot listen on ", text, ": ", error.getDescription()));
      });
}

void Listener::acceptFrom(kj::Own<kj::ConnectionReceiver> receiver) {
  auto loop = acceptLoop(*receiver);
  tasks.add(loop.attach(kj::mv(receiver)));
}

kj::Promise<void> Listener::acceptLoop(kj::ConnectionReceiver& receiver) {
  return receiver.accept()
      .then(
          [this](kj::Own<kj::AsyncIoStream> stream) -> kj::Promise<void> {
            serve(transport::SocketStream::takeOver(port, kj::mv(stream)));
            return kj::READY_NOW;
          },
          [this](kj::Exception&& error) -> kj::Promise<void> {
            rt::log::error("cannot accept a connection: ", error.getDescription());
            return timer.afterDelay(ACCEPT_RETRY);
          })
      .then([this, &receiver]() { return acceptLoop(receiver); });
}

bool Listener::hasRoom() {
  bool room = services.figures.connections < bounds.connectionsMax && handshakes < bounds.handshakesMax;
  if (!room && !isFull) {
    rt::log::warning("refusing connections: ", services.figures.connections, " are open, ", handshakes,
                     " of them have said no hello");
  }
  isFull = !room;
  return room;
}

// ---- serving -------------------------------------------------------------------------------------------------------

void Listener::serve(kj::Own<kj::AsyncIoStream> stream) {
  if (!hasRoom()) {
    services.figures.connectionsRefused++;
    return;
  }
  if (isTcp(*stream)) tuneTcp(*stream);
  auto connection = kj::heap<Connection>(kj::mv(stream), services, timer, bounds.flowWordsMax,
                                         kj::newPromiseAndFulfiller<void>(), [this]() { handshakes--; });
  services.figures.connections++;
  handshakes++;
  auto& that = *connection;
  tasks.add(that.network.onDisconnect()
                .exclusiveJoin(kj::mv(that.closed))
                .exclusiveJoin(lateHandshake(that))
                .catch_([&that](kj::Exception&& error) { that.peer->noteEnd(error.getDescription()); })
                .then([this, &that]() { ended(that); })
                .attach(kj::mv(connection)));
}

kj::Promise<void> Listener::lateHandshake(Connection& connection) {
  return timer.afterDelay(bounds.handshake).then([this, &connection]() -> kj::Promise<void> {
    if (connection.peer->isGreeted()) return kj::NEVER_DONE;
    services.figures.connectionsRefused++;
    connection.peer->noteEnd("it said no hello in time");
    return kj::READY_NOW;
  });
}

void Listener::ended(Connection& connection) {
  services.figures.connections--;
  auto& peer = *connection.peer;
  auto why = peer.end().orDefault("it disconnected");
  if (peer.wasMalformed()) services.figures.connectionsMalformed++;
  if (peer.isGreeted() && peer.wasMalformed()) {
    rt::log::warning("connection of ", peer.name, " closed: what it sent is malformed: ", why);
    return;
  }
  if (peer.isGreeted()) {
    rt::log::info("connection of ", peer.name, " ended: ", why);
    return;
  }
  handshakes--;
  rt::log::warning("connection of ", peer.name, " ended before a hello was accepted: ", why);
}

void Listener::taskFailed(kj::Exception&& exception) { rt::log::error("a connection failed: ", exception); }

}  // namespace epochly::rpc

#include "link/route.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <capnp/rpc-twoparty.h>

#include "transport/framed_stream.h"
#include "transport/socket_stream.h"
#include "wire/task_spec.h"

namespace epochly::link {

namespace {

// Batches are made here, so the kernel need not wait for more.
void sendAtOnce(kj::AsyncIoStream& stream) {
  int one = 1;
  stream.setsockopt(IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

// Members end in reverse: first the RPC system, at last the stream.
class SocketRoute final : public Route {
 public:
  SocketRoute(kj::Own<kj::AsyncIoStream> connected, kj::Timer& timer)
      : stream(kj::mv(connected)),
        messages(*stream, timer, owner),
        network(messages, capnp::rpc::twoparty::Side::CLIENT, capnp::ReaderOptions{TRAVERSAL_WORDS_MAX, 64}),
        rpc(capnp::makeRpcClient(network)) {}

  schema::Gateway::Client gateway() override {
    capnp::MallocMessageBuilder vat;
    vat.initRoot<capnp::rpc::twoparty::VatId>().setSide(capnp::rpc::twoparty::Side::SERVER);
    return rpc.bootstrap(vat.getRoot<capnp::rpc::twoparty::VatId>()).castAs<schema::Gateway>();
  }
  kj::Promise<void> onClosed() override { return network.onDisconnect(); }

 private:
  kj::Own<kj::AsyncIoStream> stream;
  transport::TrustingOwner owner;
  transport::FramedStream messages;
  capnp::TwoPartyVatNetwork network;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
};

}  // namespace

SocketDialer::SocketDialer(kj::AsyncIoContext& io, const rt::Address& scheduler)
    : io(io), address(scheduler.forKj()), text(scheduler.toString()), isTcp(scheduler.reach != rt::Reach::UNIX_SOCKET) {}

kj::Promise<kj::Own<Route>> SocketDialer::dial() {
  return io.provider->getNetwork()
      .parseAddress(address)
      .then([](kj::Own<kj::NetworkAddress>&& parsed) {
        auto connecting = parsed->connect();
        return connecting.attach(kj::mv(parsed));
      })
      .then([this](kj::Own<kj::AsyncIoStream>&& stream) -> kj::Own<Route> {
        if (isTcp) sendAtOnce(*stream);
        return kj::heap<SocketRoute>(transport::SocketStream::takeOver(io.unixEventPort, kj::mv(stream)),
                                     io.provider->getTimer());
      });
}

}  // namespace epochly::link

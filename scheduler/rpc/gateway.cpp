#include "rpc/gateway.h"

#include <algorithm>

#include "rpc/client_session.h"
#include "rt/log.h"
#include "wire/task_spec.h"
#include "wire/text.h"

namespace epochly::rpc {

bool sharesMemory(const core::Core& core, HostId peer) {
  if (peer.value == 0) return false;
  return std::any_of(core.workers.begin(), core.workers.end(), [&](auto& entry) {
    return entry.second.state == core::WorkerState::READY && entry.second.spec.host == peer;
  });
}

namespace {

void checkToken(const Services& services, schema::Hello::Reader hello) {
  KJ_IF_MAYBE(token, services.token) {
    if (token->matches(hello.getToken())) return;
    kj::throwFatalException(makeError(
        ErrorCode::UNAUTHENTICATED, hello.getToken().size() == 0
                                        ? "this scheduler needs a token and none was sent: give the file it was started with"
                                        : "the token is not the one this scheduler was started with"));
  }
}

uint16_t highestCommon(schema::Hello::Reader hello) {
  uint16_t highest = std::min(PROTOCOL_MAX, hello.getProtocolMax());
  if (highest >= std::max(PROTOCOL_MIN, hello.getProtocolMin())) return highest;
  kj::throwFatalException(
      makeError(ErrorCode::PROTOCOL_MISMATCH,
                kj::str("the scheduler (", SOFTWARE_VERSION, ") speaks protocol ", PROTOCOL_MIN, " to ", PROTOCOL_MAX,
                        ", the peer (", cut(hello.getSoftware(), NAME_BYTES_MAX), ") ", hello.getProtocolMin(), " to ",
                        hello.getProtocolMax(), ": install the same version of epochly on both")));
}

}  // namespace

uint16_t Gateway::check(schema::Hello::Reader hello) {
  services.figures.calls++;
  if (++peer->helloCount >= HELLOS_MAX) peer->close("too many attempts to say hello");
  if (peer->isGreeted()) {
    kj::throwFatalException(
        makeError(ErrorCode::INVALID_ARGUMENT, "this connection has a session already: open another one"));
  }
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { checkToken(services, hello); })) {
    services.figures.hellosRefused++;
    rt::log::warning("refused ", peer->name, ": it did not send the right token");
    kj::throwFatalException(kj::mv(*error));
  }
  uint16_t protocol = 0;
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { protocol = highestCommon(hello); })) {
    services.figures.hellosRefused++;
    rt::log::warning("refused ", peer->name, ": ", messageOf(*error));
    kj::throwFatalException(kj::mv(*error));
  }
  return protocol;
}

void Gateway::greet(schema::Hello::Reader hello) { peer->greet(HostId(hello.getHost())); }

kj::Promise<void> Gateway::openClient(OpenClientContext context) {
  auto params = context.getParams();
  auto protocol = check(params.getHello());
  auto attachment =
      services.clients.attach(SpaceId(params.getSpace()), HostId(params.getHello().getHost()), params.getSink(), closer());
  greet(params.getHello());
  auto results = context.getResults();
  writeWelcome(protocol, results.initWelcome());
  results.setSpace(attachment.space.value);
  results.setSession(kj::heap<ClientSession>(services, kj::addRef(*peer), attachment));
  rt::log::info("client connected: ", peer->name, ", ", cut(params.getHello().getSoftware(), NAME_BYTES_MAX));
  return kj::READY_NOW;
}

kj::Promise<void> Gateway::joinWorker(JoinWorkerContext context) {
  auto params = context.getParams();
  auto protocol = check(params.getHello());
  auto joined = services.joinWorker(params.getInfo(), params.getSink(), closer());
  greet(params.getHello());
  auto results = context.getResults();
  writeWelcome(protocol, results.initWelcome());
  results.setWorkerId(joined.worker.value);
  results.setSession(kj::mv(joined.session));
  rt::log::info("worker ", joined.worker.value, " joined: ", cut(params.getInfo().getName(), NAME_BYTES_MAX), ", ",
                peer->name);
  return kj::READY_NOW;
}

void Gateway::writeWelcome(uint16_t protocol, schema::Welcome::Builder welcome) const {
  welcome.setProtocol(protocol);
  welcome.setSoftware(kj::str("epochly-scheduler/", SOFTWARE_VERSION));
  welcome.setHttpUrl(services.httpUrl);
  welcome.setHeartbeatMs(services.core.limits.heartbeat / kj::MILLISECONDS);
  welcome.setPayloadBytesMax(PAYLOAD_BYTES_MAX);
  welcome.setBatchBytesMax(MESSAGE_BYTES_MAX);
  welcome.setSharedMemory(sharesMemory(services.core, peer->hostId()));
}

Close Gateway::closer() {
  return [peer = kj::addRef(*peer)](kj::StringPtr why) mutable { peer->close(why); };
}

}  // namespace epochly::rpc

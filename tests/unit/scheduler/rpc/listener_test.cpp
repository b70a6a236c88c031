// Connections: bounds on their number and on their handshake. Real sockets, small bounds.
#include "rpc/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <capnp/rpc-twoparty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/client_links.h"
#include "rpc/gateway.h"
#include "support/sched_env.h"

namespace epochly::rpc {
namespace {

using test::CountingRandom;
using test::RecordingPorts;

struct Env {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  core::Core core;
  RecordingPorts others;
  CountingRandom random;
  core::Observer observer;
  classify::Thresholds thresholds;
  ClientLinks clients{core, kj::systemPreciseMonotonicClock()};
  events::Events events{core, core::Ports{others, clients, others, others, random}, observer, thresholds};
  kj::Vector<kj::Own<kj::PromiseFulfiller<void>>> commits;  // while `holdsCommits`
  bool holdsCommits = false;
  Services services{core,
                    events,
                    clients,
                    thresholds,
                    kj::systemPreciseMonotonicClock(),
                    [this]() { return committed(); },
                    [](auto, auto, auto) -> Joined { KJ_FAIL_ASSERT("no workers here"); },
                    nullptr};

  Env() { clients.bind(events); }

  kj::Promise<void> committed() {
    if (!holdsCommits) return kj::READY_NOW;
    auto paf = kj::newPromiseAndFulfiller<void>();
    commits.add(kj::mv(paf.fulfiller));
    return kj::mv(paf.promise);
  }
  // Until nothing has happened for 20 ms.
  void settle() {
    for (size_t before = ~size_t(0); before != core.tasks.size();) {
      before = core.tasks.size();
      io.provider->getTimer().afterDelay(20 * kj::MILLISECONDS).wait(io.waitScope);
    }
  }
  Listener listener(Listener::Bounds bounds) { return Listener(io, services, bounds); }
};

Listener::Bounds bounds(size_t connections, size_t handshakes, kj::Duration handshake = 10 * kj::SECONDS) {
  Listener::Bounds bounds;
  bounds.connectionsMax = connections;
  bounds.handshakesMax = handshakes;
  bounds.handshake = handshake;
  return bounds;
}

void write(kj::StringPtr token, schema::Hello::Builder hello) {
  hello.setProtocolMin(1);
  hello.setProtocolMax(1);
  hello.setToken(token.asBytes());
}

// This process's own socket whose peer is `address`; -1 if there is none.
int socketConnectedTo(const sockaddr_in& address) {
  for (int fd = 0; fd < 1024; fd++) {
    sockaddr_in peer = {};
    socklen_t length = sizeof(peer);
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0 || peer.sin_family != AF_INET) continue;
    if (peer.sin_port == address.sin_port) return fd;
  }
  return -1;
}

int unacknowledgedMs(int socket) {
  int value = -1;
  socklen_t length = sizeof(value);
  getsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &length);
  return value;
}

// One end is the listener's, the other speaks the protocol.
struct Caller {
  kj::Own<kj::AsyncIoStream> stream;
  capnp::TwoPartyClient rpc;

  explicit Caller(kj::Own<kj::AsyncIoStream> end) : stream(kj::mv(end)), rpc(*stream) {}
  auto open(uint64_t space = 0) {
    auto request = rpc.bootstrap().castAs<schema::Gateway>().openClientRequest();
    write("", request.initHello());
    request.setSpace(space);
    return request.send();
  }
};

struct Connected {
  Env& env;
  Listener& listener;
  kj::Own<Caller> operator()() {
    auto pipe = env.io.provider->newTwoWayPipe();
    listener.serve(kj::mv(pipe.ends[0]));
    return kj::heap<Caller>(kj::mv(pipe.ends[1]));
  }
};

// Within 100 ms: a process boundary's worth of patience, though there is none.
bool resolves(Env& env, kj::Promise<void> promise) {
  auto late = env.io.provider->getTimer().afterDelay(100 * kj::MILLISECONDS).then([]() { return false; });
  return promise.then([]() { return true; }, [](kj::Exception&&) { return true; })
      .exclusiveJoin(kj::mv(late))
      .wait(env.io.waitScope);
}

// By the other side. A caller that has called is told by the RPC system, which reads; of one that has not, nobody reads yet.
bool isClosed(Env& env, Caller& caller) { return resolves(env, caller.rpc.onDisconnect()); }
bool isClosedUnused(Env& env, Caller& caller) {
  byte sink;
  return resolves(env, caller.stream->tryRead(&sink, 1, 1).ignoreResult());
}

TEST(Listener, TurnsAwayConnectionsPastTheBound) {
  Env env;
  auto listener = env.listener(bounds(2, 10));
  Connected connect{env, listener};
  auto first = connect(), second = connect();
  first->open().wait(env.io.waitScope);
  second->open().wait(env.io.waitScope);
  auto third = connect();
  EXPECT_TRUE(isClosedUnused(env, *third));
  EXPECT_EQ(env.services.figures.connections, 2u);
  EXPECT_EQ(env.services.figures.connectionsRefused, 1u);
  first = nullptr;
  while (env.services.figures.connections == 2)
    env.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(env.io.waitScope);
  auto fourth = connect();
  fourth->open().wait(env.io.waitScope);
}

TEST(Listener, TurnsAwayStrangersPastTheirBoundAndServesThoseItKnows) {
  Env env;
  auto listener = env.listener(bounds(100, 2));
  Connected connect{env, listener};
  auto known = connect();
  known->open().wait(env.io.waitScope);
  auto first = connect(), second = connect(), third = connect();
  EXPECT_TRUE(isClosedUnused(env, *third));
  first->open().wait(env.io.waitScope);  // greeted: it counts no more
  auto fourth = connect();
  fourth->open().wait(env.io.waitScope);
}

TEST(Listener, ClosesWhoSaysNoHelloInTime) {
  Env env;
  auto listener = env.listener(bounds(100, 100, 20 * kj::MILLISECONDS));
  Connected connect{env, listener};
  auto silent = connect(), greeted = connect();
  greeted->open().wait(env.io.waitScope);
  EXPECT_TRUE(isClosedUnused(env, *silent));
  EXPECT_FALSE(isClosed(env, *greeted));
  EXPECT_EQ(env.services.figures.connections, 1u);
}

TEST(Listener, ClosesWhoTriesTooOftenToSayHello) {
  Env env;
  auto listener = env.listener(bounds(100, 100));
  auto token = Token::of("00112233445566778899aabbccddeeff");
  env.services.token = token;
  Connected connect{env, listener};
  auto guesser = connect();
  for (uint i = 0; i < HELLOS_MAX - 1; i++) EXPECT_ANY_THROW(guesser->open().wait(env.io.waitScope));
  EXPECT_FALSE(isClosed(env, *guesser));
  EXPECT_ANY_THROW(guesser->open().wait(env.io.waitScope));
  EXPECT_TRUE(isClosed(env, *guesser));
  EXPECT_EQ(env.services.figures.hellosRefused, HELLOS_MAX);
}

TEST(Listener, JudgesNoMoreHellosThanItsBoundHoweverManyAreSentAtOnce) {
  Env env;
  auto listener = env.listener(bounds(100, 100));
  auto token = Token::of("00112233445566778899aabbccddeeff");
  env.services.token = token;
  Connected connect{env, listener};
  auto guesser = connect();
  auto gateway = guesser->rpc.bootstrap().castAs<schema::Gateway>();
  kj::Vector<kj::Promise<void>> guesses;
  for (uint i = 0; i < 20 * HELLOS_MAX; i++) {
    auto request = gateway.openClientRequest();
    write("wrong", request.initHello());
    guesses.add(request.send().ignoreResult().catch_([](kj::Exception&&) {}));
  }
  auto right = gateway.openClientRequest();
  write("00112233445566778899aabbccddeeff", right.initHello());
  EXPECT_ANY_THROW(right.send().ignoreResult().wait(env.io.waitScope)) << "it comes too late";
  kj::joinPromises(guesses.releaseAsArray()).wait(env.io.waitScope);
  EXPECT_TRUE(isClosed(env, *guesser));
  EXPECT_EQ(env.services.figures.hellosRefused, HELLOS_MAX);
  EXPECT_EQ(env.core.clients.size(), 0u);
}

// Submissions of a kilobyte each, none of which is answered before the store has committed it.
TEST(Listener, ReadsNoMoreOfAPeerWhoseUnansweredCallsFillTheBound) {
  constexpr uint CALLS = 64, CALL_WORDS = 128, BOUND_WORDS = 8 * CALL_WORDS;
  Env env;
  env.holdsCommits = true;
  auto small = bounds(10, 10);
  small.flowWordsMax = BOUND_WORDS;
  auto listener = env.listener(small);
  Connected connect{env, listener};
  auto caller = connect();
  auto session = caller->open().wait(env.io.waitScope).getSession();
  kj::Vector<kj::Promise<void>> receipts;
  for (uint i = 0; i < CALLS; i++) {
    auto request = session.submitRequest();
    auto batch = request.initBatch();
    if (i == 0) batch.initFunctions(1)[0].setHashLow(1);
    auto task = batch.initTasks(1)[0];
    task.setSeq(i + 1);
    task.initArguments().initPickle(CALL_WORDS * sizeof(capnp::word));
    receipts.add(request.send().ignoreResult().eagerlyEvaluate(nullptr));
  }
  env.settle();
  EXPECT_GE(env.core.tasks.size(), 2u) << "it reads until the bound is full";
  EXPECT_LE(env.core.tasks.size(), BOUND_WORDS / CALL_WORDS + 1) << "the call that fills it is the last";
  while (env.core.tasks.size() < CALLS) {
    ASSERT_GT(env.commits.size(), 0u) << "an answer makes room for the next call";
    for (auto& commit : env.commits) commit->fulfill();
    env.commits.clear();
    env.settle();
  }
  for (auto& commit : env.commits) commit->fulfill();
  kj::joinPromises(receipts.releaseAsArray()).wait(env.io.waitScope);
}

TEST(Listener, GivesUpATcpPeerThatAcknowledgesNothing) {
  Env env;
  auto listener = env.listener(bounds(10, 10));
  auto address = listener.listen(KJ_ASSERT_NONNULL(rt::parseAddress("tcp://127.0.0.1:0"))).wait(env.io.waitScope);
  auto stream = env.io.provider->getNetwork()
                    .parseAddress(address.forKj())
                    .then([](kj::Own<kj::NetworkAddress> parsed) { return parsed->connect(); })
                    .wait(env.io.waitScope);
  sockaddr_in own = {};
  uint length = sizeof(own);
  stream->getsockname(reinterpret_cast<sockaddr*>(&own), &length);
  Caller caller(kj::mv(stream));
  caller.open().wait(env.io.waitScope);
  EXPECT_EQ(unacknowledgedMs(socketConnectedTo(own)), UNACKNOWLEDGED_MS_MAX);
}

TEST(Listener, EndsItsConnectionsWithItself) {
  Env env;
  auto pipe = env.io.provider->newTwoWayPipe();
  kj::Own<Caller> caller = kj::heap<Caller>(kj::mv(pipe.ends[1]));
  {
    auto listener = env.listener(bounds(10, 10));
    listener.serve(kj::mv(pipe.ends[0]));
    auto space = caller->open().wait(env.io.waitScope).getSpace();
    EXPECT_TRUE(env.core.clients.at(SpaceId(space)).connected);
  }
  for (auto& [space, client] : env.core.clients) EXPECT_FALSE(client.connected);
  env.core.checkInvariants();
}

TEST(Receipt, WaitsForTheStoreAndTheTasksAreAcceptedEvenIfNobodyHearsIt) {
  Env env;
  env.holdsCommits = true;
  auto listener = env.listener(bounds(10, 10));
  Connected connect{env, listener};
  auto caller = connect();
  auto opened = caller->open().wait(env.io.waitScope);
  auto request = opened.getSession().submitRequest();
  auto batch = request.initBatch();
  batch.initFunctions(1)[0].setHashLow(1);
  batch.initTasks(1)[0].setSeq(1);
  auto receipt = request.send();
  bool answered = false;
  auto watching = receipt.then([&](auto&&) { answered = true; }, [](kj::Exception&&) {}).eagerlyEvaluate(nullptr);
  while (env.commits.size() == 0) env.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(env.io.waitScope);
  EXPECT_EQ(env.core.tasks.size(), 1u);
  EXPECT_FALSE(answered);
  watching = kj::READY_NOW;
  caller = nullptr;  // gone in the middle
  while (env.services.figures.connections > 0)
    env.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(env.io.waitScope);
  EXPECT_EQ(env.core.tasks.size(), 1u);
  env.core.checkInvariants();
  for (auto& commit : env.commits) commit->fulfill();
  env.settle();  // the call that nobody hears ends here, and with it its session, which needs the services
}

TEST(Functions, AnIdUsedAgainNamesTheNewFunctionAndReleasesTheOld) {
  Env env;
  env.core.limits.functionsMax = 4;
  auto listener = env.listener(bounds(10, 10));
  Connected connect{env, listener};
  auto caller = connect();
  auto session = caller->open().wait(env.io.waitScope).getSession();
  auto tell = [&](uint32_t id, uint64_t hash) {
    auto request = session.submitRequest();
    auto function = request.initBatch().initFunctions(1)[0];
    function.setId(id);
    function.setHashLow(hash);
    request.send().ignoreResult().wait(env.io.waitScope);
  };
  for (uint64_t hash = 1; hash <= 50; hash++) tell(hash % 2, hash);  // a lambda in a loop, two ids
  EXPECT_LE(env.core.functions.size(), 4u);
  EXPECT_EQ(env.core.functions.at(FunctionHash{0, 50}).references, 1u);
  tell(7, 51);
  tell(8, 52);
  EXPECT_ANY_THROW(tell(9, 53)) << "five ids want five functions";
  session = nullptr;
  caller = nullptr;
  while (env.services.figures.connections > 0)
    env.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(env.io.waitScope);
  for (auto& [hash, function] : env.core.functions) EXPECT_EQ(function.references, 0u);
}

}  // namespace
}  // namespace epochly::rpc

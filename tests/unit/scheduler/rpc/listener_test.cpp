// Connections: bounds on their number and on their handshake. Real sockets, small bounds.
#include "rpc/listener.h"

#include <capnp/rpc-twoparty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/client_links.h"
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
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> commit;  // while `holdsCommits`
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
    commit = kj::mv(paf.fulfiller);
    return kj::mv(paf.promise);
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

// One end is the listener's, the other speaks the protocol.
struct Caller {
  kj::Own<kj::AsyncIoStream> stream;
  capnp::TwoPartyClient rpc;

  explicit Caller(kj::Own<kj::AsyncIoStream> end) : stream(kj::mv(end)), rpc(*stream) {}
  auto open(uint64_t space = 0) {
    auto request = rpc.bootstrap().castAs<schema::Gateway>().openClientRequest();
    auto hello = request.initHello();
    hello.setProtocolMin(1);
    hello.setProtocolMax(1);
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
  env.io.provider->getTimer().afterDelay(5 * kj::MILLISECONDS).wait(env.io.waitScope);
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
  for (int i = 0; i < 3; i++) EXPECT_ANY_THROW(guesser->open().wait(env.io.waitScope));
  EXPECT_TRUE(isClosed(env, *guesser));
  EXPECT_EQ(env.services.figures.hellosRefused, 3u);
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
  while (env.commit == nullptr) env.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(env.io.waitScope);
  EXPECT_EQ(env.core.tasks.size(), 1u);
  EXPECT_FALSE(answered);
  watching = kj::READY_NOW;
  caller = nullptr;  // gone in the middle
  while (env.services.figures.connections > 0)
    env.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(env.io.waitScope);
  EXPECT_EQ(env.core.tasks.size(), 1u);
  env.core.checkInvariants();
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

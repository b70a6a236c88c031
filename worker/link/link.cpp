#include "link/link.h"

#include <random>

#include <kj/debug.h>

#include "rt/log.h"
#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::link {

namespace {

uint64_t randomNumber() {
  static std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

bool isFinal(const kj::Exception& e) {
  auto code = codeOf(e);
  return code == ErrorCode::UNAUTHENTICATED || code == ErrorCode::PROTOCOL_MISMATCH || code == ErrorCode::INVALID_ARGUMENT;
}

}  // namespace

Link::Link(kj::Timer& timer, Dialer& dialer, kj::Own<Introduction> introduction, run::Supervisor& supervisor,
           LinkObserver& observer)
    : timer(timer), dialer(dialer), introduction(kj::mv(introduction)), supervisor(supervisor), observer(observer) {}

Link::~Link() noexcept {}

kj::Promise<kj::Maybe<Refused>> Link::run() { return attempt(); }

void Link::drain() {
  after = After::EXIT;
  drainAsked.fulfiller->fulfill();
}

// ---- connecting ----------------------------------------------------------------------------------------------------

kj::Promise<Link::End> Link::attempt() {
  if (after == After::EXIT) return End(nullptr);
  auto deadline = timer.afterDelay(HANDSHAKE_MS * kj::MILLISECONDS).then([]() {
    kj::throwFatalException(makeError(ErrorCode::DISCONNECTED, kj::str("no answer within ", HANDSHAKE_MS, " ms")));
  });
  return connectAndJoin()
      .exclusiveJoin(kj::mv(deadline))
      .exclusiveJoin(drainStarted.addBranch())
      .then([this]() { return serve(); }, [this](kj::Exception&& e) { return onFailed(kj::mv(e)); });
}

kj::Promise<void> Link::connectAndJoin() {
  return dialer.dial()
      .then([this](kj::Own<Route>&& route) {
        return connection.emplace(kj::heap<Connection>(kj::mv(route), supervisor, timer))->join(*introduction);
      })
      .then([this](Joined joined) {
        joinedAt = timer.now();
        told = false;
        rt::log::info("joined the scheduler at ", dialer.name(), " as worker ", joined.id.value);
        observer.onJoined(joined.id);
      });
}

kj::Promise<Link::End> Link::onFailed(kj::Exception&& e) {
  disconnect();
  if (isFinal(e)) return End(Refused{messageOf(e)});
  if (!told)
    rt::log::warning("cannot join the scheduler at ", dialer.name(), ": ", messageOf(e), "; trying again until it answers");
  told = true;
  return again();
}

kj::Promise<Link::End> Link::again() {
  return timer.afterDelay(retry.next(randomNumber())).exclusiveJoin(drainStarted.addBranch()).then([this]() {
    return attempt();
  });
}

void Link::disconnect() {
  connection = nullptr;
  joinedAt = nullptr;
}

// ---- joined --------------------------------------------------------------------------------------------------------

kj::Promise<Link::End> Link::serve() {
  if (joinedAt == nullptr) {  // asked to drain while it connected
    disconnect();
    return End(nullptr);
  }
  auto& joined = *KJ_ASSERT_NONNULL(connection);
  auto cause = joined.onDrainCause().then([this](DrainCause cause) {
    if (after == After::SERVE) after = cause == DrainCause::SCHEDULER_ASKED ? After::EXIT : After::REJOIN;
  });
  using Why = kj::Maybe<kj::String>;  // of the loss; none: drained
  auto left =
      cause.exclusiveJoin(drainStarted.addBranch()).then([this]() { return drainAndLeave(); }).then([]() { return Why(); });
  auto lost = joined.onLost().then([](kj::String why) { return Why(kj::mv(why)); });
  return lost.exclusiveJoin(kj::mv(left)).then([this](Why why) {
    KJ_IF_MAYBE(reason, why) return onLost(*reason);
    return onLeft();
  });
}

kj::Promise<Link::End> Link::onLost(kj::StringPtr why) {
  retry.connectionLasted(timer.now() - KJ_ASSERT_NONNULL(joinedAt));
  disconnect();
  supervisor.connectionLost();
  observer.onLost(why);
  if (after == After::EXIT) return End(nullptr);
  rt::log::warning("lost the scheduler at ", dialer.name(), ": ", why, "; what ran is stopped, joining again");
  if (after == After::REJOIN) {
    after = After::SERVE;
    supervisor.resume();
  }
  return again();
}

kj::Promise<void> Link::drainAndLeave() {
  rt::log::info(after == After::EXIT ? "leaving: what has begun is finished first"
                                     : "joining anew, to forget old functions");
  auto& joined = *KJ_ASSERT_NONNULL(connection);
  // A leave that fails changes nothing: what still comes is given back.
  return joined.leave()
      .catch_([](kj::Exception&&) {})
      .then([this]() {
        supervisor.drain();
        return supervisor.onDrained();
      })
      .then([this]() { return KJ_ASSERT_NONNULL(connection)->onQuiet(); });
}

kj::Promise<Link::End> Link::onLeft() {
  disconnect();
  supervisor.connectionLost();
  if (after == After::EXIT) return End(nullptr);
  supervisor.forgetFunctions();
  supervisor.resume();
  after = After::SERVE;
  return attempt();
}

}  // namespace epochly::link

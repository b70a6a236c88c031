// The worker's one reconnect state machine: connect, join, serve until the connection is lost, wait, again.
#pragma once

#include "link/connection.h"
#include "link/retry.h"
#include "link/route.h"

namespace epochly::link {

// The scheduler will not have this worker, and asking again will not change that.
struct Refused {
  kj::String why;
};

// Told when things happen that people and metrics want to know.
class LinkObserver {
 public:
  virtual ~LinkObserver() = default;
  virtual void onJoined(WorkerId id) = 0;
  virtual void onLost(kj::StringPtr why) = 0;
};

// Lives on the daemon's loop.
class Link {
 public:
  Link(kj::Timer& timer, Dialer& dialer, kj::Own<Introduction> introduction, run::Supervisor& supervisor,
       LinkObserver& observer);
  ~Link() noexcept;
  KJ_DISALLOW_COPY(Link);

  // Until the worker has drained (none) or is refused. Call once.
  kj::Promise<kj::Maybe<Refused>> run();
  // Takes no more work, gives back what has not begun, finishes and reports the rest; then run() resolves. Also done when the
  // scheduler asks for it.
  void drain();
  kj::Promise<void> onDrain() { return drainStarted.addBranch(); }
  bool joined() const { return joinedAt != nullptr; }

 private:
  // What becomes of the worker when it has drained.
  enum class After : uint8_t { SERVE, REJOIN, EXIT };

  kj::Timer& timer;
  Dialer& dialer;
  kj::Own<Introduction> introduction;
  run::Supervisor& supervisor;
  LinkObserver& observer;
  RetryDelay retry;
  kj::Maybe<kj::Own<Connection>> connection;
  kj::Maybe<kj::TimePoint> joinedAt;
  After after = After::SERVE;
  bool told = false;  // that the scheduler cannot be reached, once per outage
  kj::PromiseFulfillerPair<void> drainAsked = kj::newPromiseAndFulfiller<void>();
  kj::ForkedPromise<void> drainStarted = drainAsked.promise.fork();

  using End = kj::Maybe<Refused>;
  kj::Promise<End> attempt();
  kj::Promise<void> connectAndJoin();
  kj::Promise<End> serve();
  kj::Promise<void> drainAndLeave();
  kj::Promise<End> onFailed(kj::Exception&& e);
  kj::Promise<End> onLost(kj::StringPtr why);
  kj::Promise<End> onLeft();
  kj::Promise<End> again();
  void disconnect();
};

}  // namespace epochly::link

// One joined connection to a scheduler, from the handshake until it is lost.
#pragma once

#include <capnp/message.h>
#include <kj/timer.h>

#include "link/route.h"
#include "run/supervisor.h"
#include "scheduler.capnp.h"

namespace epochly::link {

// What the worker says of itself; the same at every join.
struct Introduction {
  kj::Array<byte> token;             // empty: none
  capnp::MallocMessageBuilder info;  // root: schema::WorkerInfo
};

struct Joined {
  WorkerId id;
  kj::Duration heartbeat;
};

// Calls of results in flight: one on its way while the scheduler works on the other. What ends meanwhile goes with the next, so
// that calls grow as the scheduler gets slower.
constexpr uint RESULT_CALLS_MAX = 2;
// A scheduler that refused results for now (OVERLOADED) is asked again after this.
constexpr kj::Duration RESULTS_RETRY = 100 * kj::MILLISECONDS;

// Why a worker that is joined should stop taking work.
enum class DrainCause : uint8_t {
  SCHEDULER_ASKED,
  FUNCTION_TABLE_FULL,  // join anew, with an empty one
};

// Lives on the daemon's loop.
class Connection final : private run::ResultSink, private kj::TaskSet::ErrorHandler {
 public:
  Connection(kj::Own<Route> route, run::Supervisor& supervisor, kj::Timer& timer);
  ~Connection() noexcept;
  KJ_DISALLOW_COPY(Connection);

  // The handshake; call once.
  kj::Promise<Joined> join(Introduction& introduction);
  // Resolves when the connection is lost, for whatever reason, saying which. Call once, after join().
  kj::Promise<kj::String> onLost();
  // Resolves at most once. Call once.
  kj::Promise<DrainCause> onDrainCause();
  // No new work after this resolves.
  kj::Promise<void> leave();
  // Resolves when every result that was taken from the outbox has been acknowledged. Call once.
  kj::Promise<void> onQuiet();

 private:
  class Sink;

  run::Supervisor& supervisor;
  kj::Timer& timer;
  kj::Own<Route> route;
  kj::Maybe<Sink&> sink;  // the scheduler holds it; detached when this ends
  kj::Maybe<schema::WorkerSession::Client> session;
  kj::PromiseFulfillerPair<kj::String> lost = kj::newPromiseAndFulfiller<kj::String>();
  kj::PromiseFulfillerPair<DrainCause> drainCause = kj::newPromiseAndFulfiller<DrainCause>();
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> quietWaiter;
  uint callsInFlight = 0;
  uint beatsUnanswered = 0;
  kj::TaskSet tasks;

  void resultsReady() override;
  void sendResults(kj::Array<run::PendingResult> batch);
  void onResultsAnswered();
  kj::Promise<void> beatLoop(kj::Duration interval);
  void beat();
  void lose(kj::String why);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace epochly::link

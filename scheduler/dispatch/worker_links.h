// The scheduler's connections to its workers: what the core wants sent is noted during events and written once per loop turn.
#pragma once

#include <deque>
#include <unordered_map>

#include <kj/async.h>
#include <kj/function.h>
#include <kj/time.h>

#include "events/events.h"
#include "worker.capnp.h"

namespace epochly::dispatch {

// Written to one worker and not yet taken by it. 8 MiB are 3 ms of a 25 Gbit/s link: more only fills the memory of both ends.
// One batch may pass it, so a large payload still travels; what is behind waits as a name, its payload stays in the core.
constexpr size_t LINK_BYTES_IN_FLIGHT_MAX = 8u << 20;
// Functions named on one connection. A worker keeps each, so past it the connection is closed and the worker starts anew.
constexpr uint32_t LINK_FUNCTIONS_MAX = 65'536;

// Lives on the scheduler's kj loop. Implements the core's WorkerPort by taking notes only.
class WorkerLinks final : public core::WorkerPort, private kj::TaskSet::ErrorHandler {
 public:
  // Closes a worker's connection on a later turn of the loop.
  using Close = kj::Function<void(kj::StringPtr why)>;

  WorkerLinks(const core::Core& core, const kj::MonotonicClock& clock);
  ~WorkerLinks() noexcept override {}
  KJ_DISALLOW_COPY(WorkerLinks);
  // Before anything else: events need their ports first.
  void bind(events::Events& target) { events = &target; }

  // ---- connections ----
  // Throws what Events::onJoin throws.
  WorkerId join(core::WorkerSpec spec, schema::WorkerSink::Client sink, Close close);
  // Its connection is gone. Nothing happens if the core dropped it before.
  void lost(WorkerId worker, kj::StringPtr why);
  void results(WorkerId worker, kj::ArrayPtr<events::AttemptReport> reports);
  void heartbeat(WorkerId worker, const core::Load& load);
  void leave(WorkerId worker);
  size_t count() const { return links.size(); }

  // ---- core::WorkerPort ----
  void send(WorkerId worker, TaskId task, Attempt attempt) override;
  void cancel(WorkerId worker, TaskId task, Attempt attempt) override;
  void recall(WorkerId worker, TaskId task, Attempt attempt) override;
  void discard(WorkerId worker, TaskId task, Attempt attempt) override;
  void drop(WorkerId worker, kj::StringPtr why) override;

 private:
  struct AttemptName {
    TaskId task;
    Attempt attempt;
  };

  struct Link {
    // None between the core's first send and the end of join(), which are one turn.
    kj::Maybe<schema::WorkerSink::Client> sink;
    kj::Maybe<Close> close;
    // Noted and not yet written. Each was current when noted; whether it still is shows when it is written.
    std::deque<AttemptName> pending;
    kj::Vector<AttemptName> cancels;
    kj::Vector<AttemptName> recalls;
    kj::Vector<AttemptName> discards;
    std::unordered_map<FunctionHash, uint32_t> functionIds;  // those this connection was told
    size_t bytesInFlight = 0;
    bool isDirty = false;  // in `dirty`
    bool isSpent = false;  // its next task needs a function past LINK_FUNCTIONS_MAX
  };

  // One `run` call in the making. Its tasks and functions live in the core; nothing else happens before it is written.
  struct Batch {
    kj::Vector<const core::Task*> tasks;
    kj::Vector<const core::Function*> functions;  // new to the connection
    size_t words = 0;

    bool isFull() const;
  };

  const core::Core& core;
  const kj::MonotonicClock& clock;
  events::Events* events = nullptr;
  std::unordered_map<WorkerId, kj::Own<Link>> links;
  kj::Vector<WorkerId> dirty;
  kj::Vector<kj::Own<Link>> dropped;  // released on the next turn: closing is I/O
  bool isFlushScheduled = false;
  Batch batch;  // kept for its capacity
  kj::TaskSet tasks;

  Link& linkOf(WorkerId worker);
  void note(WorkerId worker, kj::Vector<AttemptName> Link::*list, AttemptName name);
  void touch(WorkerId worker, Link& link);
  void flush();
  void write(WorkerId worker, Link& link);
  void fillBatch(WorkerId worker, Link& link);
  void sendBatch(WorkerId worker, Link& link, schema::WorkerSink::Client& sink);
  void sendCancels(WorkerId worker, Link& link, schema::WorkerSink::Client& sink);
  void sendRecalls(WorkerId worker, Link& link, schema::WorkerSink::Client& sink);
  void sendDiscards(WorkerId worker, Link& link, schema::WorkerSink::Client& sink);
  template <typename NewRequest>
  void sendNames(WorkerId worker, kj::ArrayPtr<const AttemptName> names, NewRequest&& newRequest);
  const core::Task* current(WorkerId worker, const AttemptName& name) const;
  // A function that the connection was not told gets an id and a place in the batch. False: send
  // what the batch has before its task.
  bool includeFunction(WorkerId worker, Link& link, const core::Function& function);
  // The worker answered a call with an error, or not at all.
  void onCallFailed(WorkerId worker, kj::Exception&& error);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace epochly::dispatch

// The scheduler's process as simulated: the real core, and around it what rpc and dispatch do.
#pragma once

#include <map>
#include <set>

#include "sim/history.h"
#include "sim/wire.h"

namespace epochly::sim {

// The client's end, called when a message has arrived there.
class ClientPeer {
 public:
  virtual ~ClientPeer() = default;
  virtual void onWelcome(Wire& wire, SpaceId space) = 0;
  virtual void onTurnedAway(Wire& wire, ErrorCode why) = 0;
  // accepted: of submission `number`. retryAfter: set when that is not all.
  virtual void onReceipt(Wire& wire, uint64_t number, size_t accepted, kj::Maybe<kj::Duration> retryAfter) = 0;
  virtual void onRefused(Wire& wire, uint64_t number, ErrorCode why) = 0;
  virtual void onResults(Wire& wire, const std::vector<ClientResult>& results) = 0;
};

// The worker's end.
class WorkerPeer {
 public:
  virtual ~WorkerPeer() = default;
  virtual void onJoined(Wire& wire, WorkerId id) = 0;
  virtual void onTurnedAway(Wire& wire, ErrorCode why) = 0;
  virtual void onRun(Wire& wire, const std::vector<Assignment>& assignments) = 0;
  virtual void onCancel(Wire& wire, const std::vector<AttemptName>& attempts) = 0;
  virtual void onRecall(Wire& wire, const std::vector<AttemptName>& attempts) = 0;
};

// Ports take notes during an event; notes are acted on at the end of the turn, when tables may have changed again.
class Scheduler final : public core::WorkerPort, public core::ClientPort, public core::TimerPort {
 public:
  Scheduler(Context& context, const std::vector<FunctionSpec>& functions);

  // ---- messages from clients, by the connection they came on ----
  void onOpen(Wire& wire, ClientPeer& peer, SpaceId wanted);
  void onSubmit(Wire& wire, const Submission& submission);
  void onCancel(Wire& wire, const std::vector<uint64_t>& seqs);
  void onResultsReturned(Wire& wire);
  void onClose(Wire& wire);

  // ---- messages from workers ----
  void onJoin(Wire& wire, WorkerPeer& peer, const WorkerSketch& sketch);
  void onReports(Wire& wire, const std::vector<Report>& reports);
  void onHeartbeat(Wire& wire, const core::Load& load);
  void onLeave(Wire& wire);

  // ---- what happens to the process ----
  void stall(kj::Duration duration);
  void drain();

  // ---- for mischief: one event of the core, under all rules ----
  // Runs `event`; the error it was refused with, NONE if it was not.
  ErrorCode happen(kj::Function<void()> event);
  void submit(SpaceId space, const std::vector<TaskSpec>& tasks, events::Receipt& receipt);
  void report(WorkerId worker, const std::vector<Report>& reports);
  void tick();
  events::Events& rawEvents() { return events; }

  const core::Core& tables() const { return core; }
  bool hasClientConnections() const { return !clients.empty(); }
  History& books() { return history; }

 private:
  struct ClientSession {
    Wire& wire;
    ClientPeer& peer;
    SpaceId space;
    bool present = true;               // no newer connection has resumed its space
    std::map<uint, FunctionHash> ids;  // each pins its function
    std::deque<size_t> unanswered;     // result batches under way, by size
  };
  struct WorkerSession {
    Wire& wire;
    WorkerPeer& peer;
    WorkerId id;
    std::set<FunctionHash> functionsSent;
  };
  struct Batch {
    std::vector<Assignment> runs;
    std::vector<AttemptName> cancels;
    std::vector<AttemptName> recalls;
  };

  Context& context;
  const std::vector<FunctionSpec>& functions;
  Rng rng;  // of the model
  Rng coreRandom;
  core::Core core;
  History history;
  const classify::Thresholds thresholds;
  events::Events events;

  std::map<uint64_t, ClientSession> clients;  // by connection
  std::map<SpaceId, uint64_t> presentOf;      // connection of each space
  std::map<uint64_t, WorkerSession> workers;  // by connection
  std::map<WorkerId, uint64_t> connectionOf;
  std::map<FunctionHash, uint> indexOf;

  // ---- notes of this turn ----
  std::map<WorkerId, Batch> notes;
  std::vector<WorkerId> dropped;
  std::set<SpaceId> ready;
  bool turnEnds = false;  // is on the clock

  // ---- the timer ----
  kj::Maybe<kj::TimePoint> armed;
  uint64_t armedCount = 0;
  kj::TimePoint lastTick = kj::origin<kj::TimePoint>();
  uint ticksAtOnce = 0;

  // ---- ports ----
  void send(WorkerId worker, TaskId task, Attempt attempt) override;
  void cancel(WorkerId worker, TaskId task, Attempt attempt) override;
  void recall(WorkerId worker, TaskId task, Attempt attempt) override;
  void discard(WorkerId, TaskId, Attempt) override { KJ_FAIL_ASSERT("no simulated result is in shared memory"); }
  void drop(WorkerId worker, kj::StringPtr why) override;
  void resultsReady(SpaceId space) override;
  void wakeAt(kj::TimePoint when) override;

  // Actions of the process itself: none happens while it hangs.
  void later(kj::Duration delay, kj::Function<void()> action);
  void noteTurn();
  void endTurn();
  void sendBatch(WorkerId id, const Batch& batch);
  kj::Maybe<Assignment> read(WorkerId worker, const Assignment& note) const;
  void hangUp(WorkerId worker);
  void sendResults(SpaceId space);
  void fireTimer(uint64_t count);

  kj::Maybe<ClientSession&> clientOn(Wire& wire);
  void replace(ClientSession& session);
  ErrorCode tell(ClientSession& session, const Submission& submission);
  void endClient(Wire& wire);
  void endWorker(Wire& wire);
  kj::Maybe<WorkerSession&> workerOn(Wire& wire);
};

}  // namespace epochly::sim

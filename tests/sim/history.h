// What happened to every task, and the rules that must hold for it.
//
// Four witnesses tell of the same events: the core's observer, its store, the clients and the workers. The history keeps its
// own books from what they say and throws Violation where they contradict each other or a rule.
#pragma once

#include <set>
#include <unordered_map>

#include "core/observer.h"
#include "sim/context.h"
#include "sim/messages.h"

namespace epochly::sim {

class History final : public core::Observer, public core::StorePort {
 public:
  History(Context& context, const core::Core& core, const std::vector<FunctionSpec>& functions);

  // ---- the scheduler's model, around its calls of the core ----
  void clientOpened(SpaceId space);
  void clientLost(SpaceId space);
  void clientClosed(SpaceId space);
  void offering(SpaceId space, const std::vector<TaskSpec>& tasks);
  void receipted(SpaceId space, const std::vector<TaskSpec>& tasks, const events::Receipt& receipt);
  void refusedWhole(SpaceId space, const std::vector<TaskSpec>& tasks, ErrorCode why);
  void cancelling(SpaceId space, const std::vector<uint64_t>& seqs);
  void cancelled(SpaceId space, const std::vector<uint64_t>& seqs);
  void reporting(WorkerId worker, const std::vector<Report>& reports);
  void reported();
  void heard(WorkerId worker);
  // The scheduler's process does nothing in this time.
  void stalled(kj::TimePoint from, kj::TimePoint until);
  // After each event. armed: when the core has asked for its next tick.
  void afterEvent(kj::Maybe<kj::TimePoint> armed);
  void afterTick();

  // ---- clients and workers ----
  void delivered(SpaceId space, const ClientResult& result);
  void received(const WorkerSketch& worker, const Assignment& assignment);

  // ---- the world ----
  // Grows with everything of which there can be only so much: ends, losses, charged failures.
  uint64_t progress() const { return endCount + lossCount + failureCount; }
  // Nothing is pending and everybody has left: the tables must be as empty as at the start.
  void atTheEnd();
  // A task that was accepted, in order of acceptance; for mischief.
  const std::vector<TaskId>& acceptedTasks() const { return order; }
  WorkerId holderOf(TaskId id) const { return lives.at(id).worker; }
  Attempt attemptOf(TaskId id) const { return lives.at(id).attempt; }
  const TaskSpec& specOf(TaskId id) const { return lives.at(id).spec; }
  bool hasEnded(TaskId id) const { return lives.at(id).ends > 0; }

  // ---- core::Observer ----
  void submitted(const core::Task& task) override;
  void assigned(const core::Task& task, kj::Duration queued) override;
  void attemptEnded(const core::Task& task, core::AttemptEnd end) override;
  void retried(const core::Task& task) override;
  void ended(const core::Task& task, const core::Result& result, kj::Duration endToEnd) override;
  void staleResult() override;
  void workerJoined(const core::Worker& worker) override;
  void workerGone(const core::Worker& worker, kj::StringPtr why) override;

  // ---- core::StorePort ----
  void accepted(const core::Task& task) override;
  void ended(const core::Result& result) override;
  void acknowledged(TaskId task) override;

 private:
  struct Life {
    TaskSpec spec;  // as its client offered it
    bool accepted = false;
    uint32_t ends = 0;
    ClientResult end;
    Attempt attempt;  // the last that was assigned
    WorkerId worker;  // that holds it now; 0: none
    WorkerId lastWorker;
    core::AttemptEnd lastEnd = core::AttemptEnd::NOT_RUN;
    uint64_t lastEndEvent = 0;
    uint32_t failures = 0;  // attempts charged to the caller
    uint32_t retries = 0;
    uint32_t losses = 0;
    uint32_t lossesAlone = 0;  // of them, of workers that held nothing else
    bool cancelAsked = false;
    kj::TimePoint notBefore = kj::origin<kj::TimePoint>();  // of its retry
    std::vector<Attempt> received;                          // by workers
    bool delivered = false;
    bool stored = false, storedEnd = false, storeForgot = false;
  };
  // A task that waits at one worker, and another that could begin it.
  struct BesideIdle {
    TaskId task;
    WorkerId idle;           // 0: there is no such task
    uint64_t completed = 0;  // by it
    kj::TimePoint since = kj::origin<kj::TimePoint>();
  };
  struct Space {
    bool connected = true;
    kj::TimePoint lostAt = kj::origin<kj::TimePoint>();
  };

  Context& context;
  const core::Core& core;
  const std::vector<FunctionSpec>& functions;
  std::unordered_map<TaskId, Life> lives;
  std::vector<TaskId> order;
  std::map<SpaceId, Space> spaces;  // that the core must know
  std::map<WorkerId, kj::TimePoint> lastHeard;
  std::map<WorkerId, uint32_t> holding;  // attempts that each worker has now
  std::map<WorkerId, uint32_t> losing;   // lost tasks in this event, of so many; must be gone when it ends
  BesideIdle besideIdle;                 // as of the last tick, and since when
  SpaceId offeringSpace;
  WorkerId reportingWorker;
  const std::vector<Report>* reports = nullptr;
  std::vector<std::pair<kj::TimePoint, kj::TimePoint>> stalls;
  uint64_t eventNumber = 0;
  uint64_t auditCredit = 0;
  uint64_t endCount = 0, lossCount = 0, failureCount = 0, staleCount = 0, staleExpected = 0;

  Life& lifeOf(TaskId id);  // of an accepted task
  const FunctionSpec& functionOf(const Life& life) const { return functions[life.spec.function]; }
  const Report& reportOf(TaskId id, const Life& life) const;
  // From `since` until now, without the time in which the scheduler could not listen: at least and at most.
  kj::Duration listenedAtLeast(kj::TimePoint since) const;
  kj::Duration listenedAtMost(kj::TimePoint since) const;
  bool fits(const core::Worker& worker, const Life& life, Level level) const;

  // How a task may end (history_ends.cpp).
  void checkSuccess(TaskId id, const Life& life, const core::Result& result) const;
  void checkCancelled(TaskId id, const Life& life) const;
  void checkFailure(const core::Task& task, const Life& life, const core::Result& result) const;
  void checkReported(TaskId id, const Life& life, const core::Result& result, const kj::Array<byte>& stamped) const;
  void checkNoFit(const core::Task& task, const Life& life) const;
  void checkLevel(TaskId id, const Life& life, const core::Result& result) const;
  void checkGivenUp(TaskId id, const Life& life) const;

  // What must hold between events (rules.cpp).
  void checkTotals() const;
  void checkLimits() const;
  void checkTimer(kj::Maybe<kj::TimePoint> armed) const;
  void checkSpaces() const;
  void checkSilence() const;
  void checkRecalls();
  BesideIdle waitingBesideIdle() const;
  bool anyRecalled() const;
  void checkRefusal(SpaceId space, const TaskSpec& task) const;
  void audit();
  void checkBooks() const;
  void checkPlacement() const;
};

}  // namespace epochly::sim

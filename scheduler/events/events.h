// The only code that changes Core. Each on*() takes one thing that happened and the time; effects leave through Ports.
#pragma once

#include "admission/admission.h"
#include "classify/classify.h"
#include "core/core.h"
#include "core/observer.h"
#include "core/outbox.h"
#include "route/router.h"

namespace epochly::events {

// A function as a client's connection tells of it.
struct NewFunction {
  FunctionHash hash;
  kj::String name;
  kj::Array<byte> code;
  PythonVersion pythonVersion;
  kj::String module;
  core::Hints hints;
};

struct NewTask {
  uint64_t seq = 0;
  FunctionHash function;  // told with onFunction before
  int8_t level = -1;      // 0..4 or -1; anything else ends the task with INVALID_ARGUMENT
  uint32_t retriesMax = 0;
  uint32_t timeoutMs = 0;
  double dataSize = core::UNKNOWN;
  Payload arguments;
};

struct Receipt {
  uint32_t accepted = 0;               // a prefix of the batch
  kj::Maybe<kj::Duration> retryAfter;  // set when that is not all of it
};

// How an attempt ended, as the worker tells it.
struct AttemptReport {
  TaskId task;
  Attempt attempt;
  bool notRun = false;
  kj::Maybe<Failure> failure;  // none: `value`
  Payload value;
  Level levelRan = Level::MONITOR;
  kj::Vector<core::Decline> declined;
  core::Timings timings;
  double loopIterations = core::UNKNOWN;
  double dataSize = core::UNKNOWN;
};

// Lives on the scheduler's kj loop; not reentrant (ports only take notes).
class Events {
 public:
  Events(core::Core& core, core::Ports ports, core::Observer& observer, const classify::Thresholds& thresholds);
  KJ_DISALLOW_COPY(Events);

  // ---- clients ----
  // Resumes `wanted` if it is known; if not (0, or forgotten since), opens a fresh random one. `host`: whose shared memory the
  // client can open, 0 = unknown. Throws OVERLOADED or SHUTTING_DOWN.
  SpaceId onClientOpen(SpaceId wanted, HostId host, kj::TimePoint now);
  // Connection lost: results and tasks are kept for Limits::clientGrace.
  void onClientLost(SpaceId space, kj::TimePoint now);
  // Closed on purpose: its tasks are cancelled, its results dropped.
  void onClientClosed(SpaceId space, kj::TimePoint now);
  // Makes a function known and pins it for the caller's connection; pair with releaseFunction. Throws OVERLOADED,
  // PAYLOAD_TOO_LARGE or INVALID_ARGUMENT.
  void onFunction(NewFunction function);
  void releaseFunction(FunctionHash hash);
  void onWorkload(FunctionHash hash, const core::Workload& workload);
  // Throws INVALID_ARGUMENT if a function is not known, NOT_FOUND if the space is not open.
  Receipt onSubmit(SpaceId space, kj::ArrayPtr<NewTask> tasks, kj::TimePoint now);
  void onCancel(SpaceId space, kj::ArrayPtr<const uint64_t> seqs, kj::TimePoint now);
  // The client's connection has written results [sent, sent + count): advances Client::sent.
  void onResultsSent(SpaceId space, size_t count);
  // The client has the oldest `count` results.
  void onAcknowledged(SpaceId space, size_t count);

  // ---- workers ----
  WorkerId onJoin(core::WorkerSpec spec, kj::TimePoint now);  // throws OVERLOADED
  void onHeartbeat(WorkerId worker, const core::Load& load, kj::TimePoint now);
  // Reports about attempts that are not current are counted as stale and dropped.
  void onResults(WorkerId worker, kj::ArrayPtr<AttemptReport> reports, kj::TimePoint now);
  void onFunctionSent(WorkerId worker, FunctionHash hash);
  void onWorkerLeaving(WorkerId worker, kj::TimePoint now);
  // Its tasks go back to the queue; those that may have begun are charged one loss.
  void onLost(WorkerId worker, kj::StringPtr why, kj::TimePoint now);

  // ---- time ----
  // Missed heartbeats, due retries, expired graces. Safe to call at any time.
  void onTick(kj::TimePoint now);
  // SIGTERM: nothing new is accepted from here on.
  void onDrain(kj::TimePoint now);

 private:
  core::Core& core;
  core::Ports ports;
  core::Observer& observer;
  const classify::Thresholds& thresholds;
  route::Router router;

  // The time asked of TimerPort and not yet reached.
  kj::Maybe<kj::TimePoint> armedFor;
  kj::TimePoint housekeepingAt = kj::origin<kj::TimePoint>();
  kj::TimePoint recallAt = kj::origin<kj::TimePoint>();  // when to look next, while anything was sent ahead

  // ---- one task's way (task_flow.cpp) ----
  void accept(core::Client& client, NewTask&& task, kj::TimePoint now);
  void enqueue(core::Task& task, kj::TimePoint now);
  void requeueFirst(core::Task& task, kj::TimePoint now);
  void assign(core::Task& task, core::Worker& worker, double expectedSeconds, kj::TimePoint now);
  void unassign(core::Task& task, core::Worker& worker);
  void leaveQueueOrBackoff(core::Task& task);
  void retryLater(core::Task& task, kj::TimePoint now);
  void endWith(core::Task& task, core::Result result, kj::TimePoint now);  // `task` is gone afterwards
  void endFailed(core::Task& task, Failure failure, kj::TimePoint now);
  void endCancelled(core::Task& task, kj::TimePoint now);

  // ---- attempts (attempts.cpp) ----
  void onReport(core::Worker& worker, AttemptReport&& report, kj::TimePoint now);
  void learn(core::Task& task, core::Worker& worker, const AttemptReport& report);
  core::Result resultOf(core::Task& task, const core::Worker& worker, AttemptReport&& report, kj::TimePoint now);
  // Its value will reach no client: what it has in shared memory can go.
  void discard(WorkerId worker, TaskId task, Attempt attempt, const Payload& value);
  void takeBack(core::Task& task, core::Worker& worker, bool mayHaveBegun, kj::TimePoint now);

  // ---- queues and workers (placement.cpp) ----
  core::ReadyQueue& queueFor(core::Task& task);
  void placeReady(kj::TimePoint now);
  void refit(kj::TimePoint now);
  void refitQueue(core::ReadyQueue& queue, kj::TimePoint now);
  void failUnfit(kj::TimePoint now);
  kj::Maybe<core::QueueKey> fittingKey(core::QueueKey key, Level chosen, uint8_t& notOffered) const;
  void reserve(core::Worker& worker, bool reserved);
  void reserveWorkers();

  // ---- work that waits at the wrong worker (recall.cpp) ----
  void recallWaiting(kj::TimePoint now);
  void recallFrom(core::Worker& worker, core::PoolUse& pool, kj::Vector<core::Worker*>& idle, kj::TimePoint now);

  // ---- time (ticks.cpp) ----
  void forgive(kj::Duration late, kj::TimePoint now);
  void forgetEmptyQueues();
  void dropSilentWorkers(kj::TimePoint now);
  void wakeBackoff(kj::TimePoint now);
  void forgetLostClients(kj::TimePoint now);
  void armTimer(kj::TimePoint now);

  // ---- functions (functions.cpp) ----
  void evictFunctions(size_t bytesWanted);

  core::Client& clientOf(SpaceId space);  // throws NOT_FOUND
  // After every event: place what is ready, ask for the next tick.
  void settle(kj::TimePoint now);
};

}  // namespace epochly::events

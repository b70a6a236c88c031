// The executors as the link sees them: takes attempts, gives results. Owns the processes and the rings; all decisions are the
// dispatcher's.
#pragma once

#include <map>

#include <kj/async-unix.h>

#include "run/dispatcher.h"
#include "run/executor_process.h"
#include "run/frames.h"
#include "run/outbox.h"
#include "run/result_objects.h"

namespace epochly::run {

// Told once per turn of the loop in which results were added to the outbox.
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  virtual void resultsReady() = 0;
};

struct LoadReport {
  uint32_t queued = 0;
  uint32_t running = 0;
  uint64_t residentBytes = 0;  // 0: unknown
  uint64_t executorRestarts = 0;
};

// Lives on the daemon's loop.
class Supervisor final : private ExecutorControl, private ResultPort, private kj::TaskSet::ErrorHandler {
 public:
  Supervisor(kj::UnixEventPort& port, const DispatchLimits& limits, ExecutorCommand command, ResultObjects& objects,
             Observer& observer);
  ~Supervisor() noexcept;
  KJ_DISALLOW_COPY(Supervisor);

  // Starts the executors. The promise resolves when one of every kind is ready; it fails, saying why, if they do not start.
  kj::Promise<void> start();
  // Fails when executors that used to start do not any more; never resolves.
  kj::Promise<void> onFatal();

  // ---- from the link ----
  void setSink(kj::Maybe<ResultSink&> sink);
  Outbox& outbox() { return outbox_; }
  // Throws if the batch cannot be read; what had been read by then is taken (and dropped with the connection, which does not
  // survive such a batch).
  void assign(schema::Assignments::Reader batch);
  void cancel(const AttemptName& name);
  void recall(const AttemptName& name);   // answered not run if it has not begun
  void discard(const AttemptName& name);  // nobody will take its result, which may have been given already
  void drain();
  kj::Promise<void> onDrained();  // draining, nothing held, nothing in the outbox
  void resume();                  // after a drain: takes work again
  void resultsTaken();            // from the outbox, by the sink
  void connectionLost();
  bool functionTableFull() const { return dispatcher.functionTable().full(); }
  void forgetFunctions() { dispatcher.forgetFunctions(); }
  LoadReport load() const;

  // Stops the executors; the promise resolves when all are gone.
  kj::Promise<void> shutdown();
  bool isExecutor(pid_t pid) const;
  size_t readyCount(Role role) const { return dispatcher.readyCount(role); }
  uint64_t residentBytes() const;

 private:
  // A process, its exit being watched, and what it is given in this turn.
  struct Entry {
    kj::Own<ExecutorProcess> process;
    kj::Own<kj::UnixEventPort::FdObserver> exit;
    kj::Promise<void> watching = nullptr;
    kj::Vector<Delivery> deliveries;  // valid until the end of the turn
    bool broken = false;              // it wrote what cannot be frames: not read any more
  };

  kj::UnixEventPort& port;
  const ExecutorCommand command;
  ResultObjects& objects;
  Observer& observer;
  kj::AutoCloseFd wakeFd;  // eventfd that every executor signals
  kj::UnixEventPort::FdObserver wakeObserver;
  Outbox outbox_;
  Dispatcher dispatcher;
  std::map<ExecutorId, Entry> entries;
  kj::Maybe<ResultSink&> sink;
  bool turnScheduled = false;
  bool resultsAdded = false;
  bool framesCame = false;  // in this turn
  bool framesSent = false;
  bool draining = false;
  kj::Maybe<kj::TimePoint> armedAt;  // what `alarm` waits for
  kj::Promise<void> alarm = nullptr;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> startWaiter;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> fatalWaiter;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> drainWaiter;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> goneWaiter;
  kj::TaskSet tasks;

  kj::TimePoint now() const;
  kj::Promise<void> readLoop();
  void drainRings();
  bool drainRing(ExecutorId id, Entry& entry);
  void onFrame(ExecutorId id, Entry& entry, kj::Array<capnp::word> words);
  void onExit(ExecutorId id);
  void onNotStarted(ExecutorId id, kj::String why);
  void scheduleTurn();
  void turn();
  void sendDeliveries(Entry& entry);
  void arm(kj::Maybe<kj::TimePoint> at);
  void tellWaiters();

  ExecutorProcess& process(ExecutorId id);

  // ExecutorControl
  void start(ExecutorId executor, Role role) override;
  void deliver(ExecutorId executor, const Assignment& assignment, bool withFunction) override;
  uint32_t recall(ExecutorId executor, uint32_t delivered) override;
  Progress::Last last(ExecutorId executor) override;
  kj::Vector<Progress::Begun> entered(ExecutorId executor) override;
  void stop(ExecutorId executor) override;
  void kill(ExecutorId executor) override;
  void discard(ExecutorId executor, const AttemptName& attempt) override;
  // ResultPort
  void fail(const AttemptName& name, Level level, Failure failure) override;
  void notRun(const AttemptName& name, Level level) override;
  // TaskSet::ErrorHandler
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace epochly::run

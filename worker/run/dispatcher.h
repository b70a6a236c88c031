// Who runs what: decides which executor gets which attempt, who is charged for a crash, what has run too long.
//
// Pure: time is an argument, and what is to be done leaves through the ports. Events (on*) change the tables, settle() then
// places what is waiting; the supervisor calls it once per turn of its loop, after everything that has happened in it.
#pragma once

#include <map>
#include <set>
#include <unordered_set>

#include <kj/map.h>

#include "run/observer.h"
#include "run/progress.h"
#include "wire/errors.h"

namespace epochly::run {

struct DispatchLimits {
  uint cpuSlots = 1;     // executors of role CPU
  uint ioThreads = 256;  // attempts at once in the I/O executor; at most IO_THREADS_MAX

  // Attempts held at once, and their bytes. The scheduler sends at most 16,384 to a pool and holds 2 GiB of arguments in all
  // (its Limits): twice that is a scheduler that miscounts, and what is more goes back to it not run.
  size_t heldMax = 65'536;
  size_t heldBytesMax = 4ull << 30;
  // Functions known; past either the worker joins anew, with none.
  size_t functionsMax = FUNCTIONS_MAX;
  size_t functionTableBytesMax = FUNCTION_TABLE_BYTES_MAX;

  // Work given to a busy executor ahead of time. 2 ms is some ten round trips through the rings: the executor never waits for
  // the daemon, and an attempt behind a surprise waits 2 ms before it is taken back.
  kj::Duration ahead = 2 * kj::MILLISECONDS;
  // The same, counted: what an executor does in 2 ms at best.
  uint aheadMax = 512;
  // What an attempt costs an executor beside the function itself (unpickling, pickling, rings).
  kj::Duration overhead = 5 * kj::MICROSECONDS;
  // Executors that may die under an attempt that was given to them and had not begun, before it is held to be the cause: one
  // may be bad luck, two coincidence.
  uint lossesMax = 3;
  // Executors for suspects at once: 8 Pythons are 240 MB.
  uint aloneMax = 8;
  // Threads of the I/O executor that still run what was cancelled or timed out; past it the executor is replaced. A quarter of
  // its threads, so that three quarters work at all times.
  uint abandonedMax() const { return kj::max(1u, ioThreads / 4); }
  // Functions in one executor's memory, which keeps the pickle of each; past either the executor is replaced when it falls idle.
  // Most are some kilobytes: 4096 of them are a few MiB, and a program whose functions carry data meets the second bound.
  uint functionsPerExecutorMax = 4096;
  size_t functionBytesPerExecutorMax = 256u << 20;
  // An executor that is not ready by then never will be: importing takes 0.1 s, on a cold network disk some seconds.
  kj::Duration readyDeadline = 60 * kj::SECONDS;
  // From being told to stop to being killed.
  kj::Duration stopDeadline = 5 * kj::SECONDS;
  // Executors of a role that die one after the other before they have done anything, after which the worker gives up: whatever
  // it is, it does not go away by itself.
  uint startFailuresMax = 5;
  // Before starting one again: doubled each time, so that five failures take three seconds.
  kj::Duration startDelay = 100 * kj::MILLISECONDS;
  // One that was ready, was given nothing and died this soon has not really started.
  kj::Duration goodLife = 10 * kj::SECONDS;
};

// What the dispatcher asks of the executors. Calls take effect at once, but must not call back into it.
class ExecutorControl {
 public:
  virtual ~ExecutorControl() = default;
  virtual void start(ExecutorId executor, Role role) = 0;
  // Its turn is `assignment.index`. withFunction: this executor has not seen the function yet.
  virtual void deliver(ExecutorId executor, const Assignment& assignment, bool withFunction) = 0;
  // Progress of a live executor, or of one whose death is being told. CPU:
  virtual uint32_t recall(ExecutorId executor, uint32_t delivered) = 0;
  virtual Progress::Last last(ExecutorId executor) = 0;
  // IO and ALONE:
  virtual kj::Vector<Progress::Begun> entered(ExecutorId executor) = 0;
  virtual void stop(ExecutorId executor) = 0;  // when it has finished; told by onGone
  virtual void kill(ExecutorId executor) = 0;  // told by onGone
  // Of an executor whose death is being told: what it had made for this attempt's result will not be told of.
  virtual void discard(ExecutorId executor, const AttemptName& attempt) = 0;
};

// Exactly one of them is called for each assignment taken, unless the connection is lost first.
class ResultPort {
 public:
  virtual ~ResultPort() = default;
  virtual void fail(const AttemptName& name, Level level, Failure failure) = 0;
  virtual void notRun(const AttemptName& name, Level level) = 0;
};

// Lives on the daemon's loop; not reentrant.
class Dispatcher {
 public:
  Dispatcher(const DispatchLimits& limits, ExecutorControl& control, ResultPort& results, Observer& observer);
  KJ_DISALLOW_COPY(Dispatcher);

  // ---- from the scheduler ----
  void onFunction(schema::Function::Reader definition);
  // False: it is here already, which is the scheduler's mistake; it is answered once.
  bool onAssigned(schema::Assignment::Reader assignment);
  void onCancel(const AttemptName& name, kj::TimePoint now);
  // Goes back if it has not begun.
  void onRecall(const AttemptName& name);
  // What has not begun goes back; what has finishes. So does everything that comes later.
  void onDrain();
  void onResume();
  // Stops every executor: at once if it holds nothing, else when it has finished. Implies onDrain().
  void onShutdown(kj::TimePoint now);
  // The scheduler has taken everything back: forgets it all, kills what runs.
  void onConnectionLost(kj::TimePoint now);

  // ---- from executors ----
  void onReady(ExecutorId executor, kj::TimePoint now);
  // True: the attempt was this executor's and is answered by this result; forward it. False: nobody waits for it.
  bool onResult(ExecutorId executor, const AttemptName& name, bool failed, kj::Maybe<kj::Duration> run, kj::TimePoint now);
  // The process is gone, and every result it left in its ring has been told. `how`: "was killed by SIGSEGV (signal 11)". True if
  // the dispatcher had asked for it.
  bool onGone(ExecutorId executor, kj::StringPtr how, kj::TimePoint now);

  // ---- time ----
  // Places what waits, starts what is missing, ends what ran too long. Afterwards call it again when something has happened,
  // or at the time it returns, if any.
  kj::Maybe<kj::TimePoint> settle(kj::TimePoint now);

  // Why no executor will ever work; the worker says it and exits.
  kj::Maybe<kj::StringPtr> fatal() const;
  bool idle() const { return byName.size() == 0; }  // holds no assignment
  bool anyAhead() const;                            // an executor holds more than one
  bool anyExecutors() const { return !executors.empty(); }
  size_t queuedCount() const;
  size_t runningCount() const;  // executors' attempts that have begun, as far as known
  size_t readyCount(Role role) const;
  uint64_t restartCount() const { return restarts; }  // executors started in place of others
  const Functions& functionTable() const { return functions; }
  void forgetFunctions();  // only while idle

  // Throws, naming what is wrong, if the tables contradict each other. For tests.
  void checkInvariants() const;

 private:
  enum class State : uint8_t {
    STARTING,  // spawned, has not said ready; may become anything below
    READY,     // gets attempts
    RETIRING,  // gets no more, finishes what it has; then LEAVING
    LEAVING,   // told to stop or killed; holds nothing; gone soon
  };

  struct Executor {
    ExecutorId id;
    Role role;
    State state = State::STARTING;
    kj::TimePoint since = kj::origin<kj::TimePoint>();  // when it entered `state`
    bool wasReady = false;
    bool killed = false;                     // LEAVING by kill
    AssignmentList held;                     // in order of delivery
    uint32_t delivered = 0;                  // ever: the next one's index
    uint unknownHeld = 0;                    // of `held`, those whose run time is not known
    kj::Duration backlog = 0 * kj::SECONDS;  // expected time of the others
    kj::TimePoint progressed =
        kj::origin<kj::TimePoint>();         // last result, or last delivery to an executor that held nothing
    std::unordered_set<uint32_t> functions;  // Function::id it has seen
    size_t functionBytes = 0;                // of their definitions
    // Attempts answered, or forgotten, while it still runs them: cancelled, timed out, of a lost connection.
    kj::HashSet<AttemptName> abandoned;
  };

  struct Starts {  // of one role
    uint64_t count = 0;
    uint failures = 0;  // in a row
    kj::TimePoint failedAt = kj::origin<kj::TimePoint>();
    kj::TimePoint notBefore = kj::origin<kj::TimePoint>();
  };

  const DispatchLimits limits;
  ExecutorControl& control;
  ResultPort& results;
  Observer& observer;

  Functions functions;
  // Waiting, by role; ALONE's are the suspects. Each assignment is in exactly one of these or one Executor::held.
  AssignmentList queues[ROLE_COUNT];
  kj::HashMap<AttemptName, AssignmentList::iterator> byName;
  std::map<ExecutorId, Executor> executors;
  // When to look whether an attempt has run too long: one entry for each delivered one with a timeout (Assignment::checkAt).
  std::set<std::pair<kj::TimePoint, AttemptName>> deadlines;
  Starts starts[ROLE_COUNT];
  uint32_t lastExecutor = 0;
  uint64_t restarts = 0;
  size_t delivered = 0;  // sum of Executor::held's sizes
  size_t heldBytes = 0;  // of all assignments' messages
  bool draining = false;
  kj::Maybe<kj::String> fatalReason;

  AssignmentList& queue(Role role) { return queues[static_cast<uint>(role)]; }

  // ---- assignments (dispatcher.cpp) ----
  void deliver(Executor& executor, AssignmentList::iterator assignment, kj::TimePoint now);
  void unhold(Executor& executor, const Assignment& assignment);  // its share of the executor's sums
  void forget(AssignmentList& from, AssignmentList::iterator assignment, Outcome outcome);
  void fail(AssignmentList& from, AssignmentList::iterator assignment, Outcome outcome, Failure failure);
  void giveBack(AssignmentList& from);
  // Back to the front of queue(to), in their order.
  void takeBack(Executor& executor, AssignmentList::iterator first, AssignmentList::iterator last, Role to);
  void recall(Executor& executor);

  // ---- placing (placing.cpp) ----
  void placeCpu(kj::TimePoint now);
  void placeIo(kj::TimePoint now);
  void placeSuspects(kj::TimePoint now);
  bool mayTake(const Executor& executor, const Assignment& assignment, kj::TimePoint now) const;
  Executor* cpuExecutorFor(const Assignment& assignment, kj::TimePoint now);
  Executor* ioExecutorWithRoom();
  Executor* idleExecutor(Role role);
  void recallStalled(kj::TimePoint now);

  // ---- executors' lives (lives.cpp) ----
  void startMissing(kj::TimePoint now);
  void start(Role role, uint wanted, kj::TimePoint now);
  uint wanted(Role role) const;
  uint live(Role role) const;
  void retire(Executor& executor, kj::TimePoint now);
  void leave(Executor& executor, bool kill, kj::TimePoint now);
  void leaveIfDone(kj::TimePoint now);
  void retireWorn(kj::TimePoint now);
  void enforceLifeDeadlines(kj::TimePoint now);
  void onStartFailure(const Executor& executor, kj::StringPtr how, kj::TimePoint now);
  void chargeCpu(Executor& executor, kj::StringPtr how);
  void chargeShared(Executor& executor, kj::StringPtr how);
  void requeue(Executor& executor, kj::StringPtr how);
  void discardResults(const Executor& executor);

  // ---- time (timeouts.cpp) ----
  void watch(Assignment& assignment, kj::TimePoint at);
  void unwatch(Assignment& assignment);
  void enforceTimeouts(kj::TimePoint now);
  kj::TimePoint expiry(const Assignment& assignment, kj::TimePoint now);
  void interrupt(AssignmentList::iterator assignment, Outcome outcome, Failure failure, kj::TimePoint now);
  kj::Maybe<kj::TimePoint> nextWake(kj::TimePoint now) const;
};

}  // namespace epochly::run

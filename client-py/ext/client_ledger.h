// The tasks of one client: where the Python threads that submit and wait meet the loop that sends and receives.
#pragma once

#include <chrono>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "ext/client_task.h"

namespace epochly::client {

struct WindowBounds {
  // Tasks that the scheduler has not accepted yet: 16 full batches keep the loop busy while a submission is under way, and
  // are gone in a tenth of a second. Past it submit() waits.
  uint64_t tasksMax = 16u << 10;
  // Their payloads: two of the largest, so that one is being built while one is sent.
  size_t bytesMax = 64u << 20;
};

// Why submit() cannot take a task.
enum class Admission : uint8_t { TAKEN, FULL, CLOSED };

// Thread-safe: every member function locks. Never touches Python, so that no caller needs the GIL.
class Ledger {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Ledger(WindowBounds bounds);

  // ---- Python's threads ----
  // TAKEN: `spec` is queued with the next seq. `wake`: the loop sleeps and must be told.
  Admission enqueue(TaskSpec& spec, bool& wake);
  // Waits until enqueue() may succeed or the ledger is closed. False: `until` passed first.
  bool awaitRoom(Clock::time_point until);
  // False: `until` passed first.
  bool await(Entry& entry, Clock::time_point until);
  // Ends a pending task as cancelled here and now, and queues the news for the scheduler. False: it had ended.
  bool cancel(Entry& entry, bool& wake);
  // Has the notifier's thread told when the task ends; false if it has ended already (nobody will be told).
  bool observe(std::shared_ptr<Entry> entry);
  // Adds `index` to `completions` when the task ends, at once if it has.
  void watch(Entry& entry, std::shared_ptr<Completions> completions, size_t index);
  // Takes the indices that are ready; empty: `until` passed first.
  std::vector<size_t> awaitCompletions(Completions& completions, Clock::time_point until);
  // Takes the observed tasks that have ended, waiting for one. Empty: closed, or `until` passed.
  std::vector<std::shared_ptr<Entry>> awaitEnded(Clock::time_point until);
  // Waits until no task is pending. False: `until` passed first.
  bool awaitIdle(Clock::time_point until);
  uint64_t pending() const;
  uint64_t submitted() const;
  // Why it is closed; NONE while it is open.
  Failure closedWhy() const;

  // ---- the loop's thread ----
  // Appends queued tasks to `batch` until it has tasksMax of them or bytesTarget bytes. Empty afterwards: the next enqueue()
  // asks for a wake.
  void takeQueued(std::vector<TaskSpec>& batch, uint tasksMax, size_t bytesTarget);
  // The first tasks of a submission are the scheduler's now.
  void accepted(uint64_t tasks, size_t bytes);
  std::vector<uint64_t> takeCancelled();
  // Ends a task with what arrived. False: it is not pending (ended before, or never ours).
  struct Arrival {
    uint64_t seq;
    Outcome outcome;
  };
  void end(std::vector<Arrival> arrivals);
  // Ends what the scheduler may have accepted (sentOnly), or everything, and empties the queue in the latter case.
  void endAll(const Failure& failure, bool sentOnly);
  // Ends one task that is still pending.
  void endOne(uint64_t seq, Failure failure);
  // No more submissions: they are refused with `why`. reopen() takes it back.
  void close(Failure why);
  void reopen();

 private:
  const WindowBounds bounds;
  mutable std::mutex mutex;
  std::condition_variable roomWake, endedWake, idleWake;

  uint64_t lastSeq = 0;
  std::deque<TaskSpec> queue;    // submitted and not yet in a submission
  uint64_t unacceptedTasks = 0;  // in `queue` or in the loop's hands
  size_t unacceptedBytes = 0;
  bool loopSleeps = true;                                      // it found `queue` empty
  std::vector<uint64_t> cancelled;                             // seqs to tell the scheduler of
  std::unordered_map<uint64_t, std::shared_ptr<Entry>> table;  // every pending task
  std::deque<std::shared_ptr<Entry>> ended;                    // observed ones, for the notifier
  Failure why;                                                 // code NONE while open

  // Who is to be woken for tasks that have ended, when the mutex is free again: a thread that is woken before finds it taken and
  // sleeps once more. Made before the lock is taken.
  struct Wakes {
    explicit Wakes(Ledger& ledger) : ledger(ledger) {}
    ~Wakes();
    Ledger& ledger;
    std::vector<std::shared_ptr<Waiter>> waiters;  // the first of each task's
    std::vector<std::shared_ptr<Completions>> completions;
    bool isObserved = false;
    bool isIdle = false;
  };

  void endLocked(std::shared_ptr<Entry> entry, Outcome outcome, Wakes& wakes);
  bool wakeLocked();
  bool hasRoomLocked() const { return unacceptedTasks < bounds.tasksMax && unacceptedBytes < bounds.bytesMax; }
};

uint64_t nowNs();

}  // namespace epochly::client

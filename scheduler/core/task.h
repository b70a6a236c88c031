// The scheduler's table entry for one accepted task.
#pragma once

#include <tuple>

#include <kj/time.h>
#include <kj/vector.h>

#include "core/function.h"
#include "wire/errors.h"
#include "wire/payload.h"

namespace epochly::core {

enum class TaskState : uint8_t {
  QUEUED,    // in exactly one ReadyQueue; next: ASSIGNED, ENDED (cancel, no fit)
  ASSIGNED,  // in exactly one Worker::inflight; next: QUEUED (lost, not run), BACKOFF (failed, retries left), ENDED
  BACKOFF,   // in Core::backoff until its time; next: QUEUED, ENDED (cancel)
  ENDED,     // left Core::tasks; its Result is in Client::results until acknowledged, its Epitaph in Core::ended
};

// Nanosecond phases of the last attempt; NONE = not measured.
struct Timings {
  static constexpr uint64_t NONE = UINT64_MAX;
  uint64_t queue = NONE;
  uint64_t transfer = NONE;
  uint64_t compile = NONE;
  uint64_t run = NONE;
  uint64_t cpu = NONE;
  uint64_t wait = NONE;  // of run, without cpu and without the time in which other threads had the CPUs
};

// Why classify chose a level. Texts are in classify::describe.
enum class Reason : uint8_t {
  ASKED,  // the caller named the level
  IO_BOUND,
  WAITS_HINT,  // nothing measured yet, but it names modules that wait
  HOT_LOOP,
  LARGE_DATA_LOOP,
  LARGE_DATA,
  LARGE_ARRAY_GPU,
  NOT_ENOUGH_WORK,
  NOT_MEASURED,
};

// The waiting line a task stands in: tasks with equal keys fit the same workers.
struct QueueKey {
  Level level = Level::MONITOR;
  PythonVersion pythonVersion;  // 0 = any
  HostId host;                  // whose shared memory it needs, 0 = any
  bool alone = false;           // its tasks run on a worker that holds nothing else (Task::runsAlone)
  bool operator==(const QueueKey&) const = default;
  auto operator<=>(const QueueKey& other) const {
    return std::tie(level, pythonVersion.value, host, alone) <=>
           std::tie(other.level, other.pythonVersion.value, other.host, other.alone);
  }
};

struct Task {
  TaskId id;
  Function* function = nullptr;  // owned by Core::functions, pinned by Function::references
  Payload arguments;
  kj::TimePoint acceptedAt = kj::origin<kj::TimePoint>();
  kj::TimePoint queuedAt = kj::origin<kj::TimePoint>();  // last entered a queue
  kj::TimePoint assignedAt = kj::origin<kj::TimePoint>();
  kj::TimePoint dueAt = kj::origin<kj::TimePoint>();  // while BACKOFF: its place in Core::backoff
  WorkerId worker;                                    // while ASSIGNED
  double dataSize = UNKNOWN;
  double expectedSeconds = 0;  // what routing reckoned with; added to the worker's backlog while ASSIGNED
  Attempt attempt;             // 0 until first assigned
  uint32_t timeoutMs = 0;
  uint16_t retriesLeft = 0;
  uint16_t retriesDone = 0;
  uint16_t losses = 0;  // workers lost when it may have begun there
  uint16_t spared = 0;  // workers lost when it waited there behind others
  int8_t levelAsked = -1;
  Level levelChosen = Level::MONITOR;
  Level level = Level::MONITOR;  // after falling past levels that no worker offers
  uint8_t notOffered = 0;        // bit per level fallen past
  Reason reason = Reason::NOT_MEASURED;
  TaskState state = TaskState::QUEUED;
  bool cancelRequested = false;
  bool recallRequested = false;  // while ASSIGNED: its worker was asked to give it back

  // Links of the ReadyQueue while QUEUED, of PoolUse::held while ASSIGNED.
  Task* previous = nullptr;
  Task* next = nullptr;
  struct ReadyQueue* queue = nullptr;
  // Its neighbours among the tasks of its client that have not ended.
  Task* clientPrevious = nullptr;
  Task* clientNext = nullptr;

  // Suspected of what happened to its workers: alone on one it is either cleared or proved to be the cause, and its neighbours
  // have no part in it.
  bool runsAlone() const;
  // The queue it stands in when it is to run at `level`.
  QueueKey keyAt(Level level) const;
};

// FIFO through Task::previous/next: a task is in at most one. Owns nothing.
struct TaskList {
  Task* head = nullptr;
  Task* tail = nullptr;
  uint64_t size = 0;

  void pushBack(Task& task);
  void pushFront(Task& task);
  void remove(Task& task);
};

struct ReadyQueue : private TaskList {
  using TaskList::head;
  using TaskList::size;
  using TaskList::tail;
  QueueKey key;
  // Since when no joined worker has fitted it; none while one does. Its tasks have waited from then or, if later, from their
  // queuedAt.
  kj::Maybe<kj::TimePoint> unfitSince;

  void pushBack(Task& task);
  void pushFront(Task& task);
  void remove(Task& task);
};

enum class Outcome : uint8_t { SUCCEEDED, FAILED, CANCELLED };
kj::StringPtr outcomeName(Outcome outcome);  // "succeeded", "failed", "cancelled"

// Levels that did not run and why, in the order they were tried.
struct Decline {
  Level level;
  kj::String reason;
};

// Why and where a task ran.
struct Placement {
  int8_t levelAsked = -1;
  Level levelChosen = Level::MONITOR;
  Level levelRan = Level::MONITOR;
  Reason reason = Reason::NOT_MEASURED;
  kj::Vector<Decline> declined;
  WorkerId worker;  // 0: it never ran
  kj::String workerName;
};

// How a task ended, kept until its client has acknowledged it.
struct Result {
  TaskId id;
  Outcome outcome = Outcome::SUCCEEDED;
  Payload value;    // SUCCEEDED
  Failure failure;  // FAILED
  Placement placement;
  Attempt attempt;
  Timings timings;
  // What it takes while it waits to be acknowledged. With its own size: results without a value add up, too.
  size_t bytes() const { return sizeof(Result) + value.inlineBytes() + failure.bytes(); }
};

// What is still known of a task after its end: for REST, bounded by Limits::endedMax.
struct Epitaph {
  TaskId id;
  FunctionHash function;
  Outcome outcome = Outcome::SUCCEEDED;
  ErrorCode error = ErrorCode::NONE;
  Level levelRan = Level::MONITOR;
  WorkerId worker;
  Attempt attempt;
  Timings timings;
};

}  // namespace epochly::core

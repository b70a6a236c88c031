// One task as its client sees it, from submit() until its future's last reader is gone.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <utility>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>

#include "wire/errors.h"
#include "wire/ids.h"
#include "wire/payload.h"

namespace epochly::client {

// ---- what goes out -------------------------------------------------------------------------------------------------

// A pickled function. Immutable; shared by every task that calls it.
struct Function {
  FunctionHash hash;
  kj::String name;
  kj::Array<byte> code;
  PythonVersion pythonVersion;
  kj::String module;
  bool hasLoop = false;
  bool isCoroutine = false;
  bool waits = false;
};

// What this process has measured of a function. NaN: not measured.
struct Workload {
  double ioWaitRatio;
  double avgLoopIterations;
  double avgDataSize;
  uint32_t samples;
};

struct Entry;

// A task from submit() until the scheduler has accepted it.
struct TaskSpec {
  std::shared_ptr<Entry> entry;
  std::shared_ptr<const Function> function;
  Payload arguments;
  std::unique_ptr<Workload> workload;  // of `function`, when there is something new to tell
  double dataSize = 0;
  uint32_t timeoutMs = 0;
  uint16_t retriesMax = 0;
  int8_t level = -1;

  // What it counts in the window and in a batch: the payload, and as much again as the message and this struct need.
  size_t bytes() const { return arguments.inlineBytes() + 128; }
};

// ---- what comes back -----------------------------------------------------------------------------------------------

struct Declined {
  uint8_t level;
  kj::String reason;
};

// Shared by the results of a batch that had the same.
struct Placement {
  int8_t levelAsked = -1;
  uint8_t levelChosen = 0;
  uint8_t levelRan = 0;
  kj::String why;
  std::vector<Declined> declined;
  kj::String worker;  // empty: it never ran
  uint64_t workerId = 0;
};

// Nanoseconds; NONE = not measured.
struct Timings {
  static constexpr uint64_t NONE = UINT64_MAX;
  uint64_t queue = NONE;
  uint64_t transfer = NONE;
  uint64_t compile = NONE;
  uint64_t run = NONE;
  uint64_t cpu = NONE;
  uint64_t total = NONE;  // submit() to the result's arrival here
};

// Shared memory that a result arrived in, mapped here and already without a name: it goes when the last reader does.
class Region {
 public:
  virtual ~Region() = default;
  virtual kj::ArrayPtr<byte> bytes() = 0;
};

enum class Ending : uint8_t { PENDING, VALUE, FAILURE, CANCELLED };

struct Outcome {
  Ending ending = Ending::PENDING;
  Payload value;                                 // VALUE
  std::vector<std::shared_ptr<Region>> regions;  // behind `value`, by buffer; null where it is inline
  Failure failure;                               // FAILURE
  std::shared_ptr<const Placement> placement;    // null: the scheduler never told
  Timings timings;
  uint32_t attempt = 0;  // 0: it never ran
};

// A thread that waits for one task. Linked into Entry::waiters under the ledger's mutex; shared with whoever wakes it, after that mutex
// is free.
struct Waiter {
  std::condition_variable wake;
  std::shared_ptr<Waiter> next;
};

// Tasks that as_completed() waits for, in the order in which they end. Guarded by the ledger's mutex.
struct Completions {
  std::vector<size_t> ready;
  std::condition_variable wake;
};

// Everything but `seq` and `ending` is guarded by the ledger's mutex until `ending` has left PENDING; after that `outcome`
// no longer changes and whoever has read `ending` may read it.
struct Entry {
  uint64_t seq = 0;
  std::atomic<Ending> ending{Ending::PENDING};
  Outcome outcome;
  uint64_t submittedNs = 0;
  bool sent = false;      // was in a submission, whether or not that was answered
  bool observed = false;  // somebody wants to be told by the notifier's thread: ledger's `ended` gets it
  std::shared_ptr<Waiter> waiters;
  std::vector<std::pair<std::shared_ptr<Completions>, size_t>> completions;
  std::shared_ptr<void> keepsake;  // given back when the task has ended: its arguments' shared memory

  bool done() const { return ending.load(std::memory_order_acquire) != Ending::PENDING; }
};

}  // namespace epochly::client

// Which of the attempts given to an executor have begun: a page it shares with the daemon, written without a system call.
//
// It answers two questions. After a crash: who had begun, and so may be the cause or have left traces? And while an executor is
// busy with a long attempt: take back those behind it that have not begun (only where attempts run one at a time).
//
// Attempts are named by their index: both sides count the assignments that go through the ring, from 0, wrapping at 2^32.
#pragma once

#include <atomic>
#include <cstdint>

#include <kj/common.h>
#include <kj/vector.h>

namespace epochly::run {

// Threads of one I/O executor. Waiting threads cost 8 MiB of address space and some 30 KiB of memory each: 1024 are 30 MiB.
constexpr uint32_t IO_THREADS_MAX = 1024;

// Of indices, which wrap: was `a` delivered before `b`?
inline bool indexBefore(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

// Lives in shared memory; all zeroes is the state before anything began. Written by the executor, except for recall().
class Progress {
 public:
  struct Begun {
    uint32_t index;
    uint64_t atNs;   // CLOCK_MONOTONIC
  };

  // ---- executors that run one attempt at a time, in order ----
  // Executor: the attempt begins now, unless it was taken back (false: skip it, it has no result).
  bool begin(uint32_t index);
  // Daemon: takes back every attempt below `delivered` that has not begun. Returns how many of the first `delivered` are not
  // taken back, now or before: those below it have begun.
  uint32_t recall(uint32_t delivered);
  // Daemon: attempts below `end` that were not taken back have begun; the last of them at `atNs`.
  struct Last {
    uint32_t end;
    uint64_t atNs;
  };
  Last last() const;

  // ---- executors that run many at once, by any thread ----
  // False: more than IO_THREADS_MAX at once, which is the executor's mistake.
  bool enter(uint32_t index);
  // Only after the result is in the ring.
  void leave(uint32_t index);
  // Daemon: those that have entered and not left, in no order.
  kj::Vector<Begun> entered() const;

 private:
  struct Slot {
    std::atomic<uint64_t> entry{0};   // 0: free; TAKEN | index otherwise
    std::atomic<uint64_t> atNs{0};
  };
  static constexpr uint64_t TAKEN = 1ull << 32;

  // High half: one more than the index that began last. Low half: indices below it that have not begun are taken back. One
  // word, so that an attempt either begins or is taken back, never both.
  std::atomic<uint64_t> claims{0};
  std::atomic<uint64_t> begunAtNs{0};
  alignas(64) Slot slots[IO_THREADS_MAX];
};

// CLOCK_MONOTONIC in nanoseconds, as kj's precise monotonic clock reads it.
uint64_t monotonicNs();

}  // namespace epochly::run

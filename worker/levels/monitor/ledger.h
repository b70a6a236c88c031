// Where a function's sums live: a block per thread, written by that thread alone and added up when read.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "levels/monitor/sampling.h"
#include "levels/monitor/tally.h"
#include "run/engine.h"

namespace epochly::monitor {

// What one thread keeps of one function. Everything but the atomics belongs to the thread that holds the block; a block whose
// thread has ended is taken over, sums and sampling included, by the next thread that calls the function.
struct Block {
  Block(Nanos loopAllowance, Nanos loopSessionCost) : sampler(loopAllowance, loopSessionCost) {}

  CallSampler sampler;
  Tally tally;
  // Calls of the function that are running on this thread, one inside the other: only the outermost is timed.
  uint32_t depth = 0;
  std::atomic<uint64_t> epoch{0};                  // of the ledger, when the tally was last cleared
  std::atomic<const run::Outcome*> last{nullptr};  // how the last call here ran
  std::atomic<Nanos> lastAt{0};                    // when it began
  kj::Own<const run::Outcome> owned;               // `last`, where it is not one of the standing outcomes
};

// What the host knows of its clocks and its loop counting; set once, before the first ledger.
struct Costs {
  Nanos cpuReading = 600;
  Nanos loopSession = 0;
};
void setCosts(Costs costs);

// What one thread keeps for all functions. Lives on its thread; only `blocks`' entries are cleared by others, under the lock.
class ThreadState {
 public:
  static ThreadState& current() { return here != nullptr ? *here : enter(); }

  CpuRation ration;
  CpuAnchor anchor;

 private:
  friend class Ledger;
  friend struct Registry;
  friend struct ThreadExit;
  ThreadState();
  ~ThreadState();
  static ThreadState& enter();

  static thread_local constinit ThreadState* here;
  // By Ledger::slot. Grown by this thread, under the lock.
  std::unique_ptr<std::atomic<Block*>[]> blocks;
  size_t size = 0;
};

// The sums of one function. Owned by the function's object; any thread may call it and any may read it.
class Ledger {
 public:
  Ledger();
  ~Ledger();  // its sums stay in those of the process
  KJ_DISALLOW_COPY(Ledger);

  // The calling thread's block: one look in a table, no lock, except on a thread's first call.
  Block& mine(ThreadState& thread) {
    if (slot < thread.size) {
      if (Block* block = thread.blocks[slot].load(std::memory_order_relaxed)) {
        if (block->epoch.load(std::memory_order_relaxed) != epoch.load(std::memory_order_relaxed)) startOver(*block);
        return *block;
      }
    }
    return adopt(thread);
  }
  // Notes how the call that `block`'s thread begins will run.
  void note(Block& block, const run::Outcome& standing, Nanos now) {
    block.lastAt.store(now, std::memory_order_relaxed);
    if (block.last.load(std::memory_order_relaxed) != &standing) block.last.store(&standing, std::memory_order_release);
  }
  void note(Block& block, kj::Own<const run::Outcome> fresh, Nanos now);

  Totals read() const;
  // How the call that began last ran; none before the first.
  kj::Maybe<run::Outcome> lastOutcome() const;
  void reset();

 private:
  friend struct Registry;
  friend struct ThreadExit;
  Block& adopt(ThreadState& thread);
  void startOver(Block& block);

  size_t slot = 0;  // in Registry::ledgers and every ThreadState::blocks
  std::atomic<uint64_t> epoch{0};
  std::vector<std::unique_ptr<Block>> blocks;  // of all threads, and:
  std::vector<Block*> abandoned;               // those of threads that have ended
};

// All functions of the process since its start or the last reset, those that are gone included.
Figures processFigures();
void resetProcess();

}  // namespace epochly::monitor

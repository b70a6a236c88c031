#include "levels/monitor/ledger.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>

namespace epochly::monitor {

// Everything that is not one thread's own. Never destroyed: threads may end after the program's statics are gone.
struct Registry {
  std::mutex lock;
  Costs costs;
  std::vector<Ledger*> ledgers;  // by slot; null: free
  std::vector<size_t> freeSlots;
  std::vector<ThreadState*> threads;
  Blend departed;  // functions that are gone

  static Registry& get() {
    static Registry& registry = *create();
    return registry;
  }
  // With the lock held.
  static Totals read(const Ledger& ledger);

 private:
  static Registry* create();
};

namespace {

using Guard = std::lock_guard<std::mutex>;

// A fork must not catch the lock held by a thread that the child does not have.
void lockForFork() { Registry::get().lock.lock(); }
void unlockAfterFork() { Registry::get().lock.unlock(); }

}  // namespace

Registry* Registry::create() {
  pthread_atfork(lockForFork, unlockAfterFork, unlockAfterFork);
  return new Registry;
}

void setCosts(Costs costs) {
  Registry& registry = Registry::get();
  Guard guard(registry.lock);
  registry.costs = costs;
}

// Runs when its thread ends: hands the thread's blocks back to their ledgers.
struct ThreadExit {
  ThreadState* state = nullptr;
  ~ThreadExit() {
    if (state == nullptr) return;
    Registry& registry = Registry::get();
    {
      Guard guard(registry.lock);
      for (size_t slot = 0; slot < state->size; ++slot) {
        if (Block* block = state->blocks[slot].load(std::memory_order_relaxed)) {
          block->depth = 0;
          registry.ledgers[slot]->abandoned.push_back(block);
        }
      }
      std::erase(registry.threads, state);
    }
    ThreadState::here = nullptr;
    delete state;
  }
};

thread_local constinit ThreadState* ThreadState::here = nullptr;

ThreadState::ThreadState() : ration(Registry::get().costs.cpuReading) {}
ThreadState::~ThreadState() = default;

ThreadState& ThreadState::enter() {
  thread_local ThreadExit atExit;
  Registry& registry = Registry::get();
  Guard guard(registry.lock);
  here = new ThreadState;
  atExit.state = here;
  registry.threads.push_back(here);
  return *here;
}

Ledger::Ledger() {
  Registry& registry = Registry::get();
  Guard guard(registry.lock);
  if (registry.freeSlots.empty()) {
    slot = registry.ledgers.size();
    registry.ledgers.push_back(this);
  } else {
    slot = registry.freeSlots.back();
    registry.freeSlots.pop_back();
    registry.ledgers[slot] = this;
  }
}

Ledger::~Ledger() {
  Registry& registry = Registry::get();
  Guard guard(registry.lock);
  registry.departed.add(Registry::read(*this));
  for (ThreadState* thread : registry.threads) {
    if (slot < thread->size) thread->blocks[slot].store(nullptr, std::memory_order_relaxed);
  }
  registry.ledgers[slot] = nullptr;
  registry.freeSlots.push_back(slot);
}

Block& Ledger::adopt(ThreadState& thread) {
  Registry& registry = Registry::get();
  Guard guard(registry.lock);
  if (slot >= thread.size) {
    size_t grown = std::max(registry.ledgers.size(), 2 * thread.size);
    auto table = std::make_unique<std::atomic<Block*>[]>(grown);
    for (size_t i = 0; i < thread.size; ++i) table[i] = thread.blocks[i].load(std::memory_order_relaxed);
    thread.blocks = std::move(table);
    thread.size = grown;
  }
  Block* block;
  if (!abandoned.empty()) {
    block = abandoned.back();
    abandoned.pop_back();
  } else {
    Nanos allowance = blocks.empty() ? LOOP_COUNTING_INITIAL_NS : 0;
    blocks.push_back(std::make_unique<Block>(allowance, registry.costs.loopSession));
    block = blocks.back().get();
  }
  if (block->epoch.load(std::memory_order_relaxed) != epoch.load(std::memory_order_relaxed)) startOver(*block);
  thread.blocks[slot].store(block, std::memory_order_relaxed);
  return *block;
}

void Ledger::startOver(Block& block) {
  clear(block.tally);
  block.epoch.store(epoch.load(std::memory_order_relaxed), std::memory_order_release);
}

void Ledger::note(Block& block, kj::Own<const run::Outcome> fresh, Nanos now) {
  Guard guard(Registry::get().lock);
  block.owned = kj::mv(fresh);
  block.last.store(block.owned.get(), std::memory_order_release);
  block.lastAt.store(now, std::memory_order_relaxed);
}

Totals Registry::read(const Ledger& ledger) {
  Totals totals;
  uint64_t now = ledger.epoch.load(std::memory_order_relaxed);
  for (auto& block : ledger.blocks) {
    if (block->epoch.load(std::memory_order_acquire) == now) accumulate(totals, block->tally);
  }
  return totals;
}

Totals Ledger::read() const {
  Guard guard(Registry::get().lock);
  return Registry::read(*this);
}

kj::Maybe<run::Outcome> Ledger::lastOutcome() const {
  Guard guard(Registry::get().lock);
  const Block* latest = nullptr;
  for (auto& block : blocks) {
    if (block->last.load(std::memory_order_acquire) == nullptr) continue;
    if (latest == nullptr ||
        block->lastAt.load(std::memory_order_relaxed) > latest->lastAt.load(std::memory_order_relaxed)) {
      latest = block.get();
    }
  }
  if (latest == nullptr) return nullptr;
  return latest->last.load(std::memory_order_acquire)->clone();
}

void Ledger::reset() { epoch.fetch_add(1, std::memory_order_relaxed); }

Figures processFigures() {
  Registry& registry = Registry::get();
  Guard guard(registry.lock);
  Blend blend = registry.departed;
  for (Ledger* ledger : registry.ledgers) {
    if (ledger != nullptr) blend.add(Registry::read(*ledger));
  }
  return blend.figures();
}

void resetProcess() {
  Registry& registry = Registry::get();
  Guard guard(registry.lock);
  registry.departed = Blend();
  for (Ledger* ledger : registry.ledgers) {
    if (ledger != nullptr) ledger->reset();
  }
}

}  // namespace epochly::monitor

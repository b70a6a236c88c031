// The scheduler's table entries for one joined worker and one client namespace.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <unordered_map>

#include "core/task.h"

namespace epochly::core {

// Levels that compete for the same slots of a worker: monitor, jit and multicore for its cores, threads for its I/O
// threads, gpu for its device.
enum class Pool : uint8_t { CPU, IO, GPU };
constexpr uint POOL_COUNT = 3;
constexpr Pool poolOf(Level level) {
  return level == Level::THREADS ? Pool::IO : level == Level::GPU ? Pool::GPU : Pool::CPU;
}

// A fact of the worker's probe, as worker.capnp's Fact.
struct Fact {
  enum class Kind : uint8_t { KNOWN, ABSENT, UNKNOWN };
  kj::String name;
  Kind kind = Kind::UNKNOWN;
  kj::String text;
};

// What a worker says of itself when it joins; does not change while it stays.
struct WorkerSpec {
  kj::String name;
  kj::String hostName;
  HostId host;
  uint32_t pid = 0;
  PythonVersion pythonVersion;
  std::array<uint32_t, LEVEL_COUNT> slots{};  // 0: does not offer the level
  uint32_t cores = 0;                         // 0 = unknown
  uint64_t memoryBytes = 0;                   // 0 = unknown
  kj::Array<Fact> facts;

  bool offers(Level level) const { return slots[static_cast<uint>(level)] > 0; }
};

struct Load {
  uint32_t queued = 0;
  uint32_t running = 0;
  uint64_t residentBytes = 0;  // 0 = unknown
  uint64_t executorRestarts = 0;
};

enum class WorkerState : uint8_t {
  READY,     // gets work
  DRAINING,  // gets no more; what it holds may still come back
};

// Attempts that compete for the same slots.
struct PoolUse {
  uint32_t slots = 0;  // the most that any of its levels offers; each level has its own bound within (Worker::hasFreeSlot)
  uint32_t inflight = 0;
  double backlogSeconds = 0;  // sum of Task::expectedSeconds over inflight
  // Those in flight, in the order in which they were sent. The worker begins them in that order, so any beyond the first `slots`
  // waits there.
  TaskList held;
  // What waits there was asked back, for what runs takes longer than it was reckoned at: nothing is sent ahead of a free slot
  // until an attempt ends.
  bool stalled = false;
};

struct Worker {
  WorkerId id;
  WorkerSpec spec;
  WorkerState state = WorkerState::READY;
  kj::TimePoint lastHeard = kj::origin<kj::TimePoint>();
  Load load;
  std::array<PoolUse, POOL_COUNT> pools;
  std::array<uint32_t, LEVEL_COUNT> inflightAt{};  // of each level
  // Holds one task at a time: some that run alone wait for it to fall idle, or it has one. Counted in Core::reservedWorkers.
  bool reserved = false;
  // Tasks sent to this worker and not yet answered. Each is ASSIGNED to this worker; checkInvariants() verifies both
  // directions.
  std::unordered_map<TaskId, Task*> inflight;
  // Functions it has been sent, as others cost a transfer; each with a bit for every level that it has compiled code of.
  std::map<FunctionHash, uint8_t> functions;
  uint64_t completed = 0;

  bool fits(const QueueKey& key) const;
  // Of its pool and of this level, as far as sent attempts tell.
  bool hasFreeSlot(Level level) const {
    auto& use = pool(level);
    auto i = static_cast<uint>(level);
    return use.inflight < use.slots && inflightAt[i] < spec.slots[i];
  }
  bool hasFunction(FunctionHash hash) const { return functions.count(hash) > 0; }
  bool hasCode(FunctionHash hash, Level level) const {
    auto found = functions.find(hash);
    return found != functions.end() && (found->second >> static_cast<uint>(level) & 1) != 0;
  }
  PoolUse& pool(Level level) { return pools[static_cast<uint>(poolOf(level))]; }
  const PoolUse& pool(Level level) const { return pools[static_cast<uint>(poolOf(level))]; }
};

struct Client {
  SpaceId space;
  HostId host;          // whose shared memory it can open, 0 = unknown; told anew with each connection
  uint64_t seqMax = 0;  // highest accepted; a seq up to here is a repeat
  uint64_t queued = 0;  // its tasks that have not ended
  // The same, oldest first, through Task::clientNext: closing costs what the client has, not what everybody has.
  Task* firstTask = nullptr;
  Task* lastTask = nullptr;
  // Ended and not acknowledged, oldest first. The first `sent` of them are on their way on the present connection.
  std::deque<Result> results;
  size_t sent = 0;
  uint64_t resultBytes = 0;  // of `results`
  bool connected = false;
  kj::TimePoint lostAt = kj::origin<kj::TimePoint>();  // while not connected
};

}  // namespace epochly::core

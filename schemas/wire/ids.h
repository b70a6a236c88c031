// Names of things that cross process boundaries. Three ids are three types: mixing them up does not compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include <capnp/common.h>
#include <kj/common.h>
#include <kj/hash.h>
#include <kj/string.h>

#include "common.capnp.h"

namespace epochly {

using byte = kj::byte;
using uint = unsigned int;

// One process-wide spelling per id. Tag makes each a type of its own.
template <typename Tag, typename Rep>
struct Id {
  Rep value = 0;

  constexpr Id() = default;
  constexpr explicit Id(Rep v) : value(v) {}
  constexpr bool operator==(const Id&) const = default;
  constexpr auto operator<=>(const Id&) const = default;
  uint hashCode() const { return kj::hashCode(value); }
};

using SpaceId = Id<struct SpaceTag, uint64_t>;    // a client's namespace
using WorkerId = Id<struct WorkerTag, uint64_t>;  // one per join: a worker that reconnects gets a new one
using HostId = Id<struct HostTag, uint64_t>;      // who can open each other's shared memory; 0 = unknown
using Attempt = Id<struct AttemptTag, uint32_t>;  // fencing number of a task, counting from 1

struct TaskId {
  SpaceId space;
  uint64_t seq = 0;

  constexpr bool operator==(const TaskId&) const = default;
  constexpr auto operator<=>(const TaskId&) const = default;
  uint hashCode() const { return kj::hashCode(space.value, seq); }
};

// BLAKE2b-128 of the pickled function.
struct FunctionHash {
  uint64_t high = 0;
  uint64_t low = 0;

  constexpr bool operator==(const FunctionHash&) const = default;
  constexpr auto operator<=>(const FunctionHash&) const = default;
  uint hashCode() const { return kj::hashCode(high, low); }
};

// How a function runs. The numbers are the user's: epochly.set_level(2).
enum class Level : uint8_t { MONITOR = 0, THREADS = 1, JIT = 2, MULTICORE = 3, GPU = 4 };
constexpr uint LEVEL_COUNT = 5;

// "monitor", "threads", "jit", "multicore", "gpu".
kj::StringPtr levelName(Level level);
// What a worker advertises for it: "cpu", "io", "jit", "multicore", "gpu".
kj::StringPtr capabilityName(Level level);
// None if `number` is not 0..4.
kj::Maybe<Level> levelFromNumber(int64_t number);

// "space-seq" in lower-case hex and decimal, as in /api/v1/tasks/9f3c...-17.
kj::String toString(TaskId id);
kj::Maybe<TaskId> parseTaskId(kj::StringPtr text);
kj::String toString(FunctionHash hash);  // 32 hex digits
kj::Maybe<FunctionHash> parseFunctionHash(kj::StringPtr text);

TaskId readTaskId(schema::TaskId::Reader reader);
void writeTaskId(TaskId id, schema::TaskId::Builder builder);

// Processes with the same HostId can open each other's shared memory: a hash of the machine's boot id, of /dev/shm's device, which
// containers may not share, and of this process's user. 0 if any cannot be read.
HostId thisHost();

// major << 8 | minor of a CPython, as in Function.pythonVersion; 0 = any.
struct PythonVersion {
  uint16_t value = 0;
  constexpr bool operator==(const PythonVersion&) const = default;
};
kj::String toString(PythonVersion version);  // "3.11", "any"

}  // namespace epochly

template <typename Tag, typename Rep>
struct std::hash<epochly::Id<Tag, Rep>> {
  size_t operator()(epochly::Id<Tag, Rep> id) const { return std::hash<Rep>()(id.value); }
};
template <>
struct std::hash<epochly::TaskId> {
  size_t operator()(epochly::TaskId id) const {
    return (id.space.value * 0x9e3779b97f4a7c15ull) ^ (id.seq * 0xc2b2ae3d27d4eb4full);
  }
};
template <>
struct std::hash<epochly::FunctionHash> {
  size_t operator()(epochly::FunctionHash h) const { return h.low; }
};

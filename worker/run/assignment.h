// An attempt that this worker has taken and not answered yet.
#pragma once

#include <list>

#include <kj/hash.h>

#include "run/functions.h"

namespace epochly::run {

// The fenced name of an attempt.
struct AttemptName {
  TaskId task;
  Attempt attempt;

  bool operator==(const AttemptName&) const = default;
  auto operator<=>(const AttemptName&) const = default;
  // Numbers that count up are spread by one multiplication; the table takes the low bits.
  uint hashCode() const {
    uint64_t mixed = (task.seq + (static_cast<uint64_t>(attempt.value) << 48) + task.space.value) * 0x9e3779b97f4a7c15ull;
    return static_cast<uint>(mixed >> 32);
  }
};

// What an executor is for; decides which attempts it gets.
enum class Role : uint8_t {
  CPU,    // one attempt at a time: levels 0, 2, 3, 4
  IO,     // many attempts on threads: level 1
  ALONE,  // one I/O attempt at a time: those that shared an executor that died
};
constexpr uint ROLE_COUNT = 3;
kj::StringPtr roleName(Role role);  // "cpu", "io", "alone": metric labels and logs
constexpr Role roleOf(Level level) { return level == Level::THREADS ? Role::IO : Role::CPU; }

using ExecutorId = Id<struct ExecutorTag, uint32_t>;  // 0: none; a replacement gets a new one

struct Assignment {
  AttemptName name;
  Level level;
  uint32_t timeoutMs;  // 0: none
  Function* function;
  Owned<schema::Assignment> message;
  // Where it is waiting, or what executor has it: the one list of the dispatcher that holds it.
  Role queue;
  ExecutorId executor;                      // none: in its queue
  uint32_t index = 0;                       // in that executor's order of delivery
  kj::Duration expected = 0 * kj::SECONDS;  // what `executor` was reckoned to need for it, if known
  bool expectedKnown = false;
  kj::Maybe<kj::TimePoint> checkAt;  // its entry in Dispatcher::deadlines
  uint losses = 0;                   // executors that died with it before it had begun
};

using AssignmentList = std::list<Assignment>;

}  // namespace epochly::run

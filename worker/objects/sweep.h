// Unlinks the shared memory objects that nobody will unlink any more.
#pragma once

#include <sys/types.h>

#include <kj/function.h>
#include <kj/string.h>
#include <kj/time.h>

namespace epochly::objects {

// An object whose creator is dead may still be on its way to the process that will map it (a result whose executor has just
// died): a minute covers every queue it can be in but a lost client's.
constexpr kj::Duration ORPHAN_GRACE = 1 * kj::MINUTES;
// A result of a live executor that nobody fetched: its client is gone for good. The scheduler keeps results for a lost client
// for half a minute, so ten cover a slow one too.
constexpr kj::Duration RESULT_GRACE = 10 * kj::MINUTES;
// How often the daemon sweeps.
constexpr kj::Duration SWEEP_INTERVAL = 1 * kj::MINUTES;

struct Swept {
  uint objects = 0;
  uint64_t bytes = 0;
};

// Where the objects are and who is alive; tests give their own.
struct SweepScope {
  kj::StringPtr directory = "/dev/shm";
  // Creators in another pid namespace look dead: hosts of containers that share /dev/shm must share that namespace too.
  kj::Function<bool(pid_t)> isAlive;
  // Is it an executor of this daemon, whose objects are results?
  kj::Function<bool(pid_t)> isExecutor;
};

// Looks at this user's objects only. `now`: the calendar time, which objects' ages are reckoned from.
Swept sweep(SweepScope& scope, kj::Date now);

// Unlinks every object of this user's that one of these processes made.
Swept removeOf(kj::Function<bool(pid_t)> isCreator, kj::StringPtr directory = "/dev/shm");

// By kill(pid, 0).
bool processAlive(pid_t pid);

}  // namespace epochly::objects

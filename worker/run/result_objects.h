// The shared memory that results are in, when nobody will take them: attempts that were cancelled while they answered, executors
// that died before they could tell, clients that have gone.
//
// A result's object is named after the process and the attempt that made it, so it can be found without having been told of.
#pragma once

#include <map>

#include <sys/types.h>

#include <kj/time.h>

#include "objects/sweep.h"
#include "run/assignment.h"
#include "task.capnp.h"

namespace epochly::run {

// What stands in its object's name (objects::Object::create) in place of a random number.
inline uint32_t markOf(const AttemptName& attempt) { return attempt.hashCode(); }

// Lives on the daemon's loop.
class ResultObjects {
 public:
  ResultObjects() = default;
  ~ResultObjects() noexcept;
  KJ_DISALLOW_COPY(ResultObjects);

  // An executor, until a sweep would take what it has left.
  void onStarted(pid_t executor) { executors[executor] = nullptr; }
  void onGone(pid_t executor, kj::TimePoint now);
  size_t executorCount() const { return executors.size(); }

  // Each removes what is there; nothing happens if it is not, or was taken.
  void remove(pid_t executor, const AttemptName& attempt);
  void remove(const AttemptName& attempt);  // whichever executor made it
  void remove(schema::AttemptResult::Reader result);
  // When this goes, so does everything of these executors, and of `client` (0: none): nobody is left who could take it. They have
  // ended by then.
  void removeAllAtEnd(pid_t client = 0);

 private:
  std::map<pid_t, kj::Maybe<kj::TimePoint>> executors;  // since when they are gone; a pid that lives again starts anew
  bool allAtEnd = false;
  pid_t clientAtEnd = 0;
};

}  // namespace epochly::run

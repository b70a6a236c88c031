// Which worker gets a task: the one that is expected to finish it first. Pure: reads the tables, changes nothing.
#pragma once

#include <kj/one-of.h>

#include "core/core.h"

namespace epochly::route {

struct Chosen {
  WorkerId worker;
  double expectedSeconds;  // of running it, without what is ahead
};

// Why no worker can have it now.
struct NoRoom {};  // some fit, all their windows are full
struct NoFit {};   // none fits, whatever its load

class Router {
 public:
  explicit Router(const core::Limits& limits) : limits(limits) {}

  // Deterministic: ties go to the lower backlog, then the lower id.
  kj::OneOf<Chosen, NoRoom, NoFit> place(const core::Task& task, const core::Core& core) const;

  // Seconds until `worker` would finish `task`, from now: queue ahead + transfer and compiling of what is not there +
  // run.
  double expectedFinish(const core::Task& task, const core::Worker& worker) const;
  // Whether `worker`, which fits it, may take a task of this queue now: a slot is free or what is ahead is covered by `prefetch`;
  // for one that runs alone, that it is reserved and idle.
  bool hasRoom(const core::Worker& worker, const core::QueueKey& key) const;
  // What a task whose function never ran at this level is reckoned at.
  double expectedRun(const core::Task& task) const;

 private:
  const core::Limits& limits;
};

// Why the task is where it is, for Client.explain and REST: per worker what does not fit, or how far ahead the queue is.
kj::String explain(const core::Task& task, const core::Core& core, const core::Limits& limits, kj::TimePoint now);

}  // namespace epochly::route

#include "run/dispatcher.h"

#include <kj/debug.h>

namespace epochly::run {

Dispatcher::Dispatcher(const DispatchLimits& limits, ExecutorControl& control, ResultPort& results, Observer& observer)
    : limits(limits),
      control(control),
      results(results),
      observer(observer),
      functions(limits.functionsMax, limits.functionTableBytesMax) {
  KJ_REQUIRE(limits.cpuSlots > 0 && limits.ioThreads > 0 && limits.ioThreads <= IO_THREADS_MAX, limits.cpuSlots,
             limits.ioThreads);
}

kj::Maybe<kj::TimePoint> Dispatcher::settle(kj::TimePoint now) {
  enforceLifeDeadlines(now);
  enforceTimeouts(now);
  if (draining) {
    for (auto& executor : executors) {
      if (executor.second.role == Role::CPU) recall(executor.second);
    }
    giveBack(queue(Role::CPU));
    giveBack(queue(Role::IO));
  }
  recallStalled(now);
  placeCpu(now);
  placeIo(now);
  placeSuspects(now);
  retireWorn(now);
  leaveIfDone(now);
  startMissing(now);
  return nextWake(now);
}

// ---- from the scheduler --------------------------------------------------------------------------------------------

void Dispatcher::onFunction(schema::Function::Reader definition) { functions.add(definition); }

bool Dispatcher::onAssigned(schema::Assignment::Reader reader) {
  AttemptName name{readTaskId(reader.getTask()), Attempt(reader.getAttempt())};
  if (byName.find(name) != nullptr) return false;
  KJ_IF_MAYBE(level, levelFromNumber(reader.getLevel())) {
    observer.onAttemptTaken(*level);
    auto function = functions.find(reader.getFunction());
    if (function == nullptr) {
      observer.onAttemptEnded(*level, Outcome::FAILURE);
      results.fail(name, *level, Failure::of(ErrorCode::INTERNAL, kj::str("the worker was never sent its function")));
      return true;
    }
    if (byName.size() >= limits.heldMax || heldBytes >= limits.heldBytesMax) {
      observer.onAttemptEnded(*level, Outcome::NOT_RUN);
      results.notRun(name, *level);
      return true;
    }
    auto& waiting = queue(roleOf(*level));
    waiting.push_back(
        Assignment{name, *level, reader.getTimeoutMs(), function, Owned<schema::Assignment>(reader), roleOf(*level)});
    heldBytes += waiting.back().message.bytes();
    byName.insert(name, std::prev(waiting.end()));
  } else {
    results.fail(name, Level::MONITOR,
                 Failure::of(ErrorCode::INVALID_ARGUMENT, kj::str("there is no level ", reader.getLevel())));
  }
  return true;
}

void Dispatcher::onCancel(const AttemptName& name, kj::TimePoint now) {
  KJ_IF_MAYBE(found, byName.find(name)) {
    interrupt(*found, Outcome::CANCELLED, Failure::of(ErrorCode::CANCELLED, kj::str("cancelled")), now);
  }  // else its result is on the way
}

void Dispatcher::onRecall(const AttemptName& name) {
  KJ_IF_MAYBE(found, byName.find(name)) {
    AssignmentList::iterator assignment = *found;
    if (assignment->executor != ExecutorId() && assignment->queue == Role::CPU) recall(executors.at(assignment->executor));
    // A suspect has begun before; what threads have been given begins at once.
    if (assignment->executor != ExecutorId() || assignment->queue == Role::ALONE) return;
    results.notRun(assignment->name, assignment->level);
    forget(queue(assignment->queue), assignment, Outcome::NOT_RUN);
  }  // else its result is on the way
}

void Dispatcher::onDrain() { draining = true; }

void Dispatcher::onResume() { draining = false; }

void Dispatcher::onShutdown(kj::TimePoint now) {
  draining = true;
  for (auto& [id, executor] : executors) {
    if (executor.state == State::STARTING) leave(executor, true, now);
    if (executor.state == State::READY) retire(executor, now);
  }
}

void Dispatcher::onConnectionLost(kj::TimePoint now) {
  for (auto& [id, executor] : executors) {
    if (executor.role == Role::CPU) recall(executor);
  }
  for (auto& waiting : queues) {
    while (!waiting.empty()) forget(waiting, waiting.begin(), Outcome::DROPPED);
  }
  for (auto& [id, executor] : executors) {
    bool busy = !executor.held.empty() || executor.abandoned.size() > 0;
    while (!executor.held.empty()) {
      executor.abandoned.insert(AttemptName(executor.held.front().name));
      forget(executor.held, executor.held.begin(), Outcome::DROPPED);
    }
    if (busy) leave(executor, true, now);
  }
  functions.forgetConnection();
}

void Dispatcher::forgetFunctions() {
  KJ_REQUIRE(idle());
  functions.clear();
}

// ---- from executors ------------------------------------------------------------------------------------------------

bool Dispatcher::onResult(ExecutorId id, const AttemptName& name, bool failed, kj::Maybe<kj::Duration> run,
                          kj::TimePoint now) {
  Executor& executor = executors.at(id);
  executor.progressed = now;
  starts[static_cast<uint>(executor.role)].failures = 0;  // this one works
  KJ_IF_MAYBE(at, byName.find(name)) {
    AssignmentList::iterator assignment = *at;
    if (assignment->executor == id) {
      KJ_IF_MAYBE(sample, run) {
        assignment->function->learn(*sample);
        observer.onAttemptRan(assignment->level, *sample);
      }
      forget(executor.held, assignment, failed ? Outcome::FAILURE : Outcome::VALUE);
      return true;
    }
  }
  executor.abandoned.eraseMatch(name);  // it has come back
  observer.onResultDropped();
  return false;
}

// ---- assignments ---------------------------------------------------------------------------------------------------

void Dispatcher::deliver(Executor& executor, AssignmentList::iterator assignment, kj::TimePoint now) {
  auto& from = queue(assignment->queue);
  bool withFunction = executor.functions.insert(assignment->function->id).second;
  if (withFunction) executor.functionBytes += assignment->function->definition.bytes();
  if (executor.held.empty()) executor.progressed = now;
  assignment->executor = executor.id;
  assignment->index = executor.delivered++;
  KJ_IF_MAYBE(runTime, assignment->function->runTime) {
    assignment->expected = *runTime + limits.overhead;
    assignment->expectedKnown = true;
    executor.backlog += assignment->expected;
  } else {
    assignment->expectedKnown = false;
    executor.unknownHeld++;
  }
  executor.held.splice(executor.held.end(), from, assignment);
  delivered++;
  if (assignment->timeoutMs > 0) watch(*assignment, now + assignment->timeoutMs * kj::MILLISECONDS);
  control.deliver(executor.id, *assignment, withFunction);
}

void Dispatcher::unhold(Executor& executor, const Assignment& assignment) {
  delivered--;
  if (assignment.expectedKnown) {
    executor.backlog -= assignment.expected;
  } else {
    executor.unknownHeld--;
  }
}

void Dispatcher::forget(AssignmentList& from, AssignmentList::iterator assignment, Outcome outcome) {
  if (assignment->executor != ExecutorId()) unhold(executors.at(assignment->executor), *assignment);
  unwatch(*assignment);
  observer.onAttemptEnded(assignment->level, outcome);
  heldBytes -= assignment->message.bytes();
  byName.erase(assignment->name);
  from.erase(assignment);
}

void Dispatcher::fail(AssignmentList& from, AssignmentList::iterator assignment, Outcome outcome, Failure failure) {
  results.fail(assignment->name, assignment->level, kj::mv(failure));
  forget(from, assignment, outcome);
}

void Dispatcher::giveBack(AssignmentList& from) {
  while (!from.empty()) {
    results.notRun(from.front().name, from.front().level);
    forget(from, from.begin(), Outcome::NOT_RUN);
  }
}

void Dispatcher::takeBack(Executor& executor, AssignmentList::iterator first, AssignmentList::iterator last, Role to) {
  for (auto at = first; at != last; at++) {
    unhold(executor, *at);
    unwatch(*at);
    at->executor = ExecutorId();
    at->queue = to;
  }
  queue(to).splice(queue(to).begin(), executor.held, first, last);
}

void Dispatcher::recall(Executor& executor) {
  if (executor.held.empty()) return;
  uint32_t end = control.recall(executor.id, executor.delivered);
  auto first = executor.held.begin();
  while (first != executor.held.end() && indexBefore(first->index, end)) first++;
  if (first == executor.held.end()) return;
  size_t before = executor.held.size();
  takeBack(executor, first, executor.held.end(), Role::CPU);
  observer.onAttemptsRecalled(before - executor.held.size());
}

// ---- looking -------------------------------------------------------------------------------------------------------

kj::Maybe<kj::StringPtr> Dispatcher::fatal() const {
  KJ_IF_MAYBE(reason, fatalReason) return reason->asPtr();
  return nullptr;
}

bool Dispatcher::anyAhead() const {
  for (auto& [id, executor] : executors) {
    if (executor.held.size() > 1) return true;
  }
  return false;
}

size_t Dispatcher::queuedCount() const { return byName.size() - runningCount(); }

size_t Dispatcher::runningCount() const {
  size_t count = 0;
  for (auto& [id, executor] : executors) {
    count += executor.role == Role::IO ? executor.held.size() : kj::min(executor.held.size(), 1);
  }
  return count;
}

size_t Dispatcher::readyCount(Role role) const {
  size_t count = 0;
  for (auto& [id, executor] : executors) count += executor.role == role && executor.state == State::READY;
  return count;
}

void Dispatcher::checkInvariants() const {
  size_t found = 0, bytes = 0, held = 0, watched = 0;
  auto check = [&](const AssignmentList& list, ExecutorId owner) {
    for (auto at = list.begin(); at != list.end(); at++) {
      auto& entry = KJ_ASSERT_NONNULL(byName.find(at->name), "in a list but not in byName");
      KJ_ASSERT(&*entry == &*at, "byName points elsewhere");
      KJ_ASSERT(at->executor == owner, "in the wrong list");
      KJ_ASSERT((at->checkAt != nullptr) == (at->timeoutMs > 0 && owner != ExecutorId()),
                "a timeout is watched from delivery");
      KJ_IF_MAYBE(checkAt, at->checkAt) {
        KJ_ASSERT(deadlines.count({*checkAt, at->name}) == 1);
        watched++;
      }
      found++;
      bytes += at->message.bytes();
    }
  };
  for (auto& waiting : queues) check(waiting, ExecutorId());
  for (auto& [id, executor] : executors) {
    check(executor.held, id);
    held += executor.held.size();
    uint unknown = 0;
    auto backlog = 0 * kj::SECONDS;
    for (auto& assignment : executor.held) {
      unknown += !assignment.expectedKnown;
      if (assignment.expectedKnown) backlog += assignment.expected;
      KJ_ASSERT(executor.functions.count(assignment.function->id) == 1, "delivered without its function");
    }
    KJ_ASSERT(unknown == executor.unknownHeld && backlog == executor.backlog);
    KJ_ASSERT(executor.wasReady || executor.held.empty());
    KJ_ASSERT(executor.state != State::LEAVING || executor.killed || executor.held.empty(),
              "told to stop with work in hand");
    KJ_ASSERT(executor.role == Role::IO || executor.held.size() <= limits.aheadMax);
    KJ_ASSERT(executor.role != Role::IO || executor.held.size() + executor.abandoned.size() <= limits.ioThreads);
    KJ_ASSERT(executor.role != Role::ALONE || executor.held.size() <= 1);
  }
  KJ_ASSERT(found == byName.size() && bytes == heldBytes && held == delivered && watched == deadlines.size());
}

}  // namespace epochly::run

// Dispatcher: executors are started, retire, stop, die; and who is charged for a death.
#include "run/dispatcher.h"

#include <kj/debug.h>

namespace epochly::run {

// ---- starting ------------------------------------------------------------------------------------------------------

uint Dispatcher::wanted(Role role) const {
  if (role == Role::ALONE) {
    size_t busy = 0;
    for (auto& [id, executor] : executors) busy += executor.role == Role::ALONE && !executor.held.empty();
    return kj::min(queues[static_cast<uint>(Role::ALONE)].size() + busy, limits.aloneMax);
  }
  if (draining) return 0;
  return role == Role::CPU ? limits.cpuSlots : 1;
}

uint Dispatcher::live(Role role) const {
  uint count = 0;
  for (auto& [id, executor] : executors) {
    count += executor.role == role && (executor.state == State::STARTING || executor.state == State::READY);
  }
  return count;
}

void Dispatcher::startMissing(kj::TimePoint now) {
  if (fatalReason != nullptr) return;
  for (Role role : {Role::CPU, Role::IO, Role::ALONE}) {
    if (now < starts[static_cast<uint>(role)].notBefore) continue;
    for (uint missing = wanted(role), have = live(role); have < missing; have++) start(role, missing, now);
  }
}

void Dispatcher::start(Role role, uint wanted, kj::TimePoint now) {
  ExecutorId id(++lastExecutor);
  auto& executor = executors[id];
  executor.id = id;
  executor.role = role;
  executor.since = now;
  executor.progressed = now;
  bool replacement = ++starts[static_cast<uint>(role)].count > wanted && role != Role::ALONE;
  restarts += replacement;
  observer.onExecutorStarted(role, replacement);
  control.start(id, role);
}

void Dispatcher::onReady(ExecutorId id, kj::TimePoint now) {
  auto found = executors.find(id);
  if (found == executors.end() || found->second.state != State::STARTING) return;
  auto& executor = found->second;
  executor.state = State::READY;
  executor.since = now;
  executor.wasReady = true;
  observer.onExecutorReady(executor.role);
}

void Dispatcher::onStartFailure(const Executor& executor, kj::StringPtr how, kj::TimePoint now) {
  auto& of = starts[static_cast<uint>(executor.role)];
  if (of.failures > 0 && executor.since < of.failedAt) return;  // of the same wave as a failure that was counted
  of.failures++;
  of.failedAt = now;
  of.notBefore = now + limits.startDelay * (1u << (of.failures - 1));
  if (of.failures >= limits.startFailuresMax) {
    fatalReason = kj::str("executors do not start; the last of ", of.failures, " ", how);
  }
}

// ---- leaving -------------------------------------------------------------------------------------------------------

void Dispatcher::retire(Executor& executor, kj::TimePoint now) {
  executor.state = State::RETIRING;
  executor.since = now;
}

void Dispatcher::leave(Executor& executor, bool kill, kj::TimePoint now) {
  if (executor.killed) return;
  if (executor.state != State::LEAVING) executor.since = now;
  executor.state = State::LEAVING;
  executor.killed = kill;
  kill ? control.kill(executor.id) : control.stop(executor.id);
}

// One at a time of a role, so that the others carry on while its replacement starts.
void Dispatcher::retireWorn(kj::TimePoint now) {
  for (Role role : {Role::CPU, Role::IO}) {
    if (draining || live(role) < wanted(role) || readyCount(role) < wanted(role)) continue;
    for (auto& [id, executor] : executors) {
      bool worn = executor.functions.size() >= limits.functionsPerExecutorMax ||
                  executor.functionBytes >= limits.functionBytesPerExecutorMax;
      if (executor.role != role || !worn || executor.state != State::READY) continue;
      retire(executor, now);
      break;
    }
  }
}

void Dispatcher::leaveIfDone(kj::TimePoint now) {
  for (auto& [id, executor] : executors) {
    if (!executor.held.empty()) continue;
    if (executor.state == State::RETIRING) leave(executor, executor.abandoned.size() > 0, now);
    if (executor.role == Role::ALONE && executor.state == State::READY && queue(Role::ALONE).empty())
      leave(executor, false, now);
  }
}

void Dispatcher::enforceLifeDeadlines(kj::TimePoint now) {
  for (auto& [id, executor] : executors) {
    bool late = executor.state == State::STARTING && now - executor.since >= limits.readyDeadline;
    bool deaf = executor.state == State::LEAVING && !executor.killed && now - executor.since >= limits.stopDeadline;
    if (late || deaf) leave(executor, true, now);
  }
}

// ---- dying ---------------------------------------------------------------------------------------------------------

bool Dispatcher::onGone(ExecutorId id, kj::StringPtr how, kj::TimePoint now) {
  auto found = executors.find(id);
  KJ_REQUIRE(found != executors.end(), "an executor nobody started is gone");
  auto& executor = found->second;
  discardResults(executor);
  if (executor.role == Role::CPU) {
    chargeCpu(executor, how);
  } else {
    chargeShared(executor, how);
  }
  requeue(executor, how);
  bool neverLived = !executor.wasReady || (executor.delivered == 0 && now - executor.since < limits.goodLife);
  if (neverLived && !draining && (executor.state != State::LEAVING || !executor.wasReady))
    onStartFailure(executor, how, now);
  observer.onExecutorGone(executor.role, executor.wasReady);
  bool asked = executor.state == State::LEAVING;
  executors.erase(found);
  return asked;
}

// Attempts run in the order of delivery, and a result is in the ring before the next begins: what has begun and has no result
// is the one that was running.
void Dispatcher::chargeCpu(Executor& executor, kj::StringPtr how) {
  if (executor.held.empty()) return;
  uint32_t end = control.last(executor.id).end;
  while (!executor.held.empty() && indexBefore(executor.held.front().index, end)) {
    fail(executor.held, executor.held.begin(), Outcome::DIED,
         Failure::of(ErrorCode::EXECUTOR_DIED, kj::str("the executor running it ", how)));
  }
}

// Several may have been running. If it is one, it is the cause; else each is run again alone to find out.
void Dispatcher::chargeShared(Executor& executor, kj::StringPtr how) {
  if (executor.held.empty()) return;
  std::set<uint32_t> begun;
  for (auto& entry : control.entered(executor.id)) begun.insert(entry.index);
  kj::Vector<AssignmentList::iterator> suspects;
  for (auto at = executor.held.begin(); at != executor.held.end(); at++) {
    if (begun.count(at->index)) suspects.add(at);
  }
  if (suspects.size() == 1 && executor.abandoned.size() == 0) {
    fail(executor.held, suspects[0], Outcome::DIED,
         Failure::of(ErrorCode::EXECUTOR_DIED, kj::str("the executor running it ", how)));
    return;
  }
  for (size_t i = suspects.size(); i > 0; i--) {  // backwards: each goes to the front of the queue
    takeBack(executor, suspects[i - 1], std::next(suspects[i - 1]), Role::ALONE);
  }
  if (!suspects.empty()) observer.onAttemptsSuspected(suspects.size());
}

// Whatever it had in hand may have a result that it could not tell of any more.
void Dispatcher::discardResults(const Executor& executor) {
  for (auto& assignment : executor.held) control.discard(executor.id, assignment.name);
  for (auto& name : executor.abandoned) control.discard(executor.id, name);
}

// What had not begun goes to another executor, unless it has met with this too often.
void Dispatcher::requeue(Executor& executor, kj::StringPtr how) {
  for (auto at = executor.held.begin(); at != executor.held.end();) {
    auto assignment = at++;
    if (++assignment->losses < limits.lossesMax) continue;
    fail(executor.held, assignment, Outcome::DIED,
         Failure::of(ErrorCode::EXECUTOR_DIED,
                     kj::str("executors died ", assignment->losses,
                             " times when they were given it, before it began; the last one ", how)));
  }
  if (!executor.held.empty()) {
    takeBack(executor, executor.held.begin(), executor.held.end(), executor.role);
  }
}

}  // namespace epochly::run

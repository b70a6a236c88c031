// Dispatcher: attempts that run too long or are not wanted any more.
#include "run/dispatcher.h"

namespace epochly::run {

namespace {

// An attempt that has ended but whose result has not been read yet is looked at again after this.
constexpr kj::Duration LOOK_AGAIN = 1 * kj::MILLISECONDS;

kj::TimePoint timeOf(uint64_t monotonicNs) { return kj::origin<kj::TimePoint>() + monotonicNs * kj::NANOSECONDS; }

bool sooner(kj::Maybe<kj::TimePoint>& best, kj::TimePoint candidate) {
  KJ_IF_MAYBE(at, best) {
    if (*at <= candidate) return false;
  }
  best = candidate;
  return true;
}

}  // namespace

void Dispatcher::watch(Assignment& assignment, kj::TimePoint at) {
  unwatch(assignment);
  assignment.checkAt = at;
  deadlines.insert({at, assignment.name});
}

void Dispatcher::unwatch(Assignment& assignment) {
  KJ_IF_MAYBE(at, assignment.checkAt) {
    deadlines.erase({*at, assignment.name});
    assignment.checkAt = nullptr;
  }
}

void Dispatcher::enforceTimeouts(kj::TimePoint now) {
  while (!deadlines.empty() && deadlines.begin()->first <= now) {
    AssignmentList::iterator assignment = KJ_ASSERT_NONNULL(byName.find(deadlines.begin()->second));
    auto expires = expiry(*assignment, now);
    if (expires > now) {
      watch(*assignment, expires);
      continue;
    }
    auto message = kj::str("it ran longer than its timeout of ", assignment->timeoutMs, " ms");
    interrupt(assignment, Outcome::TIMEOUT, Failure::of(ErrorCode::TIMEOUT, kj::mv(message)), now);
  }
}

// When a delivered attempt's time is up, as far as its executor's page tells now; it counts from when user code began.
kj::TimePoint Dispatcher::expiry(const Assignment& assignment, kj::TimePoint now) {
  auto timeout = assignment.timeoutMs * kj::MILLISECONDS;
  auto& executor = executors.at(assignment.executor);
  if (executor.role == Role::CPU) {
    auto last = control.last(executor.id);
    if (assignment.index + 1 == last.end) return timeOf(last.atNs) + timeout;
    return indexBefore(assignment.index, last.end) ? now + LOOK_AGAIN : now + timeout;
  }
  for (auto& entry : control.entered(executor.id)) {
    if (entry.index == assignment.index) return timeOf(entry.atNs) + timeout;
  }
  return now + kj::min(timeout, LOOK_AGAIN);  // not begun, or just ended
}

void Dispatcher::interrupt(AssignmentList::iterator assignment, Outcome outcome, Failure failure, kj::TimePoint now) {
  if (assignment->executor != ExecutorId() && assignment->queue == Role::CPU) recall(executors.at(assignment->executor));
  if (assignment->executor == ExecutorId()) {
    fail(queue(assignment->queue), assignment, outcome, kj::mv(failure));
    return;
  }
  Executor& executor = executors.at(assignment->executor);
  executor.abandoned.insert(AttemptName(assignment->name));
  if (executor.role == Role::IO) {
    fail(executor.held, assignment, outcome, kj::mv(failure));
    if (executor.abandoned.size() > limits.abandonedMax() && executor.state == State::READY) retire(executor, now);
  } else {
    fail(executor.held, assignment, outcome, kj::mv(failure));
    leave(executor, true, now);
  }
}

kj::Maybe<kj::TimePoint> Dispatcher::nextWake(kj::TimePoint now) const {
  kj::Maybe<kj::TimePoint> wake;
  if (!deadlines.empty()) sooner(wake, deadlines.begin()->first);
  for (auto& [id, executor] : executors) {
    if (executor.state == State::STARTING) sooner(wake, executor.since + limits.readyDeadline);
    if (executor.state == State::LEAVING && !executor.killed) sooner(wake, executor.since + limits.stopDeadline);
    auto stalls = executor.progressed + limits.ahead;  // afterwards only an executor that falls idle changes anything
    if (executor.role == Role::CPU && executor.held.size() > 1 && stalls > now) sooner(wake, stalls);
  }
  for (Role role : {Role::CPU, Role::IO, Role::ALONE}) {
    auto& of = starts[static_cast<uint>(role)];
    if (of.notBefore > now && live(role) < wanted(role) && fatalReason == nullptr) sooner(wake, of.notBefore);
  }
  return wake;
}

}  // namespace epochly::run

// Dispatcher: which executor gets which waiting attempt.
#include "run/dispatcher.h"

namespace epochly::run {

// An idle executor takes anything; a busy one takes more only if all that it would hold is known to be over soon.
bool Dispatcher::mayTake(const Executor& executor, const Assignment& assignment, kj::TimePoint now) const {
  if (executor.held.empty()) return true;
  if (executor.held.size() >= limits.aheadMax || executor.unknownHeld > 0) return false;
  if (now - executor.progressed >= limits.ahead) return false;  // what it runs takes longer than it used to
  KJ_IF_MAYBE(runTime, assignment.function->runTime) return executor.backlog + *runTime + limits.overhead <= limits.ahead;
  return false;
}

// Of the executors that may take it, the one that will be done first; the oldest among equals.
Dispatcher::Executor* Dispatcher::cpuExecutorFor(const Assignment& assignment, kj::TimePoint now) {
  Executor* best = nullptr;
  for (auto& [id, executor] : executors) {
    if (executor.role != Role::CPU || executor.state != State::READY || !mayTake(executor, assignment, now)) continue;
    if (best == nullptr || executor.backlog < best->backlog) best = &executor;
  }
  return best;
}

Dispatcher::Executor* Dispatcher::ioExecutorWithRoom() {
  for (auto& [id, executor] : executors) {
    if (executor.role != Role::IO || executor.state != State::READY) continue;
    if (executor.held.size() + executor.abandoned.size() < limits.ioThreads) return &executor;
  }
  return nullptr;
}

Dispatcher::Executor* Dispatcher::idleExecutor(Role role) {
  for (auto& [id, executor] : executors) {
    if (executor.role == role && executor.state == State::READY && executor.held.empty()) return &executor;
  }
  return nullptr;
}

void Dispatcher::placeCpu(kj::TimePoint now) {
  auto& waiting = queue(Role::CPU);
  while (!waiting.empty()) {
    Executor* executor = cpuExecutorFor(waiting.front(), now);
    if (executor == nullptr) return;
    deliver(*executor, waiting.begin(), now);
  }
}

void Dispatcher::placeIo(kj::TimePoint now) {
  auto& waiting = queue(Role::IO);
  while (!waiting.empty()) {
    Executor* executor = ioExecutorWithRoom();
    if (executor == nullptr) return;
    deliver(*executor, waiting.begin(), now);
  }
}

void Dispatcher::placeSuspects(kj::TimePoint now) {
  auto& waiting = queue(Role::ALONE);
  while (!waiting.empty()) {
    Executor* executor = idleExecutor(Role::ALONE);
    if (executor == nullptr) return;
    deliver(*executor, waiting.begin(), now);
  }
}

// Attempts wait behind one that takes longer than it used to, while another executor has nothing to do.
void Dispatcher::recallStalled(kj::TimePoint now) {
  if (!queue(Role::CPU).empty() || idleExecutor(Role::CPU) == nullptr) return;
  for (auto& [id, executor] : executors) {
    if (executor.role == Role::CPU && executor.held.size() > 1 && now - executor.progressed >= limits.ahead)
      recall(executor);
  }
}

}  // namespace epochly::run

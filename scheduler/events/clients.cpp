// What clients do: open, submit, cancel, acknowledge, leave.
#include <kj/debug.h>

#include "events/events.h"

namespace epochly::events {

using core::Client;
using core::TaskState;

Events::Events(core::Core& core, core::Ports ports, core::Observer& observer, const classify::Thresholds& thresholds)
    : core(core), ports(ports), observer(observer), thresholds(thresholds), router(core.limits) {}

void Events::settle(kj::TimePoint now) {
  core.eventCount++;
  placeReady(now);
  armTimer(now);
}

Client& Events::clientOf(SpaceId space) {
  auto found = core.clients.find(space);
  if (found == core.clients.end()) {
    kj::throwFatalException(makeError(ErrorCode::NOT_FOUND, "this client's namespace is not open: connect again"));
  }
  return found->second;
}

SpaceId Events::onClientOpen(SpaceId wanted, HostId host, kj::TimePoint now) {
  auto found = core.clients.find(wanted);
  if (found != core.clients.end()) {
    found->second.host = host;
    found->second.connected = true;
    found->second.sent = 0;  // on the old connection they may have been lost
    if (!found->second.results.empty()) ports.clients.resultsReady(wanted);
    settle(now);
    return wanted;
  }
  if (core.draining) kj::throwFatalException(makeError(ErrorCode::SHUTTING_DOWN, "the scheduler is shutting down"));
  KJ_IF_MAYBE(why, admission::refuseClient(core)) {
    observer.refused(ErrorCode::OVERLOADED, 0);
    kj::throwFatalException(makeError(ErrorCode::OVERLOADED, *why));
  }
  SpaceId space;
  while (space.value == 0 || core.clients.count(space) > 0) space = SpaceId(ports.random.next());
  auto& client = core.clients[space];
  client.space = space;
  client.host = host;
  client.connected = true;
  settle(now);
  return space;
}

void Events::onClientLost(SpaceId space, kj::TimePoint now) {
  auto found = core.clients.find(space);
  if (found == core.clients.end()) return;
  found->second.connected = false;
  found->second.lostAt = now;
  found->second.sent = 0;
  settle(now);
}

void Events::onClientClosed(SpaceId space, kj::TimePoint now) {
  auto found = core.clients.find(space);
  if (found == core.clients.end()) return;
  auto& client = found->second;
  for (auto& result : client.results) {  // nobody will take them any more
    ports.store.acknowledged(result.id);
    discard(result.placement.worker, result.id, result.attempt, result.value);
  }
  kj::Vector<uint64_t> seqs(client.queued);
  for (auto task = client.firstTask; task != nullptr; task = task->clientNext) seqs.add(task->id.seq);
  core.clients.erase(found);
  onCancel(space, seqs, now);
}

Receipt Events::onSubmit(SpaceId space, kj::ArrayPtr<NewTask> tasks, kj::TimePoint now) {
  auto& client = clientOf(space);
  // What was accepted before has a receipt still: its client may have missed the first.
  bool anyAccepted = tasks.size() > 0 && tasks.front().seq <= client.seqMax;
  if (core.draining && !anyAccepted) {
    observer.refused(ErrorCode::SHUTTING_DOWN, tasks.size());
    kj::throwFatalException(makeError(ErrorCode::SHUTTING_DOWN, "the scheduler is shutting down and takes no new tasks"));
  }
  for (auto& task : tasks) {
    if (core.functions.count(task.function) > 0) continue;
    kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, kj::str("function ", toString(task.function),
                                                                           " was not sent before its task ", task.seq)));
  }
  Receipt receipt;
  for (auto& task : tasks) {
    if (task.seq <= client.seqMax) {
      core.totals.duplicates++;
    } else {
      KJ_IF_MAYBE(why, admission::refuseTask(core, client, task.arguments.inlineBytes())) {
        receipt.retryAfter = core.limits.retryAfter;
        observer.refused(ErrorCode::OVERLOADED, tasks.size() - receipt.accepted);
        break;
      }
      accept(client, kj::mv(task), now);
    }
    receipt.accepted++;
  }
  settle(now);
  return receipt;
}

void Events::onCancel(SpaceId space, kj::ArrayPtr<const uint64_t> seqs, kj::TimePoint now) {
  for (auto seq : seqs) {
    auto found = core.tasks.find(TaskId{space, seq});
    if (found == core.tasks.end()) continue;  // it has ended: its result is on its way
    auto& task = found->second;
    if (task.state == TaskState::ASSIGNED) {
      task.cancelRequested = true;
      ports.workers.cancel(task.worker, task.id, task.attempt);
    } else {
      leaveQueueOrBackoff(task);
      endCancelled(task, now);
    }
  }
  settle(now);
}

void Events::onResultsSent(SpaceId space, size_t count) {
  auto found = core.clients.find(space);
  if (found == core.clients.end()) return;
  found->second.sent += count;
  KJ_ASSERT(found->second.sent <= found->second.results.size(), "only results that are there can be sent");
}

void Events::onAcknowledged(SpaceId space, size_t count) {
  auto found = core.clients.find(space);
  if (found == core.clients.end()) return;
  auto& client = found->second;
  KJ_REQUIRE(count <= client.sent, "only results that were sent can be acknowledged", count, client.sent);
  for (size_t i = 0; i < count; i++) {
    ports.store.acknowledged(client.results.front().id);
    client.resultBytes -= client.results.front().bytes();
    client.results.pop_front();
  }
  client.sent -= count;
}

}  // namespace epochly::events

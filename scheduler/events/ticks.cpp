// What time brings: silent workers, due retries, expired graces.
#include <algorithm>

#include "events/events.h"
#include "wire/task_spec.h"

namespace epochly::events {

void Events::onTick(kj::TimePoint now) {
  KJ_IF_MAYBE(armed, armedFor) {
    if (*armed <= now) {
      auto late = now - *armed;
      if (late > core.limits.heartbeat) forgive(late, now);
      armedFor = nullptr;
    }
  }
  wakeBackoff(now);
  if (recallAt != kj::origin<kj::TimePoint>() && now >= recallAt) {
    recallWaiting(now);
    recallAt = kj::origin<kj::TimePoint>();
  }
  if (now >= housekeepingAt) {
    dropSilentWorkers(now);
    forgetLostClients(now);
    failUnfit(now);
    forgetEmptyQueues();
    housekeepingAt = now + core.limits.heartbeat / 2;
  }
  settle(now);
}

void Events::onDrain(kj::TimePoint now) {
  core.draining = true;
  settle(now);
}

// This process was stopped, or its machine was. What its peers said meanwhile is still in its sockets, so that time counts
// against nobody: else one long pause would cost every worker its tasks and every absent client its results.
void Events::forgive(kj::Duration late, kj::TimePoint now) {
  auto postpone = [&](kj::TimePoint& since) { since = std::min(since + late, now); };
  for (auto& [id, worker] : core.workers) postpone(worker.lastHeard);
  for (auto& [space, client] : core.clients) postpone(client.lostAt);
  for (auto& [key, queue] : core.queues) {
    KJ_IF_MAYBE(since, queue.unfitSince) {
      postpone(*since);
    }
  }
}

// Keys come from clients (hosts, Python versions): what nobody stands in any more must not add up.
void Events::forgetEmptyQueues() {
  std::erase_if(core.queues, [](auto& entry) { return entry.second.head == nullptr; });
}

void Events::wakeBackoff(kj::TimePoint now) {
  while (!core.backoff.empty() && core.backoff.begin()->first <= now) {
    auto id = core.backoff.begin()->second;
    core.backoff.erase(core.backoff.begin());
    enqueue(core.tasks.at(id), now);
  }
}

void Events::dropSilentWorkers(kj::TimePoint now) {
  kj::Vector<WorkerId> silent;
  for (auto& [id, worker] : core.workers) {
    if (now - worker.lastHeard > core.limits.heartbeat * MISSED_BEATS_MAX) silent.add(id);
  }
  for (auto id : silent) onLost(id, "missed heartbeats", now);
}

void Events::forgetLostClients(kj::TimePoint now) {
  kj::Vector<SpaceId> expired;
  for (auto& [space, client] : core.clients) {
    if (!client.connected && now - client.lostAt >= core.limits.clientGrace) expired.add(space);
  }
  std::sort(expired.begin(), expired.end());
  for (auto space : expired) onClientClosed(space, now);
}

// The next retry, twice a heartbeat while anyone is there to be watched, and more often while work waits at one worker that
// another could take.
void Events::armTimer(kj::TimePoint now) {
  kj::Maybe<kj::TimePoint> wanted;
  if (!core.backoff.empty()) wanted = core.backoff.begin()->first;
  if (!core.workers.empty() || !core.clients.empty() || !core.tasks.empty()) {
    auto next = std::max(housekeepingAt, now);
    if (core.aheadCount > 0 && core.workers.size() > 1) {
      // Once set it stays until a tick has looked: a timer that is late must not put it off again and again.
      if (recallAt == kj::origin<kj::TimePoint>()) recallAt = now + core.limits.recallAfter;
      next = std::min(next, std::max(recallAt, now));
    }
    KJ_IF_MAYBE(earlier, wanted) {
      next = std::min(*earlier, next);
    }
    wanted = next;
  }
  KJ_IF_MAYBE(when, wanted) {
    KJ_IF_MAYBE(armed, armedFor) {
      if (*armed <= *when) return;
    }
    armedFor = *when;
    ports.timer.wakeAt(*when);
  }
}

}  // namespace epochly::events

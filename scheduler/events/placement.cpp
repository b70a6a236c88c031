// Which queue a task stands in, and when it leaves it for a worker.
#include <algorithm>

#include <kj/debug.h>

#include "events/events.h"

namespace epochly::events {

using core::QueueKey;
using core::ReadyQueue;
using core::Task;
using core::WorkerState;

namespace {

bool anyoneFits(const core::Core& core, const QueueKey& key) {
  return std::any_of(core.workers.begin(), core.workers.end(), [&](auto& entry) { return entry.second.fits(key); });
}

// Whatever level its tasks chose, someone may fit some of their fallbacks.
bool anyLevelFits(const core::Core& core, QueueKey key) {
  for (uint level = 0; level < LEVEL_COUNT; level++) {
    key.level = static_cast<Level>(level);
    if (anyoneFits(core, key)) return true;
  }
  return false;
}

bool anyoneIsReady(const core::Core& core) {
  return std::any_of(core.workers.begin(), core.workers.end(),
                     [](auto& entry) { return entry.second.state == WorkerState::READY; });
}

double inSeconds(kj::Duration duration) { return static_cast<double>(duration / kj::MILLISECONDS) / 1000; }

}  // namespace

// The chosen level if a worker fits it, else the next of its fallbacks that one fits. None: nobody fits any of them.
kj::Maybe<QueueKey> Events::fittingKey(QueueKey key, Level chosen, uint8_t& notOffered) const {
  key.level = chosen;
  notOffered = 0;
  if (anyoneFits(core, key)) return key;
  for (auto level : classify::fallbacks(chosen)) {
    notOffered |= 1u << static_cast<uint>(key.level);
    key.level = level;
    if (anyoneFits(core, key)) return key;
  }
  notOffered = 0;
  return nullptr;
}

ReadyQueue& Events::queueFor(Task& task) {
  auto key = task.keyAt(task.levelChosen);
  uint8_t notOffered = 0;
  KJ_IF_MAYBE(fitting, fittingKey(key, task.levelChosen, notOffered)) {
    key = *fitting;
  }
  task.level = key.level;
  task.notOffered = notOffered;
  auto [found, isNew] = core.queues.try_emplace(key);
  found->second.key = key;
  return found->second;
}

// Oldest task first, over all queues that have a worker with room, so that no level starves another of their common slots.
void Events::placeReady(kj::TimePoint now) {
  reserveWorkers();
  kj::Vector<ReadyQueue*> open;
  for (auto& [key, queue] : core.queues) {
    if (queue.head != nullptr) open.add(&queue);
  }
  while (!open.empty()) {
    auto oldest = std::min_element(open.begin(), open.end(), [](auto a, auto b) {
      return std::tie(a->head->acceptedAt, a->head->id) < std::tie(b->head->acceptedAt, b->head->id);
    });
    auto& queue = **oldest;
    auto answer = router.place(*queue.head, core);
    if (answer.is<route::Chosen>()) {
      auto& chosen = answer.get<route::Chosen>();
      assign(*queue.head, core.workers.at(chosen.worker), chosen.expectedSeconds, now);
      queue.unfitSince = nullptr;
    } else if (answer.is<route::NoFit>() && queue.unfitSince == nullptr && anyoneIsReady(core)) {
      queue.unfitSince = now;
    }
    if (queue.head == nullptr || !answer.is<route::Chosen>()) {
      *oldest = open.back();
      open.removeLast();
    }
  }
}

void Events::reserve(core::Worker& worker, bool reserved) {
  core.reservedWorkers += reserved - worker.reserved;
  worker.reserved = reserved;
}

// Each queue of tasks that run alone has a worker kept for it: one that is idle, else one that gets nothing else and so falls idle.
// That stays the same one as long as any of them waits, else it might never do so.
void Events::reserveWorkers() {
  kj::Vector<const QueueKey*> waiting;
  for (auto& [key, queue] : core.queues) {
    if (key.alone && queue.head != nullptr) waiting.add(&key);
  }
  if (waiting.empty() && core.reservedWorkers == 0) return;
  for (auto& [id, worker] : core.workers) {
    if (!worker.reserved) continue;
    bool hasOne = worker.inflight.size() == 1 && worker.inflight.begin()->second->runsAlone();
    bool awaited = std::any_of(waiting.begin(), waiting.end(), [&](auto key) { return worker.fits(*key); });
    if (!hasOne && !awaited) reserve(worker, false);
  }
  for (auto key : waiting) {
    core::Worker* soonest = nullptr;
    for (auto& [id, worker] : core.workers) {
      if (!worker.fits(*key)) continue;
      auto rank = [](auto& w) { return std::tuple(!w.inflight.empty(), !w.reserved, w.inflight.size()); };
      if (soonest == nullptr || rank(worker) < rank(*soonest)) soonest = &worker;
    }
    if (soonest != nullptr) reserve(*soonest, true);
  }
}

// The set of ready workers changed: queues that nobody fits any more fall to what is offered, and those that somebody fits
// stop their clocks. Queues that have become empty are forgotten.
void Events::refit(kj::TimePoint now) {
  kj::Vector<ReadyQueue*> unfit;
  forgetEmptyQueues();
  for (auto& [key, queue] : core.queues) {
    if (anyoneFits(core, key))
      queue.unfitSince = nullptr;
    else
      unfit.add(&queue);
  }
  for (auto queue : unfit) refitQueue(*queue, now);
  // Without any worker there is nothing to wait out: tasks stay until one joins.
  if (!anyoneIsReady(core)) {
    for (auto& [key, queue] : core.queues) queue.unfitSince = nullptr;
  }
}

// Each task goes to the queue that suits it now, in order; where nobody fits it that is this queue again.
void Events::refitQueue(ReadyQueue& queue, kj::TimePoint now) {
  if (!anyLevelFits(core, queue.key)) return;  // a million tasks that wait for another Python are not looked at one by one
  for (auto left = queue.size; left > 0; left--) {
    auto& task = *queue.head;
    queue.remove(task);
    queueFor(task).pushBack(task);
  }
}

void Events::failUnfit(kj::TimePoint now) {
  for (auto& [key, queue] : core.queues) {
    KJ_IF_MAYBE(since, queue.unfitSince) {
      kj::String why;  // made once: it is the same for all of them, and there may be a million
      // Each waits from when it came here: one that comes back for a retry has not waited yet.
      while (queue.head != nullptr && now - std::max(*since, queue.head->queuedAt) >= core.limits.unfitGrace) {
        auto& task = *queue.head;
        if (why.size() == 0) {
          why = kj::str("no worker fits after ", inSeconds(core.limits.unfitGrace), " s. ",
                        route::explain(task, core, core.limits, now));
        }
        queue.remove(task);
        endFailed(task, Failure::of(ErrorCode::NO_FITTING_WORKER, kj::str(why)), now);
      }
    }
  }
}

}  // namespace epochly::events

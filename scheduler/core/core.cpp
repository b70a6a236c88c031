#include "core/core.h"

#include <kj/debug.h>

namespace epochly::core {

namespace {

void checkQueue(const QueueKey& key, const ReadyQueue& queue, const Core& core) {
  KJ_ASSERT(queue.key == key);
  uint64_t seen = 0;
  const Task* previous = nullptr;
  for (auto task = queue.head; task != nullptr; task = task->next) {
    KJ_ASSERT(task->state == TaskState::QUEUED && task->queue == &queue, "a task in a queue knows it", task->id.seq);
    KJ_ASSERT(task->level == key.level && task->runsAlone() == key.alone, "a task stands in its own queue", task->id.seq);
    KJ_ASSERT(task->previous == previous, "links agree", task->id.seq);
    KJ_ASSERT(core.tasks.count(task->id) == 1, "a queued task is in the table", task->id.seq);
    previous = task;
    seen++;
  }
  KJ_ASSERT(queue.tail == previous && queue.size == seen, "a queue knows its size", queue.size, seen);
}

void checkHeld(const PoolUse& pool, const Worker& worker) {
  const Task* previous = nullptr;
  uint64_t seen = 0;
  for (auto task = pool.held.head; task != nullptr; task = task->next) {
    KJ_ASSERT(task->previous == previous && worker.inflight.count(task->id) == 1, "what is held is in flight", task->id.seq);
    previous = task;
    seen++;
  }
  KJ_ASSERT(seen == pool.held.size && seen == pool.inflight && pool.held.tail == previous, "and in order", worker.id.value);
}

void checkWorker(const Worker& worker, const Core& core) {
  std::array<uint32_t, POOL_COUNT> inflight{};
  std::array<uint32_t, LEVEL_COUNT> inflightAt{};
  for (auto& [id, task] : worker.inflight) {
    inflightAt[static_cast<uint>(task->level)]++;
    KJ_ASSERT(task->id == id && core.tasks.count(id) == 1, "what is in flight is in the table", id.seq);
    KJ_ASSERT(task->state == TaskState::ASSIGNED && task->worker == worker.id, "and knows its worker", id.seq);
    inflight[static_cast<uint>(poolOf(task->level))]++;
  }
  KJ_ASSERT(worker.inflightAt == inflightAt, "levels count what is in flight", worker.id.value);
  for (uint i = 0; i < POOL_COUNT; i++) {
    KJ_ASSERT(worker.pools[i].inflight == inflight[i], "pools count what is in flight", worker.id.value, i);
    KJ_ASSERT(worker.pools[i].backlogSeconds > -1e-6, "a backlog is not negative", worker.id.value, i);
    checkHeld(worker.pools[i], worker);
  }
  for (auto& [id, task] : worker.inflight) {
    KJ_ASSERT(!task->runsAlone() || (worker.reserved && worker.inflight.size() == 1), "what runs alone is alone", id.seq);
  }
}

void checkTask(const Task& task, const Core& core) {
  switch (task.state) {
    case TaskState::QUEUED: KJ_ASSERT(task.queue != nullptr, "a queued task stands in a queue", task.id.seq); return;
    case TaskState::ASSIGNED: {
      auto worker = core.workers.find(task.worker);
      KJ_ASSERT(worker != core.workers.end() && worker->second.inflight.count(task.id) == 1,
                "an assigned task is in its worker's hands", task.id.seq);
      return;
    }
    case TaskState::BACKOFF: return;  // counted by checkBackoff
    case TaskState::ENDED: KJ_FAIL_ASSERT("an ended task has left the table", task.id.seq);
  }
}

void checkCounts(const Core& core) {
  uint64_t ahead = 0, reserved = 0;
  for (auto& [id, worker] : core.workers) {
    reserved += worker.reserved;
    for (auto& pool : worker.pools) ahead += pool.inflight > pool.slots ? pool.inflight - pool.slots : 0;
  }
  KJ_ASSERT(core.aheadCount == ahead && core.reservedWorkers == reserved, core.aheadCount, ahead, core.reservedWorkers,
            reserved);
}

void checkBackoff(const Core& core) {
  uint64_t inBackoff = 0;
  for (auto& [id, task] : core.tasks) inBackoff += task.state == TaskState::BACKOFF;
  KJ_ASSERT(core.backoff.size() == inBackoff, "every task in backoff has a time, and nobody else");
  for (auto& [when, id] : core.backoff) {
    auto found = core.tasks.find(id);
    KJ_ASSERT(found != core.tasks.end() && found->second.state == TaskState::BACKOFF, id.seq);
    KJ_ASSERT(found->second.dueAt == when, "a task in backoff knows its time", id.seq);
  }
}

void checkTasksOf(const Client& client, const Core& core) {
  uint64_t seen = 0;
  const Task* previous = nullptr;
  for (auto task = client.firstTask; task != nullptr; task = task->clientNext) {
    KJ_ASSERT(task->id.space == client.space && core.tasks.count(task->id) == 1, "a client lists its own tasks",
              task->id.seq);
    KJ_ASSERT(task->clientPrevious == previous, "in order of acceptance", task->id.seq);
    previous = task;
    seen++;
  }
  KJ_ASSERT(seen == client.queued && client.lastTask == previous, "all of them", client.space.value);
}

void checkSums(const Core& core) {
  uint64_t argumentBytes = 0, functionBytes = 0;
  std::unordered_map<SpaceId, uint64_t> perClient;
  std::unordered_map<FunctionHash, uint64_t> perFunction;
  for (auto& [id, task] : core.tasks) {
    argumentBytes += task.arguments.inlineBytes();
    perClient[id.space]++;
    perFunction[task.function->hash]++;
  }
  KJ_ASSERT(core.argumentBytes == argumentBytes, core.argumentBytes, argumentBytes);
  for (auto& [space, client] : core.clients) {
    KJ_ASSERT(client.queued == perClient[space], "a client counts its tasks", space.value);
    checkTasksOf(client, core);
    KJ_ASSERT(client.sent <= client.results.size(), "only what is there was sent", space.value);
    uint64_t resultBytes = 0;
    for (auto& result : client.results) resultBytes += result.bytes();
    KJ_ASSERT(client.resultBytes == resultBytes, "a client counts its results", space.value);
  }
  for (auto& [hash, function] : core.functions) {
    functionBytes += function.code.size();
    KJ_ASSERT(function.references >= perFunction[hash], "a function in use is pinned", function.name);
  }
  KJ_ASSERT(core.functionBytes == functionBytes, core.functionBytes, functionBytes);
}

}  // namespace

uint64_t Core::queuedCount() const {
  uint64_t count = backoff.size();
  for (auto& [key, queue] : queues) count += queue.size;
  return count;
}

uint64_t Core::runningCount() const {
  uint64_t count = 0;
  for (auto& [id, worker] : workers) count += worker.inflight.size();
  return count;
}

bool Core::offered(Level level) const {
  for (auto& [id, worker] : workers) {
    if (worker.state == WorkerState::READY && worker.spec.offers(level)) return true;
  }
  return false;
}

bool Core::sharesMemory(SpaceId client, const Worker& worker) const {
  auto found = clients.find(client);
  return found != clients.end() && worker.spec.host.value != 0 && found->second.host == worker.spec.host;
}

void Core::checkInvariants() const {
  for (auto& [key, queue] : queues) checkQueue(key, queue, *this);
  for (auto& [id, worker] : workers) checkWorker(worker, *this);
  for (auto& [id, task] : tasks) checkTask(task, *this);
  checkBackoff(*this);
  checkCounts(*this);
  checkSums(*this);
  KJ_ASSERT(queuedCount() + runningCount() == tasks.size(), "every task is in exactly one place");
  KJ_ASSERT(ended.size() == endedById.size() && ended.size() <= limits.endedMax);
}

}  // namespace epochly::core

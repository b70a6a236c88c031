#include "route/router.h"

#include <algorithm>
#include <limits>

namespace epochly::route {

namespace {

// What a task costs beside the user's code: decode, hand over, answer. Keeps a backlog of no-ops from counting as nothing.
constexpr double OVERHEAD_SECONDS = 10e-6;
// Sending a function for the first time: one more message, and loading it (import, unpickle) dominates the bytes.
constexpr double COLD_FUNCTION_SECONDS = 1e-3;
// A loopback or 10 Gbit/s copy. Only the order of magnitude matters: it decides between a warm far and a cold near worker.
constexpr double SECONDS_PER_BYTE = 1e-9;

double seconds(kj::Duration duration) { return static_cast<double>(duration / kj::NANOSECONDS) * 1e-9; }

}  // namespace

double Router::expectedRun(const core::Task& task) const {
  double known = task.function->expectedRunSeconds(task.level);
  // Unknown: half of the prefetch horizon, so that one such task waits behind a busy slot and a second does not.
  if (std::isnan(known)) return seconds(limits.prefetch) / 2;
  return std::max(known, OVERHEAD_SECONDS);
}

bool Router::hasRoom(const core::Worker& worker, const core::QueueKey& key) const {
  if (key.alone) return worker.reserved && worker.inflight.empty();
  if (worker.reserved) return false;
  auto& pool = worker.pool(key.level);
  auto slots = worker.spec.slots[static_cast<uint>(key.level)];
  auto most = [&](uint32_t of) { return std::min<uint64_t>(limits.inflightMax, uint64_t(of) * (1 + limits.prefetchMax)); };
  if (pool.inflight >= most(pool.slots) || worker.inflightAt[static_cast<uint>(key.level)] >= most(slots)) return false;
  if (worker.hasFreeSlot(key.level)) return true;
  return !pool.stalled && pool.backlogSeconds < slots * seconds(limits.prefetch);
}

double Router::expectedFinish(const core::Task& task, const core::Worker& worker) const {
  auto& pool = worker.pool(task.level);
  double ahead = worker.hasFreeSlot(task.level) ? 0 : pool.backlogSeconds / pool.slots;
  double transfer = static_cast<double>(task.arguments.inlineBytes()) * SECONDS_PER_BYTE;
  auto& function = *task.function;
  if (!worker.hasFunction(function.hash)) {
    transfer += COLD_FUNCTION_SECONDS + static_cast<double>(function.code.size()) * SECONDS_PER_BYTE;
  }
  double compile = worker.hasCode(function.hash, task.level) ? 0 : function.expectedCompileSeconds(task.level);
  if (std::isnan(compile)) compile = 0;  // nobody has compiled it: all workers are alike
  return ahead + transfer + compile + expectedRun(task);
}

kj::OneOf<Chosen, NoRoom, NoFit> Router::place(const core::Task& task, const core::Core& core) const {
  kj::OneOf<Chosen, NoRoom, NoFit> answer = NoFit();
  double best = std::numeric_limits<double>::infinity();
  double bestBacklog = best;
  for (auto& [id, worker] : core.workers) {
    if (!worker.fits(task.queue->key)) continue;
    if (!hasRoom(worker, task.queue->key)) {
      if (answer.is<NoFit>()) answer = NoRoom();
      continue;
    }
    double finish = expectedFinish(task, worker);
    double backlog = worker.pool(task.level).backlogSeconds;
    if (finish < best || (finish == best && backlog < bestBacklog)) {
      best = finish;
      bestBacklog = backlog;
      answer = Chosen{id, expectedRun(task)};
    }
  }
  return answer;
}

}  // namespace epochly::route

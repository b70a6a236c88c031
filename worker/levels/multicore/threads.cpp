#include "levels/multicore/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

namespace epochly::multicore {

namespace {

// A thread wakes where its waker runs if every other core has something to do, however unimportant, and may stay there, taking turns
// with the caller, for 100 ms. Forbidding that core for a moment makes the kernel choose another.
void moveAwayFrom(int cpu) {
  cpu_set_t allowed;
  if (cpu < 0 || sched_getcpu() != cpu || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  auto others = allowed;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof allowed, &allowed);
}

}  // namespace

Threads& Threads::get() {
  static auto& one = *new Threads;  // never destroyed: threads may be in it when the process ends
  return one;
}

int Threads::cores() {
  std::lock_guard lock(mutex);
  return orphaned ? 1 : wanted.load();
}

bool Threads::isOrphaned() {
  std::lock_guard lock(mutex);
  return orphaned;
}

void Threads::setCores(int cores, int64_t chunkNs) {
  std::lock_guard lock(mutex);
  chunkTime = std::max<int64_t>(1, chunkNs);
  wanted = std::clamp(cores, 1, CORES_MAX);
  if (jobs == 0) drop();
}

void Threads::help(const std::shared_ptr<Job>& job, int helpers) {
  std::lock_guard lock(mutex);
  if (orphaned) return;
  make();
  std::lock_guard asking(askedMutex);
  asked.insert(asked.end(), helpers, job);
  for (int i = 0; i < helpers; i++) arena->enqueue([] { get().workOnNext(); });
}

Threads::Threads() {
  pthread_atfork([] { get().beforeFork(); }, [] { get().afterFork(false); }, [] { get().afterFork(true); });
}

void Threads::make() {
  if (arena && threads == wanted) return;
  if (!handle) handle.emplace(tbb::attach{});
  threads = wanted;
  arena.reset();
  allowed.reset();
  allowed = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, threads);
  arena = std::make_unique<tbb::task_arena>(threads, 1);
  arena->initialize();
}

bool Threads::drop() {
  {
    std::lock_guard asking(askedMutex);
    asked.clear();
  }
  arena.reset();
  allowed.reset();
  bool ended = !handle || tbb::finalize(*handle, std::nothrow);
  handle.reset();
  return ended;
}

void Threads::beforeFork() {
  mutex.lock();
  childOrphaned = orphaned || jobs != 0 || !drop();
  askedMutex.lock();
}

void Threads::afterFork(bool inChild) {
  if (inChild) {
    orphaned = childOrphaned;
    busy = jobs = 0;
    asked.clear();  // of loops that the parent runs
    if (orphaned) (void)arena.release(), (void)allowed.release();
    if (orphaned && handle) new (&handle) std::optional<tbb::task_scheduler_handle>();
  }
  askedMutex.unlock();
  mutex.unlock();
}

void Threads::workOnNext() {
  std::shared_ptr<Job> job;
  {
    std::lock_guard asking(askedMutex);
    if (asked.empty()) return;
    job = std::move(asked.front());
    asked.pop_front();
  }
  work(*job);
}

void Threads::work(Job& job) {
  int cores = wanted;
  if (busy.fetch_add(1) < cores) {
    job.active++;
    moveAwayFrom(job.callersCpu);
    helpWith(job, cores);
    if (job.active.fetch_sub(1) == 1) {
      std::lock_guard lock(job.mutex);
      job.ended.notify_all();
    }
  }
  busy--;
}

void Threads::helpWith(Job& job, int cores) {
  std::unique_ptr<ChunkContext> own;
  while (busy <= cores) {
    auto chunk = job.take();
    if (!chunk) return;
    job.run(own, false, *chunk);
  }
}

}  // namespace epochly::multicore

#include "levels/multicore/team.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "levels/multicore/cores.h"

namespace epochly::multicore {

using jit::Chunk;
using jit::Context;
using jit::Fold;
using jit::LoopTimes;

namespace {

// Looks at a finished helper before the thread sleeps: about 20 us, as long as waking up takes.
constexpr int SPINS = 1000;

int64_t nowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000ll + now.tv_nsec;
}

struct Job;

// The context of the chunks that one thread runs, or of one chunk whose results point into its memory.
struct ChunkContext {
  Context context;
  Job* job = nullptr;
  Context* caller = nullptr;  // null: a helper's, which the host's signals do not reach
};
static_assert(offsetof(ChunkContext, context) == 0);

// Folds what chunks have left behind, in their order, on whichever thread comes with the next one.
class Folding {
 public:
  explicit Folding(std::span<Fold> folds) : folds(folds) {}
  bool isWanted() const { return !folds.empty(); }
  size_t count() const { return folds.size(); }

  // `results`: of chunk `at`, whose lists lie in the memory of `memory`.
  void bring(int64_t at, const uint64_t* results, std::unique_ptr<ChunkContext> memory) {
    std::unique_lock lock(mutex);
    waiting[at] = {results, std::move(memory)};
    if (isAtWork) return;
    isAtWork = true;
    for (auto found = waiting.find(next); found != waiting.end(); found = waiting.find(next)) {
      auto chunk = std::move(found->second);
      waiting.erase(found);
      lock.unlock();
      fold(chunk.results);
      chunk.memory.reset();
      lock.lock();
      next++;
    }
    isAtWork = false;
  }

 private:
  struct Waiting {
    const uint64_t* results;
    std::unique_ptr<ChunkContext> memory;
  };
  const std::span<Fold> folds;
  std::mutex mutex;
  std::map<int64_t, Waiting> waiting;  // chunks that ended before one ahead of them: as many as threads, mostly
  int64_t next = 0;
  bool isAtWork = false;

  void fold(const uint64_t* results) {
    for (size_t i = 0; i < folds.size(); i++) {
      auto& list = *reinterpret_cast<const jit::List*>(results[i]);
      auto* values = reinterpret_cast<const double*>(list.data);
      auto total = folds[i].total;
      if (folds[i].isProduct) {
        for (int64_t k = 0; k < list.length; k++) total *= values[k];
      } else {
        for (int64_t k = 0; k < list.length; k++) total += values[k];
      }
      folds[i].total = total;
    }
  }
};

bool isStopped(Context& context);

std::unique_ptr<ChunkContext> newContext(Context& caller, Job* job, bool isCallers) {
  auto own = std::make_unique<ChunkContext>();
  own->job = job;
  own->caller = isCallers ? &caller : nullptr;
  own->context.interrupted = isStopped;
  own->context.depth = caller.depth;
  own->context.bytes = caller.bytes;
  own->context.lastPollNs = caller.lastPollNs;
  return own;
}

// What is run, and where its results go.
struct Work {
  Chunk chunk;
  const uint64_t* frame;
  int64_t count;  // iterations
  size_t leaves;
  Context& caller;
  Folding folding;

  uint64_t* resultsAt(int64_t part) { return caller.parts.data() + 1 + part * leaves; }
  // Iterations first .. last - 1 on this thread, as part `part`. `own` is made when first needed.
  bool run(std::unique_ptr<ChunkContext>& own, Job* job, bool isCallers, int64_t first, int64_t last, int64_t part) {
    if (!own) own = newContext(caller, job, isCallers);
    own->job = job;
    if (chunk(&own->context, frame, first, last, resultsAt(part)) != 0) return false;
    if (isCallers) caller.lastPollNs = own->context.lastPollNs;
    if (folding.isWanted()) folding.bring(part, resultsAt(part) + leaves - folding.count(), std::move(own));
    return true;
  }
};

// What is left of one execution of a loop. Owned by the caller and by every helper that was asked; only who holds a chunk looks at
// `work`, which lives until all chunks have ended.
struct Job {
  Work* work;
  const int64_t first;      // iteration of chunk 0
  const int64_t firstPart;  // of chunk 0
  const int64_t size;       // of a chunk
  const int64_t chunks;
  const int callersCpu = sched_getcpu();
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  std::atomic<int> active{0};  // helpers that may hold a chunk
  std::mutex mutex;
  std::condition_variable ended;

  Job(Work& work, int64_t first, int64_t firstPart, int64_t size)
      : work(&work), first(first), firstPart(firstPart), size(size), chunks((work.count - first + size - 1) / size) {}

  // The next chunk nobody has taken.
  std::optional<int64_t> take() {
    if (stop) return {};
    auto mine = next.fetch_add(1);
    return mine < chunks ? std::optional(mine) : std::nullopt;
  }
  void run(std::unique_ptr<ChunkContext>& own, bool isCallers, int64_t at) {
    auto from = first + at * size;
    if (!work->run(own, this, isCallers, from, std::min(from + size, work->count), firstPart + at)) stop = true;
  }
};

bool isStopped(Context& context) {
  auto& own = reinterpret_cast<ChunkContext&>(context);
  if (own.job && own.job->stop) return true;
  return own.caller && own.caller->interrupted && own.caller->interrupted(*own.caller);
}

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

// oneTBB's threads, made when first needed.
class Threads {
 public:
  static Threads& get() {
    static auto& one = *new Threads;  // never destroyed: threads may be in it when the process ends
    return one;
  }

  int cores() {
    std::lock_guard lock(mutex);
    return orphaned ? 1 : wanted.load();
  }
  bool isOrphaned() {
    std::lock_guard lock(mutex);
    return orphaned;
  }
  int64_t chunkNs() const { return chunkTime.load(std::memory_order_relaxed); }
  void setCores(int cores, int64_t chunkNs) {
    std::lock_guard lock(mutex);
    chunkTime = std::max<int64_t>(1, chunkNs);
    wanted = std::clamp(cores, 1, CORES_MAX);
    if (jobs == 0) drop();
  }

  // Asks for helpers; fewer or none may come.
  void help(const std::shared_ptr<Job>& job, int helpers) {
    std::lock_guard lock(mutex);
    if (orphaned) return;
    make();
    for (int i = 0; i < helpers; i++) arena->enqueue([this, job] { work(*job); });
  }

  // A caller's time in a loop.
  class Calling {
   public:
    explicit Calling(Threads& threads) : threads(threads) {
      std::lock_guard lock(threads.mutex);
      threads.jobs++;
      threads.busy++;
    }
    ~Calling() {
      std::lock_guard lock(threads.mutex);
      threads.jobs--;
      threads.busy--;
    }
    Calling(const Calling&) = delete;

   private:
    Threads& threads;
  };

 private:
  std::mutex mutex;
  std::unique_ptr<tbb::task_arena> arena;        // null: none of its threads exists
  std::unique_ptr<tbb::global_control> allowed;  // more threads than the machine has cores
  std::optional<tbb::task_scheduler_handle> handle;
  std::atomic<int> wanted = coresToUse();
  std::atomic<int64_t> chunkTime{CHUNK_NS_MIN};
  int threads = 0;             // that the arena was made for
  int jobs = 0;                // loops that run
  std::atomic<int> busy{0};    // threads that run chunks
  bool orphaned = false;       // forked off a process whose threads were at work: oneTBB cannot be started anew here
  bool childOrphaned = false;  // what `orphaned` will be in the child of the fork() that is under way

  Threads() {
    pthread_atfork([] { get().beforeFork(); }, [] { get().afterFork(false); }, [] { get().afterFork(true); });
  }

  void make() {
    if (arena && threads == wanted) return;
    if (!handle) handle.emplace(tbb::attach{});
    threads = wanted;
    arena.reset();
    allowed.reset();
    allowed = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, threads);
    arena = std::make_unique<tbb::task_arena>(threads, 1);
    arena->initialize();
  }
  // Ends the threads. False: somebody else uses them.
  bool drop() {
    arena.reset();
    allowed.reset();
    bool ended = !handle || tbb::finalize(*handle, std::nothrow);
    handle.reset();
    return ended;
  }

  // Threads are not forked: they are ended before, and made anew when a loop needs them.
  void beforeFork() {
    mutex.lock();
    childOrphaned = orphaned || jobs != 0 || !drop();
  }
  void afterFork(bool inChild) {
    if (inChild) {
      orphaned = childOrphaned;
      busy = jobs = 0;
      if (orphaned) (void)arena.release(), (void)allowed.release();
      if (orphaned && handle) new (&handle) std::optional<tbb::task_scheduler_handle>();
    }
    mutex.unlock();
  }

  void work(Job& job) {
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
  void helpWith(Job& job, int cores) {
    std::unique_ptr<ChunkContext> own;
    while (busy <= cores) {
      auto chunk = job.take();
      if (!chunk) return;
      job.run(own, false, *chunk);
    }
  }
};

// One execution, on the caller's side.
class Execution {
 public:
  Execution(Work& work, LoopTimes& times) : work(work), times(times) {}

  bool run() {
    if (!times.isFixed && !probe()) return false;
    return done == work.count || rest();
  }
  int64_t parts = 0;  // that left results

 private:
  Work& work;
  LoopTimes& times;
  std::unique_ptr<ChunkContext> own;
  int64_t done = 0;  // iterations

  int64_t known() const { return times.nsPerThousand.load(std::memory_order_relaxed); }
  void note(double nsPerThousand) {
    times.nsPerThousand.store(std::max<int64_t>(1, nsPerThousand), std::memory_order_relaxed);
  }

  // Iterations by the caller alone, until it is known how long they take.
  bool probe() {
    if (known() != 0) return true;
    int64_t spent = 0;
    for (int64_t size = 1; done < work.count && spent < PROBE_PART * Threads::get().chunkNs() && parts < PROBES_MAX;
         size *= 2) {
      auto last = std::min(done + size, work.count);
      auto before = nowNs();
      if (!work.run(own, nullptr, true, done, last, parts++)) return false;
      spent = nowNs() - before;
      // Of the last and longest stretch: the first iterations wait for memory and for pages.
      note(static_cast<double>(spent) * 1000 / (last - done));
      done = last;
    }
    return true;
  }
  // What is left, in chunks that the caller and its helpers take one by one.
  bool rest() {
    auto job = std::make_shared<Job>(work, done, parts, chunkSize());
    parts += job->chunks;
    auto helpers = std::min<int64_t>(Threads::get().cores(), job->chunks) - 1;
    if (helpers > 0) Threads::get().help(job, static_cast<int>(helpers));
    (helpers > 0 ? times.split : times.alone).fetch_add(1, std::memory_order_relaxed);
    takePart(*job);
    wait(*job);
    return !job->stop;
  }
  int64_t chunkSize() {
    auto left = work.count - done;
    if (times.isFixed) return (left + FIXED_CHUNKS - 1) / FIXED_CHUNKS;
    auto size = std::max<int64_t>(1, static_cast<double>(Threads::get().chunkNs()) * 1000 / known());
    return std::clamp<int64_t>(size, (left + CHUNKS_MAX - 1) / CHUNKS_MAX, left);
  }
  void takePart(Job& job) {
    int64_t iterations = 0;
    auto before = nowNs();
    while (auto at = job.take()) {
      job.run(own, true, *at);
      iterations += std::min(job.size, work.count - (job.first + *at * job.size));
    }
    if (iterations == 0) return;
    auto measured = static_cast<double>(nowNs() - before) * 1000 / iterations;
    note(known() == 0 ? measured : (3.0 * known() + measured) / 4);
  }
  // Until no helper holds a chunk. Looks for Ctrl-C meanwhile: an iteration may take long.
  void wait(Job& job) {
    for (int i = 0; i < SPINS && job.active != 0; i++) __builtin_ia32_pause();
    auto& caller = work.caller;
    std::unique_lock lock(job.mutex);
    while (job.active != 0) {
      job.ended.wait_for(lock, std::chrono::nanoseconds(jit::POLL_NS));
      if (job.active == 0 || job.stop || !caller.interrupted) continue;
      lock.unlock();
      if (caller.interrupted(caller)) job.stop = true;
      lock.lock();
    }
  }
};

class ThreadTeam final : public jit::Team {
 public:
  bool isWorth(Context& context, size_t loop, int64_t count) override {
    auto& times = context.loops[loop];
    if (isWorth(times, count)) return true;
    times.alone.fetch_add(1, std::memory_order_relaxed);
    return false;
  }

  const uint64_t* run(Context& context, Chunk chunk, const uint64_t* frame, int64_t count, size_t loop, size_t leaves,
                      std::span<Fold> folds) override {
    Threads::Calling calling(Threads::get());
    context.parts.resize(1 + (PROBES_MAX + CHUNKS_MAX) * leaves);
    Work work{chunk, frame, count, leaves, context, Folding(folds)};
    Execution execution(work, context.loops[loop]);
    if (!execution.run()) return nullptr;
    context.parts[0] = execution.parts;
    return context.parts.data();
  }

 private:
  static bool isWorth(const LoopTimes& times, int64_t count) {
    if (times.isFixed) return count >= FIXED_MIN;
    if (count < 2 || Threads::get().cores() < 2) return false;
    auto ns = times.nsPerThousand.load(std::memory_order_relaxed);
    if (ns == 0) return true;
    if (times.isOrdered && ns < FOLD_NS_MIN * 1000) return false;
    return static_cast<double>(ns) * count / 1000 >= CHUNKS_MIN * Threads::get().chunkNs();
  }
};

}  // namespace

jit::Team& team() {
  static auto& one = *new ThreadTeam;
  return one;
}

int cores() { return Threads::get().cores(); }
void setCores(int cores, int64_t chunkNs) { Threads::get().setCores(cores, chunkNs); }

std::string whyAlone() {
  if (Threads::get().isOrphaned())
    return "this process was forked while level 3 was at work in the process it comes from, whose threads it has not";
  return {};
}

}  // namespace epochly::multicore

#include "levels/multicore/team.h"

#include <pthread.h>
#include <time.h>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace epochly::multicore {

using jit::Chunk;
using jit::Context;
using jit::LoopTimes;

namespace {

// Looks at a finished helper before the thread sleeps: about 20 us, as long as waking up takes.
constexpr int SPINS = 1000;

int64_t nowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000ll + now.tv_nsec;
}

// One execution of a loop. Owned by the caller and by every helper that was asked; only who holds a chunk looks at `frame`, `parts`
// and `caller`, which live until all chunks have ended.
struct Job {
  Chunk chunk;
  const uint64_t* frame;
  uint64_t* parts;
  size_t leaves;
  int64_t first;  // iteration of chunk 0
  int64_t count;  // iterations, those before `first` too
  int64_t size;   // of a chunk
  Context* caller;
  const int64_t chunks = (count - first + size - 1) / size;

  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  std::atomic<int> active{0};  // helpers that may hold a chunk
  std::mutex mutex;
  std::condition_variable ended;

  Job(Chunk chunk, const uint64_t* frame, uint64_t* parts, size_t leaves, int64_t first, int64_t count, int64_t size,
      Context* caller)
      : chunk(chunk), frame(frame), parts(parts), leaves(leaves), first(first), count(count), size(size), caller(caller) {}

  // The next chunk nobody has taken.
  std::optional<int64_t> take() {
    if (stop) return {};
    auto mine = next.fetch_add(1);
    return mine < chunks ? std::optional(mine) : std::nullopt;
  }
  void run(Context& context, int64_t at) {
    auto from = first + at * size;
    if (chunk(&context, frame, from, std::min(from + size, count), parts + at * leaves) != 0) stop = true;
  }
};

// The context of the chunks that one thread runs.
struct ChunkContext {
  Context context;
  Job* job = nullptr;
  Context* caller = nullptr;  // null: a helper's, which the host's signals do not reach
};
static_assert(offsetof(ChunkContext, context) == 0);

bool isStopped(Context& context) {
  auto& own = reinterpret_cast<ChunkContext&>(context);
  if (own.job && own.job->stop) return true;
  return own.caller && own.caller->interrupted && own.caller->interrupted(*own.caller);
}

void prepare(ChunkContext& own, Context& caller, Job* job) {
  own.job = job;
  own.context.interrupted = isStopped;
  own.context.depth = caller.depth;
  own.context.bytes = caller.bytes;
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
  std::atomic<int> wanted = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
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
      helpWith(job, cores);
      if (job.active.fetch_sub(1) == 1) {
        std::lock_guard lock(job.mutex);
        job.ended.notify_all();
      }
    }
    busy--;
  }
  void helpWith(Job& job, int cores) {
    std::optional<ChunkContext> own;
    while (busy <= cores) {
      auto chunk = job.take();
      if (!chunk) return;
      if (!own) prepare(own.emplace(), *job.caller, &job);
      job.run(own->context, *chunk);
    }
  }
};

class ThreadTeam final : public jit::Team {
 public:
  bool isWorth(Context& context, size_t loop, int64_t count) override {
    auto& times = context.loops[loop];
    auto ns = times.nsPerThousand.load(std::memory_order_relaxed);
    bool isLong = ns == 0 || static_cast<double>(ns) * count / 1000 >= CHUNKS_MIN * Threads::get().chunkNs();
    if (count >= 2 && isLong && Threads::get().cores() > 1) return true;
    times.alone.fetch_add(1, std::memory_order_relaxed);
    return false;
  }

  const uint64_t* run(Context& context, Chunk chunk, const uint64_t* frame, int64_t count, size_t loop,
                      size_t leaves) override {
    Threads::Calling calling(Threads::get());
    auto& times = context.loops[loop];
    context.parts.resize(1 + (PROBES_MAX + CHUNKS_MAX) * leaves);
    ChunkContext own;
    prepare(own, context, nullptr);
    own.caller = &context;
    own.context.lastPollNs = context.lastPollNs;
    Run run{context, own, times, chunk, frame, count, leaves};
    bool ended = run.probe() && run.rest();
    context.lastPollNs = own.context.lastPollNs;
    if (!ended) return nullptr;
    context.parts[0] = run.parts;
    return context.parts.data();
  }

 private:
  // One execution, on the caller's side.
  struct Run {
    Context& context;
    ChunkContext& own;
    LoopTimes& times;
    Chunk chunk;
    const uint64_t* frame;
    int64_t count;
    size_t leaves;
    int64_t done = 0;   // iterations
    int64_t parts = 0;  // chunks that left results

    uint64_t* resultsAt(int64_t part) { return context.parts.data() + 1 + part * leaves; }

    // Iterations by the caller alone, until it is known how long they take.
    bool probe() {
      if (times.nsPerThousand.load(std::memory_order_relaxed) != 0) return true;
      int64_t spent = 0;
      for (int64_t size = 1; done < count && spent < PROBE_PART * Threads::get().chunkNs() && parts < PROBES_MAX;
           size *= 2) {
        auto last = std::min(done + size, count);
        auto before = nowNs();
        if (chunk(&own.context, frame, done, last, resultsAt(parts++)) != 0) return false;
        spent = nowNs() - before;
        // Of the last and longest stretch: the first iterations wait for memory and for pages.
        note(spent, last - done);
        done = last;
      }
      return true;
    }
    void note(int64_t ns, int64_t iterations) {
      auto measured = std::max<int64_t>(1, static_cast<double>(ns) * 1000 / iterations);
      times.nsPerThousand.store(measured, std::memory_order_relaxed);
    }

    // What is left, in chunks that the caller and its helpers take one by one.
    bool rest() {
      if (done == count) return true;
      auto job = std::make_shared<Job>(chunk, frame, resultsAt(parts), leaves, done, count, chunkSize(), &context);
      own.job = job.get();
      parts += job->chunks;
      auto helpers = std::min<int64_t>(Threads::get().cores(), job->chunks) - 1;
      if (helpers > 0) Threads::get().help(job, static_cast<int>(helpers));
      (helpers > 0 ? times.split : times.alone).fetch_add(1, std::memory_order_relaxed);
      work(*job);
      wait(*job);
      return !job->stop;
    }
    int64_t chunkSize() {
      auto left = count - done;
      auto ns = times.nsPerThousand.load(std::memory_order_relaxed);
      auto size = std::max<int64_t>(1, static_cast<double>(Threads::get().chunkNs()) * 1000 / ns);
      return std::clamp<int64_t>(size, (left + CHUNKS_MAX - 1) / CHUNKS_MAX, left);
    }
    void work(Job& job) {
      int64_t iterations = 0;
      auto before = nowNs();
      while (auto at = job.take()) {
        job.run(own.context, *at);
        iterations += std::min(job.size, job.count - (job.first + *at * job.size));
      }
      if (iterations == 0) return;
      auto known = times.nsPerThousand.load(std::memory_order_relaxed);
      auto measured = static_cast<double>(nowNs() - before) * 1000 / iterations;
      times.nsPerThousand.store(std::max<int64_t>(1, (3.0 * known + measured) / 4), std::memory_order_relaxed);
    }
    // Until no helper holds a chunk. Looks for Ctrl-C meanwhile: an iteration may take long.
    void wait(Job& job) {
      for (int i = 0; i < SPINS && job.active != 0; i++) __builtin_ia32_pause();
      std::unique_lock lock(job.mutex);
      while (job.active != 0) {
        job.ended.wait_for(lock, std::chrono::nanoseconds(jit::POLL_NS));
        if (job.active == 0 || job.stop || !context.interrupted) continue;
        lock.unlock();
        if (context.interrupted(context)) job.stop = true;
        lock.lock();
      }
    }
  };
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

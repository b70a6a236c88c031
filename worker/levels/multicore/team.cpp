#include "levels/multicore/team.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>

#include "levels/multicore/job.h"
#include "levels/multicore/threads.h"

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
    if (isWorth(times, count) && !leaveToInner(context, times, count)) return true;
    times.alone.fetch_add(1, std::memory_order_relaxed);
    return false;
  }

  const uint64_t* run(Context& context, Chunk chunk, const uint64_t* frame, int64_t count, size_t loop, size_t leaves,
                      std::span<Fold> folds) override {
    Threads::Calling calling(Threads::get());
    context.parts.resize(1 + (PROBES_MAX + CHUNKS_MAX) * leaves);
    Work work{chunk, frame, count, leaves, context, Folding(folds, context)};
    Execution execution(work, context.loops[loop]);
    if (!execution.run()) return nullptr;
    context.iterations += work.iterations;
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
  // Few long iterations, which would leave cores idle: the loop inside them is split instead. Unless it was not, the last time.
  static bool leaveToInner(Context& context, LoopTimes& times, int64_t count) {
    auto ns = times.nsPerThousand.load(std::memory_order_relaxed);
    if (times.inner < 0 || times.isFixed || static_cast<double>(ns) < INNER_CHUNKS_MIN * 1000. * Threads::get().chunkNs())
      return false;
    int64_t cores = Threads::get().cores(), rounds = (count + cores - 1) / cores;
    if (10 * count >= 9 * rounds * cores) return false;
    auto before = 1 + context.loops[times.inner].split.load(std::memory_order_relaxed);
    return times.innerSplit.exchange(before, std::memory_order_relaxed) != before;
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

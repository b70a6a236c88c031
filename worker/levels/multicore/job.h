// One execution of a loop in chunks: what is run, in whose memory, and which chunk is next.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "levels/multicore/folding.h"

namespace epochly::multicore {

struct Job;
struct Work;

// The context of the chunks that one thread runs, or of one chunk whose results point into its memory.
struct ChunkContext {
  jit::Context context;
  Job* job = nullptr;
  jit::Context* caller = nullptr;  // null: a helper's, which the host's signals do not reach
};
static_assert(offsetof(ChunkContext, context) == 0);

// isCallers: signals of the host reach it.
std::unique_ptr<ChunkContext> newContext(const Work& work, Job* job, bool isCallers);

// What is run, and where its results go.
struct Work {
  jit::Chunk chunk;
  const uint64_t* frame;
  int64_t count;  // iterations
  size_t leaves;
  jit::Context& caller;  // of it, helpers read what is copied here
  Folding folding;
  const size_t bytes = caller.bytes;
  const int32_t depth = caller.depth;
  std::atomic<uint64_t> iterations{0};  // of Python loops, in chunks that have ended

  uint64_t* resultsAt(int64_t part) { return caller.parts.data() + 1 + part * leaves; }
  // Iterations first .. last - 1 on this thread, as part `part`. `own` is made when first needed.
  bool run(std::unique_ptr<ChunkContext>& own, Job* job, bool isCallers, int64_t first, int64_t last, int64_t part) {
    if (!own) own = newContext(*this, job, isCallers);
    own->job = job;
    if (chunk(&own->context, frame, first, last, resultsAt(part)) != 0) return false;
    iterations += std::exchange(own->context.iterations, 0);
    if (isCallers) caller.lastPollNs = own->context.lastPollNs;
    return !folding.isWanted() || folding.bring(part, resultsAt(part) + leaves - folding.count(), std::move(own));
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

}  // namespace epochly::multicore

// The threads of level 3: oneTBB's, which any number of calls share. The thread that calls works, too.
#pragma once

#include <cstdint>
#include <string>

#include "levels/jit/runtime.h"

namespace epochly::multicore {

// A chunk takes at least so long, or handing it out costs more than a hundredth of it.
constexpr int64_t CHUNK_NS_MIN = 50'000;
// A loop of fewer runs on its thread alone: waking another takes up to 30 us.
constexpr int64_t CHUNKS_MIN = 2;
// How much of a chunk's time the first iterations are to take before the rest is split: enough for the clock.
constexpr double PROBE_PART = 0.4;
// Chunks of one execution: each leaves its results. Evens out iterations that take differently long on up to 64 cores.
constexpr int64_t CHUNKS_MAX = 1024;
// First iterations are tried by the caller alone, twice as many each time.
constexpr int64_t PROBES_MAX = 64;
// A loop whose sums may be reordered has so many chunks whatever the machine, so that its sums are the same everywhere ...
constexpr int64_t FIXED_CHUNKS = 256;
// ... unless it has fewer iterations than this: then it has one.
constexpr int64_t FIXED_MIN = 4096;
// An iteration of a loop with sums of floats in order takes at least so long, or keeping and folding its addend costs as much.
constexpr int64_t FOLD_NS_MIN = 6;
// A loop is left to the one inside it if its iterations give so many chunks, but are too few to keep nine tenths of the cores busy.
constexpr int64_t INNER_CHUNKS_MIN = 8;
// Threads, whatever the machine has or EPOCHLY_MAX_WORKERS says.
constexpr int CORES_MAX = 1024;

// The process's team. Chunks of all calls together take as many threads as there are cores, beside the threads that call.
jit::Team& team();

// Threads that work on one loop, the caller's among them. Changing it waits for nobody: loops that run keep theirs.
int cores();
// chunkNs: how long a chunk takes at least; tests want short loops split.
void setCores(int cores, int64_t chunkNs = CHUNK_NS_MIN);
// Why loops run on one core though there are more; empty: they do not.
std::string whyAlone();

}  // namespace epochly::multicore

// What compiled code works with while it runs: its lists, its clock for interrupts, and the operations too rare to inline.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <span>
#include <vector>

#include "levels/program/folds.h"
#include "levels/program/ufuncs.h"

namespace epochly::jit {

// A list of the program. Compiled code reads the first three members by offset (lower_memory.cpp), elements are `stride` leaves of 8
// bytes.
struct List {
  int64_t length;
  int64_t capacity;  // in elements
  uint64_t* data;
  void* origin;  // the caller's object that it stands for; null: made by the call
};
static_assert(offsetof(List, length) == 0 && offsetof(List, capacity) == 8 && offsetof(List, data) == 16);

// Memory of an array that the call made.
struct ArrayBlock {
  char* data;
  size_t bytes;
};
// The blocks of one place in the program that makes arrays, in one activation of its function: those that no variable of the
// function points into are taken again.
struct ArrayPool {
  std::vector<ArrayBlock> blocks;
};

// Lists of one call together: a call that needs more belongs to CPython, which frees as it goes.
constexpr size_t ARENA_BYTES_MAX = size_t(1) << 30;
// Back edges between looks at the clock: 4096 of the shortest iterations are about 4 us.
constexpr uint32_t POLL_TICKS = 4096;
// How often the host is asked whether to stop. Ctrl-C is to end a loop within 100 ms.
constexpr int64_t POLL_NS = 20'000'000;

// Memory that ended calls leave for the next ones: the kernel takes longer to give 8 MB of fresh pages than a million floats take
// to convert. Two lists of a million pairs, or four arrays of a million floats.
constexpr size_t POOL_BYTES_MAX = size_t(32) << 20;
// What is kept must be found again quickly.
constexpr size_t POOL_BLOCKS_MAX = 16;

// Raw memory, not zeroed, aligned for anything. Null data: the machine has no more.
struct Memory {
  void* data = nullptr;
  size_t size = 0;  // at least what was asked for
};
// Thread-safe, and safe after fork().
Memory takeMemory(size_t size);
void returnMemory(Memory memory);
// Of ended calls, kept now.
size_t pooledBytes();

struct Context;

// Some iterations of a parallel loop: first .. last - 1. `frame` holds what they capture, the leaves that they leave behind go to
// `results`. 0: they ended; else a guard failed, as of Code::entry.
using Chunk = int32_t (*)(Context* context, const uint64_t* frame, int64_t first, int64_t last, uint64_t* results);

// See program::FoldKind. Compiled code writes it, and reads `target` where that is a total.
struct Fold {
  uint64_t target;
  int64_t size;
  int64_t stride;
  int64_t kind;
};
static_assert(sizeof(Fold) == 8 * (program::FOLD_LEAVES + 1) && offsetof(Fold, kind) == 8 * program::FOLD_LEAVES);

// Who runs parallel loops. Thread-safe.
class Team {
 public:
  // Whether `count` iterations of that loop are worth several cores, here and now.
  virtual bool isWorth(Context& context, size_t loop, int64_t count) = 0;
  // Runs all iterations, in chunks. The number of chunks, then `leaves` results of each, in order; valid until the next loop of this
  // context. Null: a chunk gave the call back, the host asked to stop, or what is to be folded does not fit; none runs any more. The last
  // results of a chunk point to what is to be folded into `folds`, whose lists grow in the memory of `context`.
  virtual const uint64_t* run(Context& context, Chunk chunk, const uint64_t* frame, int64_t count, size_t loop,
                              size_t leaves, std::span<Fold> folds) = 0;

 protected:
  ~Team() = default;
};

// How long a parallel loop's iterations take. Written by any thread: an estimate that is a little old does no harm.
struct LoopTimes {
  bool isOrdered = false;                 // it has sums or products of floats
  bool isFixed = false;                   // its chunks are to depend on the number of iterations alone, not on time or cores
  int32_t inner = -1;                     // a loop inside that splits, too
  std::atomic<uint64_t> innerSplit{0};    // executions of that on several cores when this one was last left to it; 0: never
  std::atomic<int64_t> nsPerThousand{0};  // of one core; 0: not known
  std::atomic<uint64_t> split{0};         // executions on several cores
  std::atomic<uint64_t> alone{0};         // executions that were too short for it, or had no second core
};

// One call of compiled code. Lives on the calling thread's stack; its lists die with it.
struct Context {
  // Read by compiled code.
  uint32_t ticks = 0;
  int32_t depth = 0;        // recursive calls still allowed
  uint32_t spoiled = 0;     // not 0: interrupted inside of a call when a guard outside had failed and not been looked at
  uint64_t iterations = 0;  // that the Python loops of functions which have returned took
  // The host's.
  bool (*interrupted)(Context&) = nullptr;  // true: give the call back
  int64_t lastPollNs = 0;
  size_t bytes = 0;
  std::vector<Memory> blocks;
  char* shared = nullptr;  // what is free of the last block that small lists share
  size_t sharedBytes = 0;

  Context() = default;
  Context(const Context&) = delete;
  ~Context();
  // Null: ARENA_BYTES_MAX is reached, or the machine has no more.
  void* allocate(size_t bytes);
  List* newList(int64_t capacity, size_t stride);
  bool grow(List& list, size_t stride);
  // `roots`: what must stay. `pool` null: nothing is taken again.
  char* newArray(ArrayPool** pool, size_t bytes, void* const* roots, size_t count);
  // Gives a pool's block to whoever needs one next.
  void freeArray(ArrayPool& pool, char* data);
  // Takes the block at `data` out of the call's hands: the caller frees it. False: no block of this call begins there.
  bool release(void* data);
  // Of level 3; null: loops run on this thread alone.
  Team* team = nullptr;
  LoopTimes* loops = nullptr;          // by loop
  std::vector<uint64_t> parts;         // what Team::run() gave
  std::forward_list<ArrayPool> pools;  // takes no memory while it is empty, as in most calls
  std::vector<ArrayBlock> spare;
  char* allocateArray(size_t bytes);
};
static_assert(offsetof(Context, ticks) == 0 && offsetof(Context, depth) == 4 && offsetof(Context, spoiled) == 8 &&
              offsetof(Context, iterations) == 16);

// An inner loop of numpy's: operands, counts, byte strides, and what numpy wants to be given back.
struct UfuncLoop {
  void (*function)(char** operands, const intptr_t* count, const intptr_t* strides, void* data) = nullptr;
  void* data = nullptr;
};
// By program::ufuncCell(). The host fills it when numpy is imported, before code that uses it is compiled.
UfuncLoop& ufuncLoop(int64_t cell);

// CPython's complex power, which its own code computes: the host gives it. 1: it raises.
using ComplexPower = int32_t(double real, double imag, double exponentReal, double exponentImag, double* out);
ComplexPower*& complexPower();

// numpy's matrix product, for floats and complex numbers.
UfuncLoop& matmulLoop(program::DType dtype);

// Names and addresses of what compiled code calls.
struct RuntimeSymbol {
  const char* name;
  void* address;
};
const std::vector<RuntimeSymbol>& runtimeSymbols();

}  // namespace epochly::jit

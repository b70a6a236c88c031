#include "levels/jit/runtime.h"

#include <sys/mman.h>
#include <time.h>

#include "levels/jit/exact_math.h"
#include "levels/jit/numbers.h"
#include "levels/jit/powers.h"
#include "levels/jit/vector_math.h"

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace epochly::jit {

namespace {

constexpr uintptr_t PAGE = 4096;
constexpr size_t HUGE_PAGES_MIN = size_t(2) << 20;
// Small lists share blocks of this size.
constexpr size_t SHARED_BYTES = 64 << 10;
constexpr size_t ALIGNMENT = 16;

// Never destroyed: threads may end calls while the process ends.
struct Pool {
  std::mutex mutex;
  std::vector<Memory> kept;  // oldest first
  size_t bytes = 0;
};
Pool& pool() {
  static Pool& one = *new Pool;
  return one;
}

// As numpy has it: faulting pages in one by one costs more than the arithmetic.
void askForHugePages(void* block, size_t size) {
  if (!block || size < HUGE_PAGES_MIN) return;
  auto start = (reinterpret_cast<uintptr_t>(block) + PAGE - 1) & ~(PAGE - 1);
  madvise(reinterpret_cast<void*>(start), size - PAGE, MADV_HUGEPAGE);
}

}  // namespace

Memory takeMemory(size_t size) {
  auto& kept = pool();
  // Not waited for: after fork() in another thread's middle nobody would ever unlock it.
  if (std::unique_lock lock(kept.mutex, std::try_to_lock); lock) {
    auto best = kept.kept.end();
    for (auto at = kept.kept.begin(); at != kept.kept.end(); ++at) {
      if (at->size >= size && at->size / 4 <= size && (best == kept.kept.end() || at->size < best->size)) best = at;
    }
    if (best != kept.kept.end()) {
      auto found = *best;
      kept.kept.erase(best);
      kept.bytes -= found.size;
      return found;
    }
  }
  auto* made = std::malloc(size ? size : 1);
  askForHugePages(made, size);
  return {made, size};
}

void returnMemory(Memory memory) {
  auto& kept = pool();
  std::unique_lock lock(kept.mutex, std::try_to_lock);
  if (!lock || memory.size > POOL_BYTES_MAX || memory.size < SHARED_BYTES) return std::free(memory.data);
  kept.kept.push_back(memory);
  kept.bytes += memory.size;
  while (kept.bytes > POOL_BYTES_MAX || kept.kept.size() > POOL_BLOCKS_MAX) {
    std::free(kept.kept.front().data);
    kept.bytes -= kept.kept.front().size;
    kept.kept.erase(kept.kept.begin());
  }
}

size_t pooledBytes() {
  std::lock_guard lock(pool().mutex);
  return pool().bytes;
}

Context::~Context() {
  for (auto& block : blocks) returnMemory(block);
}

void* Context::allocate(size_t size) {
  if (size > ARENA_BYTES_MAX - bytes) return nullptr;
  bytes += size;
  size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  bool shares = size <= SHARED_BYTES / 4;
  if (!shares || size > sharedBytes) {
    auto block = takeMemory(shares ? SHARED_BYTES : size);
    if (!block.data) return nullptr;
    blocks.push_back(block);
    if (!shares) return block.data;
    shared = static_cast<char*>(block.data);
    sharedBytes = block.size;
  }
  auto* result = shared;
  shared += size;
  sharedBytes -= size;
  return result;
}

List* Context::newList(int64_t capacity, size_t stride) {
  if (capacity < 0) capacity = 0;
  if (static_cast<size_t>(capacity) > ARENA_BYTES_MAX / 8 / (stride ? stride : 1)) return nullptr;
  auto* list = static_cast<List*>(allocate(sizeof(List)));
  if (!list) return nullptr;
  *list = {0, capacity, nullptr, nullptr};
  if (capacity && stride) {
    list->data = static_cast<uint64_t*>(allocate(capacity * stride * 8));
    if (!list->data) return nullptr;
  }
  return list;
}

bool Context::grow(List& list, size_t stride) {
  int64_t capacity = list.capacity < 8 ? 8 : list.capacity * 2;
  if (stride == 0) {
    list.capacity = capacity;
    return true;
  }
  if (static_cast<size_t>(capacity) > ARENA_BYTES_MAX / 8 / stride) return false;
  auto* data = static_cast<uint64_t*>(allocate(capacity * stride * 8));
  if (!data) return false;
  if (list.length) std::memcpy(data, list.data, list.length * stride * 8);
  // The old elements stay in the arena: at most as much again as the list itself.
  list.data = data;
  list.capacity = capacity;
  return true;
}

char* Context::allocateArray(size_t size) {
  if (size > ARENA_BYTES_MAX - bytes) return nullptr;
  auto* block = static_cast<char*>(std::malloc(size ? size : 1));
  if (!block) return nullptr;
  askForHugePages(block, size);
  bytes += size;
  blocks.push_back({block, 0});  // not kept for the next call: numpy may become its owner
  return block;
}

char* Context::newArray(ArrayPool** pool, size_t size, void* const* roots, size_t count) {
  if (!pool) return allocateArray(size);
  if (!*pool) *pool = &pools.emplace_front();
  auto isLive = [&](const ArrayBlock& block) {
    return std::any_of(roots, roots + count,
                       [&](void* root) { return root >= block.data && root <= block.data + block.bytes; });
  };
  // From the back: what is too small for good is given up.
  for (size_t i = (*pool)->blocks.size(); i-- > 0;) {
    auto block = (*pool)->blocks[i];
    if (isLive(block)) continue;
    if (block.bytes >= size && block.bytes / 2 <= size) return block.data;
    release(block.data);
    std::free(block.data);
    bytes -= block.bytes;
    (*pool)->blocks.erase((*pool)->blocks.begin() + i);
  }
  for (auto& block : spare) {
    if (block.bytes < size || block.bytes / 2 > size) continue;
    (*pool)->blocks.push_back(block);
    auto* data = block.data;
    block = spare.back();
    spare.pop_back();
    return data;
  }
  auto* made = allocateArray(size);
  if (made) (*pool)->blocks.push_back({made, size});
  return made;
}

void Context::freeArray(ArrayPool& pool, char* data) {
  auto found = std::find_if(pool.blocks.begin(), pool.blocks.end(), [&](auto& block) { return block.data == data; });
  if (found == pool.blocks.end()) return;
  spare.push_back(*found);
  pool.blocks.erase(found);
}

bool Context::release(void* data) {
  auto found = std::find_if(blocks.rbegin(), blocks.rend(), [&](auto& block) { return block.data == data; });
  if (found == blocks.rend()) return false;
  blocks.erase(std::next(found).base());
  return true;
}

ComplexPower*& complexPower() {
  static ComplexPower* power = nullptr;
  return power;
}

UfuncLoop& matmulLoop(program::DType dtype) {
  static UfuncLoop loops[program::DTYPES];
  return loops[static_cast<size_t>(dtype)];
}

UfuncLoop& ufuncLoop(int64_t cell) {
  static UfuncLoop loops[program::UFUNC_COUNT][program::DTYPES];
  return loops[cell >> 8][cell & 0xff];
}

namespace {

int64_t nowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000ll + now.tv_nsec;
}

extern "C" {

List* epochly_list_new(Context* context, int64_t capacity, int64_t stride) { return context->newList(capacity, stride); }

int32_t epochly_list_grow(Context* context, List* list, int64_t stride) { return context->grow(*list, stride); }

// 1: give the call back.
int32_t epochly_poll(Context* context) {
  auto now = nowNs();
  if (now - context->lastPollNs < POLL_NS) return 0;
  context->lastPollNs = now;
  return context->interrupted && context->interrupted(*context);
}

int32_t epochly_worth_splitting(Context* context, int64_t loop, int64_t count) {
  return context->team && context->team->isWorth(*context, loop, count);
}

// Null: give the call back.
const uint64_t* epochly_parallel(Context* context, Chunk chunk, const uint64_t* frame, int64_t count, int64_t loop,
                                 int64_t leaves, Fold* folds, int64_t foldCount) {
  return context->team->run(*context, chunk, frame, count, loop, leaves, {folds, static_cast<size_t>(foldCount)});
}

// Null: the machine has no more.
int64_t* epochly_counters_new(Context* context, int64_t count) {
  auto bytes = static_cast<size_t>(count) * sizeof(int64_t);
  auto* made = context->allocate(bytes);
  return made ? static_cast<int64_t*>(std::memset(made, 0, bytes)) : nullptr;
}

// The same as a list.
List* epochly_list_counters_new(Context* context, int64_t count) {
  auto* made = context->newList(count, 1);
  if (!made) return nullptr;
  if (count) std::memset(made->data, 0, static_cast<size_t>(count) * sizeof(uint64_t));
  made->length = count;
  return made;
}

// CPython's float_pow. 1: it raises, or the result is complex, or libm's errno would have to be looked at.
int32_t epochly_pow(double x, double y, double* out) {
  if (y == 0 || x == 1) return *out = 1.0, 0;
  if (!std::isfinite(x) || !std::isfinite(y)) {
    if (std::isnan(x) || std::isnan(y)) return *out = std::isnan(x) ? x : y, 0;
    return 1;
  }
  if (x == 0 && y < 0) return 1;
  if (x < 0 && y != std::floor(y)) return 1;
  auto result = std::pow(x, y);
  if (!std::isfinite(result)) return 1;
  if (std::fabs(result) < 2.2250738585072014e-308 && x != 0) return 1;
  return *out = result, 0;
}

// 1: negative exponent, or beyond 64 bits.
int32_t epochly_pow_int(int64_t x, int64_t y, int64_t* out) {
  if (y < 0) return 1;
  int64_t result = 1;
  for (;;) {
    if (y & 1) {
      if (__builtin_mul_overflow(result, x, &result)) return 1;
    }
    y >>= 1;
    if (!y) break;
    if (__builtin_mul_overflow(x, x, &x)) return 1;
  }
  return *out = result, 0;
}

// 1: numpy would warn, or has no such loop. `numbers`: m, n, p and six byte strides.
int32_t epochly_matmul(int64_t dtype, char** operands, const intptr_t* numbers) {
  auto& loop = matmulLoop(static_cast<program::DType>(dtype));
  if (!loop.function) return 1;
  intptr_t counts[4] = {1, numbers[0], numbers[1], numbers[2]}, strides[9] = {};
  std::copy(numbers + 3, numbers + 9, strides + 3);
  std::feclearexcept(FE_ALL_EXCEPT);
  loop.function(operands, counts, strides, loop.data);
  return std::fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_INVALID) != 0;
}

char* epochly_array_new(Context* context, ArrayPool** pool, int64_t bytes, void* const* roots, int64_t count) {
  return context->newArray(pool, bytes, roots, count);
}

void epochly_array_free(Context* context, ArrayPool** pool, char* data) {
  if (*pool) context->freeArray(**pool, data);
}

// 1: numpy would warn, or has no such loop.
int32_t epochly_ufunc(int64_t cell, char** operands, const intptr_t* count, const intptr_t* strides) {
  auto& loop = ufuncLoop(cell);
  if (!loop.function) return 1;
  std::feclearexcept(FE_ALL_EXCEPT);
  loop.function(operands, count, strides, loop.data);
  return std::fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_INVALID) != 0;
}

// 1: CPython's raises, or there is none.
int32_t epochly_complex_pow(double real, double imag, double exponentReal, double exponentImag, double* out) {
  auto* power = complexPower();
  return power ? power(real, imag, exponentReal, exponentImag, out) : 1;
}

double epochly_fmod(double x, double y) { return std::fmod(x, y); }

}  // extern "C"

template <typename F>
void* address(F* function) {
  return reinterpret_cast<void*>(function);
}

std::vector<RuntimeSymbol> withMath(std::vector<RuntimeSymbol> symbols) {
  for (auto* more : {&powers::symbols(), &vectors::symbols()}) symbols.insert(symbols.end(), more->begin(), more->end());
  return symbols;
}

using Unary = double(double);
using Binary = double(double, double);

}  // namespace

const std::vector<RuntimeSymbol>& runtimeSymbols() {
  // The libm that this process has, which is the one that CPython calls. Named apart, so that LLVM does not take them for the C
  // functions and "improves" them.
  static const auto symbols = withMath({
      {"epochly_list_new", address(&epochly_list_new)},
      {"epochly_list_grow", address(&epochly_list_grow)},
      {"epochly_matmul", address(&epochly_matmul)},
      {"epochly_true_divide", address(&numbers::trueDivide)},
      {"epochly_round", address(&numbers::roundDigits)},
      {"epochly_gcd", address(&numbers::gcd)},
      {"epochly_lcm", address(&numbers::lcm)},
      {"epochly_isqrt", address(&numbers::isqrt)},
      {"epochly_factorial", address(&numbers::factorial)},
      {"epochly_comb", address(&numbers::comb)},
      {"epochly_perm", address(&numbers::perm)},
      {"epochly_bit_length", address(&numbers::bitLength)},
      {"epochly_bit_count", address(&numbers::bitCount)},
      {"epochly_pow_mod", address(&numbers::powMod)},
      {"epochly_norm", address(&exact::norm)},
      {"epochly_fsum", address(&exact::fsum)},
      {"epochly_list_sort", address(&numbers::sortList)},
      {"epochly_array_new", address(&epochly_array_new)},
      {"epochly_array_free", address(&epochly_array_free)},
      {"epochly_ufunc", address(&epochly_ufunc)},
      {"epochly_poll", address(&epochly_poll)},
      {"epochly_worth_splitting", address(&epochly_worth_splitting)},
      {"epochly_parallel", address(&epochly_parallel)},
      {"epochly_counters_new", address(&epochly_counters_new)},
      {"epochly_list_counters_new", address(&epochly_list_counters_new)},
      {"epochly_pow", address(&epochly_pow)},
      {"epochly_pow_int", address(&epochly_pow_int)},
      {"epochly_complex_pow", address(&epochly_complex_pow)},
      {"epochly_fmod", address(&epochly_fmod)},
      {"epochly_math_exp", address<Unary>(&::exp)},
      {"epochly_math_expm1", address<Unary>(&::expm1)},
      {"epochly_math_sin", address<Unary>(&::sin)},
      {"epochly_math_cos", address<Unary>(&::cos)},
      {"epochly_math_tan", address<Unary>(&::tan)},
      {"epochly_math_asin", address<Unary>(&::asin)},
      {"epochly_math_acos", address<Unary>(&::acos)},
      {"epochly_math_atan", address<Unary>(&::atan)},
      {"epochly_math_sinh", address<Unary>(&::sinh)},
      {"epochly_math_cosh", address<Unary>(&::cosh)},
      {"epochly_math_tanh", address<Unary>(&::tanh)},
      {"epochly_math_asinh", address<Unary>(&::asinh)},
      {"epochly_math_acosh", address<Unary>(&::acosh)},
      {"epochly_math_atanh", address<Unary>(&::atanh)},
      {"epochly_math_log", address<Unary>(&::log)},
      {"epochly_math_log2", address<Unary>(&::log2)},
      {"epochly_math_log10", address<Unary>(&::log10)},
      {"epochly_math_log1p", address<Unary>(&::log1p)},
      {"epochly_math_cbrt", address<Unary>(&::cbrt)},
      {"epochly_math_exp2", address<Unary>(&::exp2)},
      {"epochly_math_erf", address<Unary>(&::erf)},
      {"epochly_math_erfc", address<Unary>(&::erfc)},
      {"epochly_math_fraction", address<Unary>(&exact::fraction)},
      {"epochly_math_frexp_fraction", address<Unary>(&exact::frexpFraction)},
      {"epochly_math_frexp_exponent", address<Unary>(&exact::frexpExponent)},
      {"epochly_math_atan2", address<Binary>(&::atan2)},
      {"epochly_math_abs_complex", address<Binary>(&::hypot)},  // CPython's abs(); its math.hypot() is exacter
      {"epochly_math_hypot", address<Binary>(&exact::hypot)},
      {"epochly_math_nextafter", address<Binary>(&::nextafter)},
      {"epochly_math_remainder", address<Binary>(&::remainder)},
      {"epochly_math_ldexp", address<Binary>(&exact::ldexp)},
      {"epochly_math_pow", address<Binary>(&::pow)},
      {"epochly_math_fmod", address<Binary>(&::fmod)},
      {"epochly_math_copysign", address<Binary>(&::copysign)},
  });
  return symbols;
}

}  // namespace epochly::jit

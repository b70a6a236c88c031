#include "levels/jit/runtime.h"

#include <time.h>

#include <cmath>
#include <cstdlib>

namespace epochly::jit {

Context::~Context() {
  for (auto* block : blocks) std::free(block);
}

void* Context::allocate(size_t size) {
  if (size > ARENA_BYTES_MAX - bytes) return nullptr;
  auto* block = std::malloc(size ? size : 1);
  if (!block) return nullptr;
  bytes += size;
  blocks.push_back(block);
  return block;
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
  for (int64_t i = 0; i < list.length * static_cast<int64_t>(stride); i++) data[i] = list.data[i];
  // The old elements stay in the arena: at most as much again as the list itself.
  list.data = data;
  list.capacity = capacity;
  return true;
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

double epochly_fmod(double x, double y) { return std::fmod(x, y); }

}  // extern "C"

template <typename F>
void* address(F* function) {
  return reinterpret_cast<void*>(function);
}

using Unary = double(double);
using Binary = double(double, double);

}  // namespace

const std::vector<RuntimeSymbol>& runtimeSymbols() {
  // The libm that this process has, which is the one that CPython calls. Named apart, so that LLVM does not take them for the C
  // functions and "improves" them.
  static const std::vector<RuntimeSymbol> symbols = {
      {"epochly_list_new", address(&epochly_list_new)},
      {"epochly_list_grow", address(&epochly_list_grow)},
      {"epochly_poll", address(&epochly_poll)},
      {"epochly_pow", address(&epochly_pow)},
      {"epochly_pow_int", address(&epochly_pow_int)},
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
      {"epochly_math_atan2", address<Binary>(&::atan2)},
      {"epochly_math_pow", address<Binary>(&::pow)},
      {"epochly_math_fmod", address<Binary>(&::fmod)},
      {"epochly_math_copysign", address<Binary>(&::copysign)},
  };
  return symbols;
}

}  // namespace epochly::jit

#include "run/progress.h"

#include <ctime>

namespace epochly::run {

namespace {

uint32_t endOf(uint64_t claims) { return claims >> 32; }
uint32_t recalledOf(uint64_t claims) { return static_cast<uint32_t>(claims); }
uint64_t pack(uint32_t end, uint32_t recalled) { return static_cast<uint64_t>(end) << 32 | recalled; }

}  // namespace

uint64_t monotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000ull + now.tv_nsec;
}

bool Progress::begin(uint32_t index) {
  // Before the claim, so that whoever sees the claim sees a time not older than it.
  begunAtNs.store(monotonicNs());
  uint64_t seen = claims.load();
  do {
    if (indexBefore(index, recalledOf(seen))) return false;
    // Everything below has begun or was taken back; moving the low half along keeps it within reach of the index, which wraps.
  } while (!claims.compare_exchange_weak(seen, pack(index + 1, index + 1)));
  return true;
}

uint32_t Progress::recall(uint32_t delivered) {
  uint64_t seen = claims.load();
  while (!claims.compare_exchange_weak(seen, pack(endOf(seen), delivered))) {
  }
  return endOf(seen);
}

Progress::Last Progress::last() const {
  while (true) {
    uint32_t end = endOf(claims.load());
    uint64_t at = begunAtNs.load();
    if (endOf(claims.load()) == end) return {end, at};
  }
}

bool Progress::enter(uint32_t index) {
  for (uint32_t i = 0; i < IO_THREADS_MAX; i++) {
    Slot& slot = slots[(index + i) % IO_THREADS_MAX];
    uint64_t free = 0;
    if (slot.entry.load() != 0 || !slot.entry.compare_exchange_strong(free, TAKEN | index)) continue;
    slot.atNs.store(monotonicNs());
    return true;
  }
  return false;
}

void Progress::leave(uint32_t index) {
  for (uint32_t i = 0; i < IO_THREADS_MAX; i++) {
    Slot& slot = slots[(index + i) % IO_THREADS_MAX];
    if (slot.entry.load() != (TAKEN | index)) continue;
    slot.atNs.store(0);
    slot.entry.store(0);
    return;
  }
}

kj::Vector<Progress::Begun> Progress::entered() const {
  kj::Vector<Begun> begun;
  for (auto& slot : slots) {
    uint64_t entry = slot.entry.load();
    if (entry == 0) continue;
    uint64_t at = slot.atNs.load();
    begun.add(Begun{static_cast<uint32_t>(entry), at == 0 ? monotonicNs() : at});  // 0: it is entering this very moment
  }
  return begun;
}

}  // namespace epochly::run

#include "levels/multicore/folding.h"

#include <bit>
#include <cstring>

namespace epochly::multicore {

using jit::Fold;
using jit::List;
using program::FoldKind;

namespace {

void foldFloats(Fold& fold, const List& list) {
  auto* values = reinterpret_cast<const double*>(list.data);
  auto total = std::bit_cast<double>(fold.target);
  if (fold.kind == static_cast<int64_t>(FoldKind::PRODUCT)) {
    for (int64_t i = 0; i < list.length; i++) total *= values[i];
  } else {
    for (int64_t i = 0; i < list.length; i++) total += values[i];
  }
  fold.target = std::bit_cast<uint64_t>(total);
}

bool addCounters(const Fold& fold, const int64_t* counters) {
  auto* bytes = reinterpret_cast<char*>(fold.target);
  for (int64_t i = 0; i < fold.size; i++) {
    auto* element = reinterpret_cast<int64_t*>(bytes + i * fold.stride);
    if (__builtin_add_overflow(*element, counters[i], element)) return false;
  }
  return true;
}

bool addCounters(const Fold& fold, const List& counters) {
  auto& target = *reinterpret_cast<List*>(fold.target);
  return addCounters({reinterpret_cast<uint64_t>(target.data), target.length, sizeof(int64_t), fold.kind},
                     reinterpret_cast<const int64_t*>(counters.data));
}

bool append(const Fold& fold, const List& list, jit::Context& caller) {
  auto& target = *reinterpret_cast<List*>(fold.target);
  auto leaves = static_cast<size_t>(fold.size);
  while (target.capacity - target.length < list.length) {
    if (!caller.grow(target, leaves)) return false;
  }
  if (list.length) std::memcpy(target.data + target.length * leaves, list.data, list.length * leaves * sizeof(uint64_t));
  target.length += list.length;
  return true;
}

}  // namespace

bool Folding::bring(int64_t at, const uint64_t* results, std::shared_ptr<void> memory) {
  std::unique_lock lock(mutex);
  waiting[at] = {results, std::move(memory)};
  if (isAtWork) return !failed;
  isAtWork = true;
  for (auto found = waiting.find(next); found != waiting.end() && !failed; found = waiting.find(next)) {
    auto chunk = std::move(found->second);
    waiting.erase(found);
    lock.unlock();
    bool fits = fold(chunk.results);
    chunk.memory.reset();
    lock.lock();
    failed |= !fits;
    next++;
  }
  isAtWork = false;
  return !failed;
}

bool Folding::fold(const uint64_t* results) {
  for (size_t i = 0; i < folds.size(); i++) {
    auto& fold = folds[i];
    switch (static_cast<FoldKind>(fold.kind)) {
      case FoldKind::SUM:
      case FoldKind::PRODUCT: foldFloats(fold, *reinterpret_cast<const List*>(results[i])); break;
      case FoldKind::COUNTERS:
        if (!addCounters(fold, reinterpret_cast<const int64_t*>(results[i]))) return false;
        break;
      case FoldKind::LIST_COUNTERS:
        if (!addCounters(fold, *reinterpret_cast<const List*>(results[i]))) return false;
        break;
      case FoldKind::APPEND:
        if (!append(fold, *reinterpret_cast<const List*>(results[i]), caller)) return false;
        break;
    }
  }
  return true;
}

}  // namespace epochly::multicore

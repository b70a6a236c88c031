// Puts together what the chunks of a loop have left behind, in the order of the iterations.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>

#include "levels/jit/runtime.h"

namespace epochly::multicore {

// Any thread brings chunks; whoever comes with the next one folds, and with it those that waited for it.
class Folding {
 public:
  // `caller`: in whose memory lists grow. Its thread leaves it alone until all chunks have ended.
  Folding(std::span<jit::Fold> folds, jit::Context& caller) : folds(folds), caller(caller) {}
  bool isWanted() const { return !folds.empty(); }
  size_t count() const { return folds.size(); }

  // `results`: of chunk `at`, one for each fold, which lie in `memory`. False: something did not fit, and the loop is to be given back.
  bool bring(int64_t at, const uint64_t* results, std::shared_ptr<void> memory);

 private:
  struct Waiting {
    const uint64_t* results;
    std::shared_ptr<void> memory;
  };
  const std::span<jit::Fold> folds;  // of whoever is at work, as is the caller's memory
  jit::Context& caller;
  std::mutex mutex;
  std::map<int64_t, Waiting> waiting;  // chunks that ended before one ahead of them: as many as threads, mostly
  int64_t next = 0;
  bool isAtWork = false;
  bool failed = false;

  bool fold(const uint64_t* results);
};

}  // namespace epochly::multicore

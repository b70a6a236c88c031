// Virtual time and what is going to happen in it.
#pragma once

#include <algorithm>
#include <vector>

#include <kj/function.h>
#include <kj/time.h>

namespace epochly::sim {

// Everything that happens in a world is an action of its clock. Nothing else advances time.
class Clock {
 public:
  using Action = kj::Function<void()>;

  kj::TimePoint now() const { return time; }
  uint64_t steps() const { return stepCount; }

  // A time that has passed means now. Actions of one moment run in the order in which they were asked for.
  void at(kj::TimePoint when, Action action) {
    waiting.push_back(Entry{std::max(when, time), ++asked, kj::mv(action)});
    std::push_heap(waiting.begin(), waiting.end(), later);
  }
  void after(kj::Duration delay, Action action) { at(time + delay, kj::mv(action)); }

  // Runs the earliest action. False: there is none.
  bool step() {
    if (waiting.empty()) return false;
    std::pop_heap(waiting.begin(), waiting.end(), later);
    auto entry = kj::mv(waiting.back());
    waiting.pop_back();
    time = entry.when;
    stepCount++;
    entry.action();
    return true;
  }

 private:
  struct Entry {
    kj::TimePoint when;
    uint64_t order;
    Action action;
  };

  // Not the origin: a table entry that was never given a time must not look like one of now.
  kj::TimePoint time = kj::origin<kj::TimePoint>() + 1 * kj::HOURS;
  uint64_t asked = 0;
  uint64_t stepCount = 0;
  std::vector<Entry> waiting;  // a heap, the earliest in front

  static bool later(const Entry& a, const Entry& b) { return a.when != b.when ? a.when > b.when : a.order > b.order; }
};

}  // namespace epochly::sim

// Which level a function runs at that was given none. Per argument shape it is watched plainly, tried at the level that suits it,
// kept there while that measures faster, and goes back when it does not. Pure: times are arguments, the host runs the calls.
#pragma once

#include <cstdint>
#include <deque>

#include <kj/common.h>
#include <kj/string.h>

#include "wire/ids.h"

namespace epochly::choice {

using Nanos = uint64_t;

// What plain calls of a function must have taken before anything is tried of it: a trial that does not pay costs some 30 ms of
// compiling, which is then a third of it at the very worst, and 3 % after a second.
constexpr Nanos AWAKE_AFTER_NS = 100'000'000;
// And those of one shape since the function is awake, so that there is something to compare with.
constexpr Nanos WATCH_NS = 10'000'000;
// A trial is over after so many calls where the result is plain to see, and after the second number at the latest.
constexpr uint32_t TRIAL_CALLS_MIN = 3;
constexpr uint32_t TRIAL_CALLS_MAX = 8;
// Parts of the plain time: below the first it pays beyond doubt, above the second it does not, below the third it pays.
constexpr double PAYS_CLEARLY = 0.7;
constexpr double FAILS_CLEARLY = 1.1;
constexpr double PAYS = 0.9;
// One call that takes this much longer than a plain one ends the trial: the next ones would cost as much.
constexpr double FAILS_AT_ONCE = 1.5;
// Of the time at a level, one part in this many goes into plain calls, to see whether it still pays.
constexpr Nanos CHECK_SHARE = 100;
// A level that did not pay is tried again after this many times the plain time before it, because data change; and so often at
// most in the life of a shape.
constexpr Nanos RETRY_FACTOR = 10;
constexpr uint32_t TRIALS_MAX = 3;
// Shapes of one function that are told apart, at 100 bytes each; what else comes along runs plainly.
constexpr size_t SHAPES_MAX = 16;

enum class Stage : uint8_t { WATCHED, TRIED, KEPT, REFUSED };

// Plain and level times are weighted means, newest 1/8 (of the first few calls: plain means).
class Mean {
 public:
  void add(Nanos value);
  double get() const { return mean; }
  uint32_t count() const { return n; }
  void clear() { mean = 0, n = 0; }

 private:
  double mean = 0;
  uint32_t n = 0;
};

// Arguments of one kind and about one size.
struct Shape {
  uint64_t key = 0;
  kj::String text;  // for people
  Stage stage = Stage::WATCHED;
  Level level = Level::MONITOR;  // tried, kept or refused
  Level rival = Level::MONITOR;  // to be tried after it; MONITOR: none
  Level best = Level::MONITOR;   // of those tried before, which pay
  double bestTime = 0;           // of a call at `best`
  kj::String why;                // of the stage, a sentence
  Mean plain, atLevel;
  uint32_t trials = 0;
  Nanos plainTotal = 0;  // since the shape is known
  Nanos watchUntil = 0;  // plainTotal from which it may be tried
  Nanos levelSinceCheck = 0;
};

// Of one function. Not thread-safe: the host's lock is held in every call.
class Choice {
 public:
  // The shape, if it is known or there is room for it. `text` is asked for when it is new.
  template <typename Text>
  Shape* find(uint64_t key, Text&& text) {
    for (auto& shape : shapes) {
      if (shape.key == key) return &shape;
    }
    if (shapes.size() >= SHAPES_MAX) return nullptr;
    shapes.push_back({.key = key, .text = text(), .watchUntil = WATCH_NS});
    return &shapes.back();
  }

  // The level that a call of this shape asks for now.
  Level next(const Shape& shape) const;
  // Whether it is time to ask which level suits the function; then propose() or refuse().
  bool isDue(const Shape& shape) const;
  // `rival`: another level to compare it with; MONITOR: none.
  void propose(Shape& shape, Level level, Level rival, kj::String why);
  // Of the levels that could run it, `level` took the call.
  void took(Shape& shape, Level level);
  // None of them took the call.
  void declined(Shape& shape, kj::String why) { refuse(shape, kj::mv(why)); }
  // It will not be tried.
  void refuse(Shape& shape, kj::String why);
  // A call that asked for `asked` took `wall`, of it `made` to make code.
  void note(Shape& shape, Level asked, Nanos wall, Nanos made);

  const std::deque<Shape>& all() const { return shapes; }

 private:
  std::deque<Shape> shapes;  // at most SHAPES_MAX; a Shape stays where it is

  void judge(Shape& shape);
  void conclude(Shape& shape);
  void look(Shape& shape);
};

}  // namespace epochly::choice

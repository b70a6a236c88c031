#include "levels/choice/choice.h"

#include <cstdio>
#include <utility>

namespace epochly::choice {

namespace {

constexpr uint32_t NEWEST = 8;  // one part in this many

kj::String milliseconds(double nanoseconds) {
  char text[32];
  snprintf(text, sizeof(text), "%.3g ms", nanoseconds / 1e6);
  return kj::str(text);
}

kj::String compared(const Shape& shape) {
  return kj::str(milliseconds(shape.atLevel.get()), " a call at level ", static_cast<int>(shape.level), ", ",
                 milliseconds(shape.plain.get()), " at level 0");
}

}  // namespace

void Mean::add(Nanos value) {
  n += n < NEWEST;
  mean += (static_cast<double>(value) - mean) / n;
}

Level Choice::next(const Shape& shape) const {
  switch (shape.stage) {
    case Stage::WATCHED:
    case Stage::REFUSED: return Level::MONITOR;
    case Stage::TRIED: return shape.level;
    case Stage::KEPT: {
      bool check = static_cast<double>(shape.levelSinceCheck) >= CHECK_SHARE * shape.plain.get();
      return check ? Level::MONITOR : shape.level;
    }
  }
  KJ_UNREACHABLE;
}

bool Choice::isDue(const Shape& shape) const {
  bool watched = shape.stage == Stage::WATCHED || shape.stage == Stage::REFUSED;
  return watched && shape.trials < TRIALS_MAX && shape.plainTotal >= shape.watchUntil;
}

void Choice::propose(Shape& shape, Level level, Level rival, kj::String why) {
  shape.stage = Stage::TRIED;
  shape.level = level;
  shape.rival = rival;
  shape.best = Level::MONITOR;
  shape.why = kj::mv(why);
  shape.trials++;
  shape.atLevel.clear();
}

void Choice::took(Shape& shape, Level level) {
  shape.level = level;
  if (shape.rival == level) shape.rival = Level::MONITOR;
}

void Choice::refuse(Shape& shape, kj::String why) {
  shape.stage = Stage::REFUSED;
  shape.why = kj::mv(why);
  shape.watchUntil = RETRY_FACTOR * shape.plainTotal;
}

void Choice::note(Shape& shape, Level asked, Nanos wall, Nanos made) {
  if (asked == Level::MONITOR) {
    shape.plain.add(wall);
    shape.plainTotal += wall;
    if (shape.stage == Stage::KEPT) look(shape);
    return;
  }
  if (asked != shape.level) return;  // another thread's call has ended the trial meanwhile
  if (made == 0) shape.atLevel.add(wall);
  shape.levelSinceCheck += wall;
  if (shape.stage == Stage::TRIED) judge(shape);
}

void Choice::judge(Shape& shape) {
  auto calls = shape.atLevel.count();
  if (calls == 0) return;
  double part = shape.atLevel.get() / shape.plain.get();
  bool isOver = calls >= TRIAL_CALLS_MAX || part >= FAILS_AT_ONCE ||
                (calls >= TRIAL_CALLS_MIN && (part < PAYS_CLEARLY || part > FAILS_CLEARLY));
  if (!isOver) return;
  bool pays = part < PAYS;
  if (pays && (shape.best == Level::MONITOR || shape.atLevel.get() < shape.bestTime)) {
    shape.best = shape.level;
    shape.bestTime = shape.atLevel.get();
  }
  if (shape.rival == Level::MONITOR) return conclude(shape);
  shape.level = std::exchange(shape.rival, Level::MONITOR);
  shape.atLevel.clear();
}

// All that could be tried has been.
void Choice::conclude(Shape& shape) {
  if (shape.best == Level::MONITOR) return refuse(shape, kj::str("it did not pay: ", compared(shape)));
  if (shape.level != shape.best) {
    shape.level = shape.best;
    shape.atLevel.clear();
    shape.atLevel.add(static_cast<Nanos>(shape.bestTime));
  }
  shape.stage = Stage::KEPT;
  shape.why = compared(shape);
  shape.levelSinceCheck = 0;
}

// After a plain call of a shape that is kept at a level.
void Choice::look(Shape& shape) {
  shape.levelSinceCheck = 0;
  if (shape.atLevel.get() > shape.plain.get()) {
    refuse(shape, kj::str("it no longer pays: ", compared(shape)));
  } else {
    shape.why = compared(shape);
  }
}

}  // namespace epochly::choice

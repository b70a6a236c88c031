#include "ext/local/measure.h"

#include <algorithm>

#include "ext/local/loops.h"

namespace epochly::ext {

Nanos cpuReadingCost = 0;

void calibrateClocks() {
  constexpr int ROUNDS = 8;  // the least of a few: an interruption makes one longer, nothing makes one shorter
  Nanos cpuCost = monitor::NEVER, wallCost = monitor::NEVER;
  for (int i = 0; i < ROUNDS; ++i) {
    Nanos began = wallNow();
    Nanos first = cpuNow();
    Nanos second = cpuNow();
    wallCost = std::min(wallCost, (wallNow() - began) / 2);
    cpuCost = std::min(cpuCost, second - first);
  }
  cpuReadingCost = cpuCost;
  monitor::setCosts({.cpuReading = wallCost, .loopSession = loops::SESSION_COST_NS});
}

void Stretch::readStart() {
  cpuStart = cpuNow();
  start = wallNow();
  thread.anchor.set(start, cpuStart);
}

void Stretch::readEnd(Nanos wall) {
  Nanos cpuEnd = cpuNow();
  if (!cpuRead) cpuStart = thread.anchor.cpuAt(start, wall);  // unexpectedly long: the last reading may do
  thread.anchor.set(start + wall, cpuEnd);
  if (cpuStart == monitor::NEVER) return;
  Nanos taken = cpuEnd > cpuStart ? cpuEnd - cpuStart : 0;
  cpuTaken = taken > cpuReadingCost ? taken - cpuReadingCost : 0;
  monitor::addCpuSample(block.tally, wall, cpuTaken);
}

}  // namespace epochly::ext

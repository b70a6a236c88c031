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
    CpuReading first = CpuReading::now();
    CpuReading second = CpuReading::now();
    wallCost = std::min(wallCost, (wallNow() - began) / 2);
    cpuCost = std::min(cpuCost, second.cpu - first.cpu);
  }
  cpuReadingCost = cpuCost;
  monitor::setCosts({.cpuReading = wallCost, .loopSession = loops::SESSION_COST_NS});
}

void Stretch::readStart() {
  cpuStart = CpuReading::now();
  start = wallNow();
  thread.anchor.set(start, cpuStart.cpu, cpuStart.waits);
}

void Stretch::readEnd(Nanos wall) {
  CpuReading end = CpuReading::now();
  bool known = cpuRead;
  if (!cpuRead && thread.anchor.standsFor(start, wall)) {  // unexpectedly long: the last reading may do
    cpuStart = {thread.anchor.cpuAt(start), thread.anchor.waits()};
    known = true;
  }
  thread.anchor.set(start + wall, end.cpu, end.waits);
  if (!known) return;
  Nanos cpu = end.cpu > cpuStart.cpu + cpuReadingCost ? end.cpu - cpuStart.cpu - cpuReadingCost : 0;
  monitor::addCpuSample(block.tally, wall, cpu, end.waits != cpuStart.waits);
}

}  // namespace epochly::ext

// The clocks around a stretch of user code.
#pragma once

#include "ext/local/clock.h"
#include "levels/monitor/ledger.h"

namespace epochly::ext {

using monitor::Nanos;

// What two readings of the CPU, one right after the other, differ by; measured once, when the module is loaded.
extern Nanos cpuReadingCost;
void calibrateClocks();

// One stretch on one thread. Lives on the stack of the call it measures.
class Stretch {
 public:
  Stretch(monitor::ThreadState& thread, monitor::Block& block) : thread(thread), block(block) {
    start = wallNow();
    cpuRead = block.sampler.beginStretch(start, thread.ration);
    if (cpuRead) readStart();
  }
  Nanos startedAt() const { return start; }
  // The stretch's wall time, which leaves out the readings of the CPU.
  Nanos end() {
    Nanos wall = wallNow() - start;
    if (cpuRead || wall >= monitor::LONG_CALL_NS) readEnd(wall);
    block.sampler.endStretch(wall);
    return wall;
  }

 private:
  void readStart();
  void readEnd(Nanos wall);

  monitor::ThreadState& thread;
  monitor::Block& block;
  Nanos start;
  CpuReading cpuStart;
  bool cpuRead;
};

}  // namespace epochly::ext

#include "levels/multicore/cores.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "levels/multicore/team.h"
#include "probe/machine.h"

namespace epochly::multicore {

namespace {

// 0: the variable is not set, or says something else than a number.
int wantedByUser() {
  auto* text = std::getenv("EPOCHLY_MAX_WORKERS");
  return text ? std::atoi(text) : 0;
}

int coresAllowed() {
  probe::Facts facts;
  auto cores = probe::probeCores(probe::Sources(), facts);
  return static_cast<int>(cores ? cores : std::thread::hardware_concurrency());
}

}  // namespace

int coresToUse() {
  auto wanted = wantedByUser();
  return std::clamp(wanted > 0 ? wanted : coresAllowed(), 1, CORES_MAX);
}

}  // namespace epochly::multicore

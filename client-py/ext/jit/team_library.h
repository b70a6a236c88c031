// What epochly/_multicore.so offers: level 3's threads, apart from epochly._jit, which works where oneTBB is missing.
#pragma once

#include <string>

#include "levels/jit/runtime.h"

namespace epochly::ext::jit {

constexpr const char* TEAM_FILE = "_multicore.so";
constexpr const char* TEAM_SYMBOL = "epochly_multicore";

struct TeamLibrary {
  epochly::jit::Team& (*team)();
  int (*cores)();
  void (*setCores)(int cores, int64_t chunkNs);
  std::string (*whyAlone)();
};

// Null: it cannot be loaded, whyNoTeam() says why. Needs the GIL.
const TeamLibrary* teamOrNone();
const std::string& whyNoTeam();

}  // namespace epochly::ext::jit

// The whole probe.
#pragma once

#include "probe/facts.h"
#include "probe/files.h"
#include "wire/ids.h"

namespace epochly::probe {

// How many cores this process may run on by its affinity; none if the system does not say.
kj::Maybe<uint> affinityCores();

struct Sources {
  Files files;
  kj::Maybe<uint> affinity = affinityCores();
};

struct Machine {
  kj::String hostName;            // "unknown" if it has none
  uint cores = 0;                 // usable here: affinity and cgroup quota applied, rounded up; 0 = unknown
  uint64_t memoryBytes = 0;       // usable here: cgroup limit applied; 0 = unknown
  kj::Array<Fact> facts;
};

// Reads files only; takes about a millisecond.
Machine probeMachine(const Sources& sources);

// ---- its parts, each adding facts ----
kj::String probeHostName(const Files& files, Facts& facts);
uint probeCores(const Sources& sources, Facts& facts);
uint64_t probeMemory(const Files& files, Facts& facts);
void probeGpu(const Files& files, Facts& facts);

}  // namespace epochly::probe

#include "probe/machine.h"

namespace epochly::probe {

kj::String probeHostName(const Files& files, Facts& facts) {
  KJ_IF_MAYBE(text, files.read("/proc/sys/kernel/hostname")) {
    auto name = trim(text->asArray());
    if (name.size() > 0) {
      facts.known("host.name", kj::str(name));
      return name;
    }
    facts.absent("host.name", kj::str("/proc/sys/kernel/hostname is empty"));
  } else {
    facts.unknown("host.name", kj::str("/proc/sys/kernel/hostname cannot be read"));
  }
  return kj::str("unknown");
}

Machine probeMachine(const Sources& sources) {
  Machine machine;
  Facts facts;
  machine.hostName = probeHostName(sources.files, facts);
  machine.cores = probeCores(sources, facts);
  machine.memoryBytes = probeMemory(sources.files, facts);
  probeGpu(sources.files, facts);
  machine.facts = facts.release();
  return machine;
}

}  // namespace epochly::probe

// Memory: what the machine has and what a control group allows.
#include "probe/cgroup.h"
#include "probe/machine.h"

namespace epochly::probe {

namespace {

// Version 1 says "no limit" with a number near 2^63, rounded down to a page.
constexpr uint64_t NO_LIMIT_MIN = 1ull << 62;

kj::Maybe<uint64_t> limitAt(const Files& files, uint version, kj::StringPtr directory) {
  auto name = version == 2 ? "/memory.max"_kj : "/memory.limit_in_bytes"_kj;
  KJ_IF_MAYBE(text, files.read(kj::str(directory, name))) {
    KJ_IF_MAYBE(limit, parseNumber(*text)) {  // "max" is no number
      if (*limit < NO_LIMIT_MIN) return *limit;
    }
  }
  return nullptr;
}

kj::Maybe<uint64_t> probeLimit(const Files& files, Facts& facts) {
  kj::Maybe<uint64_t> limit;
  KJ_IF_MAYBE(group, findCgroup(files, "memory")) {
    forEachLevel(files, *group, [&](kj::StringPtr directory) {
      KJ_IF_MAYBE(here, limitAt(files, group->version, directory)) limit = kj::min(limit.orDefault(*here), *here);
    });
    if (limit == nullptr) facts.absent("memory.limit_bytes", kj::str("no control group on the way to the root sets one"));
  } else {
    facts.absent("memory.limit_bytes", kj::str("no memory controller is mounted below /sys/fs/cgroup"));
  }
  KJ_IF_MAYBE(bytes, limit) facts.known("memory.limit_bytes", kj::str(*bytes));
  return limit;
}

kj::Maybe<uint64_t> probeTotal(const Files& files, Facts& facts) {
  KJ_IF_MAYBE(text, files.read("/proc/meminfo")) {
    KJ_IF_MAYBE(line, valueOf(*text, "MemTotal")) {  // "16316412 kB"
      if (line->endsWith(" kB")) {
        KJ_IF_MAYBE(kib, parseNumber(kj::str(line->slice(0, line->size() - 3)))) {
          facts.known("memory.total_bytes", kj::str(*kib * 1024));
          return *kib * 1024;
        }
      }
    }
    facts.unknown("memory.total_bytes", kj::str("/proc/meminfo has no MemTotal in kB"));
  } else {
    facts.unknown("memory.total_bytes", kj::str("/proc/meminfo cannot be read"));
  }
  return nullptr;
}

}  // namespace

uint64_t probeMemory(const Files& files, Facts& facts) {
  auto total = probeTotal(files, facts);
  auto limit = probeLimit(files, facts);
  KJ_IF_MAYBE(bytes, limit) return kj::min(*bytes, total.orDefault(*bytes));
  return total.orDefault(0);
}

}  // namespace epochly::probe

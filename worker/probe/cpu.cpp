// Cores: what the machine has, what affinity leaves, what a control group's quota allows.
#include <cmath>

#include <sched.h>

#include <kj/debug.h>

#include "probe/cgroup.h"
#include "probe/machine.h"

namespace epochly::probe {

namespace {

// Cores a group may use, from one level's files; none if it has no quota.
kj::Maybe<double> quotaAt(const Files& files, uint version, kj::StringPtr directory) {
  kj::String quota, period;
  if (version == 2) {  // "max 100000" or "150000 100000"
    auto line = trim(files.read(kj::str(directory, "/cpu.max")).orDefault(kj::String()).asArray());
    KJ_IF_MAYBE(space, line.findFirst(' ')) {
      quota = kj::str(line.slice(0, *space));
      period = kj::str(line.slice(*space + 1));
    }
  } else {  // -1 is no quota
    quota = files.read(kj::str(directory, "/cpu.cfs_quota_us")).orDefault(kj::String());
    period = files.read(kj::str(directory, "/cpu.cfs_period_us")).orDefault(kj::String());
  }
  KJ_IF_MAYBE(q, parseNumber(quota)) {
    KJ_IF_MAYBE(p, parseNumber(period)) {
      if (*q > 0 && *p > 0) return static_cast<double>(*q) / static_cast<double>(*p);
    }
  }
  return nullptr;
}

kj::Maybe<double> probeQuota(const Files& files, Facts& facts) {
  kj::Maybe<double> quota;
  KJ_IF_MAYBE(group, findCgroup(files, "cpu")) {
    facts.known("cgroup.version", kj::str(group->version));
    forEachLevel(files, *group, [&](kj::StringPtr directory) {
      KJ_IF_MAYBE(here, quotaAt(files, group->version, directory)) quota = kj::min(quota.orDefault(*here), *here);
    });
    KJ_IF_MAYBE(q, quota) {
      facts.known("cpu.quota_cores", kj::str(*q));
    } else {
      facts.absent("cpu.quota_cores", kj::str("no control group on the way to the root sets one"));
    }
  } else {
    facts.absent("cgroup.version", kj::str("no cpu controller is mounted below /sys/fs/cgroup"));
    facts.absent("cpu.quota_cores", kj::str("there are no control groups"));
  }
  return quota;
}

void probeModel(const Files& files, Facts& facts) {
  KJ_IF_MAYBE(text, files.read("/proc/cpuinfo")) {
    KJ_IF_MAYBE(model, valueOf(*text, "model name")) {
      facts.known("cpu.model", kj::mv(*model));
    } else {
      facts.unknown("cpu.model", kj::str("/proc/cpuinfo names none on this architecture"));
    }
  } else {
    facts.unknown("cpu.model", kj::str("/proc/cpuinfo cannot be read"));
  }
}

}  // namespace

kj::Maybe<uint> affinityCores() {
  // The kernel's mask may be longer than cpu_set_t's 1024; it says EINVAL until the set is large enough.
  for (uint bits = 1024; bits <= 65'536; bits *= 2) {
    cpu_set_t* set = CPU_ALLOC(bits);
    KJ_DEFER(CPU_FREE(set));
    if (sched_getaffinity(0, CPU_ALLOC_SIZE(bits), set) == 0)
      return static_cast<uint>(CPU_COUNT_S(CPU_ALLOC_SIZE(bits), set));
  }
  return nullptr;
}

uint probeCores(const Sources& sources, Facts& facts) {
  probeModel(sources.files, facts);
  uint cores = 0;
  KJ_IF_MAYBE(count, sources.affinity) {
    cores = *count;
    facts.known("cpu.affinity_cores", kj::str(*count));
  } else {
    facts.unknown("cpu.affinity_cores", kj::str("sched_getaffinity failed"));
  }
  KJ_IF_MAYBE(quota, probeQuota(sources.files, facts)) {
    // Up: with half a core left idle at most, all of the quota can be used.
    uint allowed = static_cast<uint>(kj::max(1.0, kj::min(std::ceil(*quota), 65'536.0)));
    cores = cores == 0 ? allowed : kj::min(cores, allowed);
  }
  return cores;
}

}  // namespace epochly::probe

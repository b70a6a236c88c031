// This process's control groups, version 1 or 2.
#pragma once

#include <kj/function.h>

#include "probe/files.h"
#include "wire/ids.h"

namespace epochly::probe {

struct Cgroup {
  uint version;              // 1 or 2
  kj::String mount;          // "/sys/fs/cgroup", "/sys/fs/cgroup/cpu,cpuacct"
  kj::String path;           // of this process below it: "/", "/system.slice/x.service"
};

// The group that limits `controller` ("cpu", "memory"). None: this system has none for it.
kj::Maybe<Cgroup> findCgroup(const Files& files, kj::StringPtr controller);

// Calls `look` with the directory of the group and of each of its ancestors, as far as they are visible here: a limit anywhere
// on the way holds. In a container the path is often that of the host, and only the mount's root is there.
void forEachLevel(const Files& files, const Cgroup& group, kj::FunctionParam<void(kj::StringPtr directory)> look);

}  // namespace epochly::probe

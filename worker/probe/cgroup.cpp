#include "probe/cgroup.h"

#include <algorithm>

namespace epochly::probe {

namespace {

constexpr kj::StringPtr ROOT = "/sys/fs/cgroup"_kj;

bool namesController(kj::ArrayPtr<const char> list, kj::StringPtr controller) {
  while (true) {
    auto end = std::find(list.begin(), list.end(), ',');
    if (kj::heapString(list.begin(), end - list.begin()) == controller) return true;
    if (end == list.end()) return false;
    list = kj::arrayPtr(end + 1, list.end());
  }
}

// The path on the line "ID:CONTROLLERS:PATH" of /proc/self/cgroup; "0::PATH" for version 2.
kj::Maybe<kj::String> pathOf(kj::StringPtr cgroups, kj::StringPtr controller) {
  for (auto& line : splitLines(cgroups)) {
    auto first = std::find(line.begin(), line.end(), ':');
    auto second = first == line.end() ? first : std::find(first + 1, line.end(), ':');
    if (second == line.end()) continue;
    auto names = kj::arrayPtr(first + 1, second);
    bool matches = controller.size() == 0 ? names.size() == 0 : namesController(names, controller);
    if (matches) return kj::heapString(second + 1, line.end() - second - 1);
  }
  return nullptr;
}

// Version 1 mounts controllers in directories named after them, several together: "cpu,cpuacct".
kj::Maybe<kj::String> mountOf(const Files& files, kj::StringPtr controller) {
  for (auto& name : files.list(ROOT)) {
    if (namesController(name.asArray(), controller)) return kj::str(ROOT, '/', name);
  }
  return nullptr;
}

}  // namespace

kj::Maybe<Cgroup> findCgroup(const Files& files, kj::StringPtr controller) {
  auto cgroups = files.read("/proc/self/cgroup").orDefault(kj::String());
  KJ_IF_MAYBE(mount, mountOf(files, controller)) {  // in a hybrid system a controller is in one version only
    return Cgroup{1, kj::mv(*mount), pathOf(cgroups, controller).orDefault(kj::str("/"))};
  }
  if (!files.exists(kj::str(ROOT, "/cgroup.controllers"))) return nullptr;
  return Cgroup{2, kj::str(ROOT), pathOf(cgroups, "").orDefault(kj::str("/"))};
}

void forEachLevel(const Files& files, const Cgroup& group, kj::FunctionParam<void(kj::StringPtr)> look) {
  auto path = kj::str(group.path);
  while (path.size() > 1) {
    auto directory = kj::str(group.mount, path);
    if (files.exists(directory)) look(directory);
    KJ_IF_MAYBE(slash, path.findLast('/')) {
      path = kj::str(path.slice(0, *slash));
    } else {
      break;
    }
  }
  look(group.mount);
}

}  // namespace epochly::probe

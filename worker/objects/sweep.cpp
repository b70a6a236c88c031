#include "objects/sweep.h"

#include <cerrno>
#include <csignal>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kj/debug.h>

#include "objects/name.h"

namespace epochly::objects {

namespace {

kj::Date modified(const struct stat& info) {
  return kj::UNIX_EPOCH + info.st_mtim.tv_sec * kj::SECONDS + info.st_mtim.tv_nsec * kj::NANOSECONDS;
}

bool isForgotten(SweepScope& scope, pid_t creator, kj::Duration age) {
  if (!scope.isAlive(creator)) return age > ORPHAN_GRACE;
  return scope.isExecutor(creator) && age > RESULT_GRACE;
}

// Unlinks this user's objects that `isDue` picks by their name and file.
Swept removeWhere(kj::StringPtr path, kj::Function<bool(const Name&, const struct stat&)> isDue) {
  Swept swept;
  DIR* directory = opendir(path.cStr());
  if (directory == nullptr) return swept;  // no /dev/shm: nothing can be there
  KJ_DEFER(closedir(directory));
  while (dirent* entry = readdir(directory)) {
    KJ_IF_MAYBE(name, parseName(kj::str("/", entry->d_name))) {
      struct stat info;
      if (name->uid != geteuid() || fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (info.st_uid != geteuid() || !S_ISREG(info.st_mode) || !isDue(*name, info)) continue;
      if (unlinkat(dirfd(directory), entry->d_name, 0) != 0) continue;  // its owner was faster
      swept.objects++;
      swept.bytes += static_cast<uint64_t>(info.st_size);
    }
  }
  return swept;
}

}  // namespace

Swept sweep(SweepScope& scope, kj::Date now) {
  return removeWhere(scope.directory, [&](const Name& name, const struct stat& info) {
    return isForgotten(scope, name.creator, now - modified(info));
  });
}

Swept removeOf(kj::Function<bool(pid_t)> isCreator, kj::StringPtr directory) {
  return removeWhere(directory, [&](const Name& name, const struct stat&) { return isCreator(name.creator); });
}

bool processAlive(pid_t pid) { return kill(pid, 0) == 0 || errno != ESRCH; }

}  // namespace epochly::objects

#include "run/scratch.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kj/debug.h>

#include "wire/errors.h"

namespace epochly::run {

namespace {

[[noreturn]] void fail(kj::StringPtr temporaryDirectory) {
  kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT,
                                    kj::str("cannot make a scratch directory in ", temporaryDirectory, " (TMPDIR): ", strerror(errno))));
}

std::string prefix() { return "epochly-worker-" + std::to_string(geteuid()) + "-"; }

void removeTree(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be removed stays in the temporary directory
  std::filesystem::remove_all(path, ignored);
}

bool isOurs(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && info.st_uid == geteuid();
}

void removeAbandoned(kj::StringPtr temporaryDirectory) {
  std::error_code error;
  for (auto& entry : std::filesystem::directory_iterator(temporaryDirectory.cStr(), error)) {
    if (entry.path().filename().string().rfind(prefix(), 0) != 0) continue;
    int opened = open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0) continue;
    kj::AutoCloseFd fd(opened);
    if (isOurs(fd) && flock(fd, LOCK_EX | LOCK_NB) == 0) removeTree(entry.path());
  }
}

}  // namespace

Scratch Scratch::create(kj::StringPtr temporaryDirectory) {
  removeAbandoned(temporaryDirectory);
  auto path = kj::str(temporaryDirectory, '/', prefix().c_str(), "XXXXXX");
  // A worker that starts at the same moment may take it for abandoned before it is locked; then it is made again.
  for (uint i = 0; i < 3; i++) {
    auto candidate = kj::str(path);
    if (!mkdtemp(candidate.begin())) fail(temporaryDirectory);
    int opened = open(candidate.cStr(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) continue;
    kj::AutoCloseFd fd(opened);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || access(candidate.cStr(), F_OK) != 0) continue;
    KJ_SYSCALL(chmod(candidate.cStr(), 0711));  // executors may run as another user; their own directories inside are 0700
    return Scratch(kj::mv(candidate), kj::mv(fd));
  }
  fail(temporaryDirectory);
}

Scratch::~Scratch() noexcept {
  if (path_.size() > 0) removeTree(path_.cStr());
}

}  // namespace epochly::run

#include "run/fd.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kj/debug.h>

namespace epochly::run {

kj::AutoCloseFd newEventFd() {
  int fd;
  KJ_SYSCALL(fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  return kj::AutoCloseFd(fd);
}

void signalFd(int eventFd) {
  uint64_t one = 1;
  // EAGAIN: the counter is at its maximum, so the sleeper has been told already.
  while (write(eventFd, &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

void clearFd(int eventFd) {
  uint64_t count;
  while (read(eventFd, &count, sizeof(count)) < 0 && errno == EINTR) {
  }
}

kj::AutoCloseFd newMemoryFile(const char* name, size_t size) {
  int fd;
  KJ_SYSCALL(fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  kj::AutoCloseFd file(fd);
  KJ_SYSCALL(ftruncate(fd, size));
  return file;
}

void setCloseOnExec(int fd, bool on) { KJ_SYSCALL(fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0)); }

}  // namespace epochly::run

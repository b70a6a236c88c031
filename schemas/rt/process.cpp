#include "rt/process.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <sys/syscall.h>
#include <unistd.h>

#include <kj/debug.h>

namespace epochly::rt {

void captureStopSignals() {
  kj::UnixEventPort::captureSignal(SIGTERM);
  kj::UnixEventPort::captureSignal(SIGINT);
}

kj::Promise<void> onStopSignal(kj::UnixEventPort& port) {
  return port.onSignal(SIGTERM).exclusiveJoin(port.onSignal(SIGINT)).ignoreResult();
}

kj::Promise<void> onGone(kj::UnixEventPort& port, pid_t pid) {
  int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0 && errno == ESRCH) return kj::READY_NOW;
  KJ_REQUIRE(fd >= 0, "pidfd_open", strerror(errno));
  auto pidfd = kj::heap<kj::AutoCloseFd>(fd);
  auto observer = kj::heap<kj::UnixEventPort::FdObserver>(port, *pidfd, kj::UnixEventPort::FdObserver::OBSERVE_READ);
  auto gone = observer->whenBecomesReadable();
  return gone.attach(kj::mv(observer)).attach(kj::mv(pidfd));  // let go in this order
}

kj::String quoted(kj::StringPtr text) {
  kj::Vector<char> result;
  result.add('"');
  for (char c : text) {
    if (c == '"' || c == '\\') result.add('\\');
    if (static_cast<unsigned char>(c) >= ' ') {
      result.add(c);
    } else {
      char escape[8];
      snprintf(escape, sizeof(escape), "\\u%04x", c);
      result.addAll(kj::StringPtr(escape));
    }
  }
  result.add('"');
  return kj::str(result.asPtr());
}

void announce(kj::StringPtr event, kj::StringPtr fields) {
  auto line = kj::str("{\"event\":", quoted(event), ",", fields, "}\n");
  fwrite(line.begin(), 1, line.size(), stdout);
  fflush(stdout);
}

}  // namespace epochly::rt

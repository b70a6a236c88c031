#include "rpc/unix_socket.h"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/errors.h"

namespace epochly::rpc {

namespace {

// Connections that wait for accept(): a thousand clients that start at once. The kernel cuts it to net.core.somaxconn.
constexpr int BACKLOG = 1024;

[[noreturn]] void refuse(kj::StringPtr path, kj::StringPtr why) {
  kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, kj::str("cannot listen on unix:", path, ": ", why)));
}

sockaddr_un addressOf(kj::StringPtr path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) refuse(path, "the path is longer than a socket's may be (107 bytes)");
  memcpy(address.sun_path, path.cStr(), path.size() + 1);
  return address;
}

kj::AutoCloseFd newSocket(kj::StringPtr path) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) refuse(path, strerror(errno));
  return kj::AutoCloseFd(fd);
}

bool someoneListens(kj::StringPtr path, const sockaddr_un& address) {
  auto probe = newSocket(path);
  if (connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return true;
  return errno != ECONNREFUSED && errno != ENOENT;  // EAGAIN: its backlog is full; EACCES: not ours to judge
}

void removeStale(kj::StringPtr path, const sockaddr_un& address) {
  struct stat facts;
  if (lstat(path.cStr(), &facts) != 0) return;
  if (!S_ISSOCK(facts.st_mode)) refuse(path, "it exists and is not a socket");
  if (someoneListens(path, address)) refuse(path, "another process listens there");
  unlink(path.cStr());
}

}  // namespace

UnixSocket UnixSocket::listen(kj::StringPtr path) {
  auto address = addressOf(path);
  removeStale(path, address);
  auto fd = newSocket(path);
  // From the first moment on: between bind and a chmod others could connect. Called before there are other threads.
  mode_t before = umask(0177);
  int bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  int error = errno;
  umask(before);
  if (bound != 0) refuse(path, strerror(error));
  UnixSocket result(kj::mv(fd), kj::str(path));
  if (::listen(result.fd, BACKLOG) != 0) refuse(path, strerror(errno));
  return result;
}

UnixSocket::UnixSocket(kj::AutoCloseFd fd, kj::String path) : fd(kj::mv(fd)), path(kj::mv(path)) {
  struct stat facts = {};
  lstat(this->path.cStr(), &facts);
  device = facts.st_dev;
  inode = facts.st_ino;
}

UnixSocket::~UnixSocket() {
  struct stat facts;
  if (path.size() == 0 || lstat(path.cStr(), &facts) != 0) return;
  if (facts.st_dev == device && facts.st_ino == inode) unlink(path.cStr());
}

}  // namespace epochly::rpc

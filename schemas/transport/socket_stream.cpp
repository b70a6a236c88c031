#include "transport/socket_stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <kj/debug.h>

namespace epochly::transport {

using kj::byte;

namespace {

// Pieces that one system call takes. Messages have a few; the kernel takes 1024.
constexpr size_t PIECES_MAX = 64;

kj::AutoCloseFd duplicate(int fd) {
  int copy;
  KJ_SYSCALL(copy = fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return kj::AutoCloseFd(copy);
}

}  // namespace

SocketStream::SocketStream(kj::UnixEventPort& port, kj::AutoCloseFd fdParam)
    : port(port), fd(kj::mv(fdParam)), readable(port, fd, kj::UnixEventPort::FdObserver::OBSERVE_READ) {}

kj::Own<kj::AsyncIoStream> SocketStream::takeOver(kj::UnixEventPort& port, kj::Own<kj::AsyncIoStream> stream) {
  KJ_IF_MAYBE(fd, stream->getFd()) {
    auto own = duplicate(*fd);
    stream = nullptr;
    return kj::heap<SocketStream>(port, kj::mv(own));
  }
  return stream;
}

// ---- reading -------------------------------------------------------------------------------------------------------

kj::Promise<size_t> SocketStream::tryRead(void* buffer, size_t minBytes, size_t maxBytes) {
  auto to = static_cast<byte*>(buffer);
  KJ_IF_MAYBE(waiting, drained) {
    auto more = kj::mv(*waiting);
    drained = nullptr;
    return more.then([this, to, minBytes, maxBytes]() { return readOn(to, minBytes, maxBytes, 0); });
  }
  return readOn(to, minBytes, maxBytes, 0);
}

// `done` bytes of the buffer's beginning have been read.
kj::Promise<size_t> SocketStream::readOn(byte* buffer, size_t minBytes, size_t maxBytes, size_t done) {
  ssize_t count;
  KJ_NONBLOCKING_SYSCALL(count = ::read(fd, buffer + done, maxBytes - done));
  if (count == 0) return done;  // the end
  if (count > 0) done += count;
  if (done == maxBytes) return done;
  // The end, once it has been told of, is not told of again: it must be read.
  if (count > 0 && isEndNear())
    return done >= minBytes ? kj::Promise<size_t>(done) : readOn(buffer, minBytes, maxBytes, done);
  auto more = readable.whenBecomesReadable();
  if (count > 0 && done >= minBytes) {
    drained = kj::mv(more);
    return done;
  }
  return more.then([this, buffer, minBytes, maxBytes, done]() { return readOn(buffer, minBytes, maxBytes, done); });
}

bool SocketStream::isEndNear() {
  KJ_IF_MAYBE(atEnd, readable.atEndHint()) return *atEnd;
  return false;
}

// ---- writing -------------------------------------------------------------------------------------------------------

kj::Promise<void> SocketStream::write(const void* buffer, size_t size) {
  return writeOn(static_cast<const byte*>(buffer), size, nullptr);
}

kj::Promise<void> SocketStream::write(kj::ArrayPtr<const kj::ArrayPtr<const byte>> pieces) {
  return writeOn(nullptr, 0, pieces);
}

// What is left: `size` bytes at `rest`, then `more`.
kj::Promise<void> SocketStream::writeOn(const byte* rest, size_t size, kj::ArrayPtr<const kj::ArrayPtr<const byte>> more) {
  while (size > 0 || more.size() > 0) {
    iovec pieces[PIECES_MAX];
    msghdr message{};
    message.msg_iov = pieces;
    auto add = [&](const byte* data, size_t length) { pieces[message.msg_iovlen++] = {const_cast<byte*>(data), length}; };
    if (size > 0) add(rest, size);
    for (auto& piece : more) {
      if (message.msg_iovlen == PIECES_MAX) break;
      add(piece.begin(), piece.size());
    }
    ssize_t count;
    KJ_NONBLOCKING_SYSCALL(count = ::sendmsg(fd, &message, MSG_NOSIGNAL));
    if (count < 0) return whenWritable().then([this, rest, size, more]() { return writeOn(rest, size, more); });
    size_t sent = count;
    size_t ofRest = kj::min(sent, size);
    rest += ofRest;
    size -= ofRest;
    sent -= ofRest;
    while (size == 0 && more.size() > 0) {
      rest = more[0].begin();
      size = more[0].size();
      more = more.slice(1, more.size());
      ofRest = kj::min(sent, size);
      rest += ofRest;
      size -= ofRest;
      sent -= ofRest;
    }
  }
  return kj::READY_NOW;
}

// The socket under another number, since one number can be observed once.
kj::Promise<void> SocketStream::whenWritable() {
  auto own = duplicate(fd);
  auto observer = kj::heap<kj::UnixEventPort::FdObserver>(port, own, kj::UnixEventPort::FdObserver::OBSERVE_WRITE);
  auto writable = observer->whenBecomesWritable();
  return writable.attach(kj::mv(observer)).attach(kj::mv(own));
}

// ---- the rest ------------------------------------------------------------------------------------------------------

void SocketStream::shutdownWrite() { KJ_SYSCALL(::shutdown(fd, SHUT_WR)); }

void SocketStream::abortRead() { KJ_SYSCALL(::shutdown(fd, SHUT_RD)); }

void SocketStream::getsockopt(int level, int option, void* value, unsigned int* length) {
  socklen_t size = *length;
  KJ_SYSCALL(::getsockopt(fd, level, option, value, &size));
  *length = size;
}

void SocketStream::setsockopt(int level, int option, const void* value, unsigned int length) {
  KJ_SYSCALL(::setsockopt(fd, level, option, value, length));
}

void SocketStream::getsockname(struct sockaddr* address, unsigned int* length) {
  socklen_t size = *length;
  KJ_SYSCALL(::getsockname(fd, address, &size));
  *length = size;
}

void SocketStream::getpeername(struct sockaddr* address, unsigned int* length) {
  socklen_t size = *length;
  KJ_SYSCALL(::getpeername(fd, address, &size));
  *length = size;
}

}  // namespace epochly::transport

// A connected socket that wakes its process for what it has to read, and for nothing else.
#pragma once

#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <kj/io.h>

namespace epochly::transport {

// Differs from kj's own in what it asks the kernel to be told. That one asks for room to write as well, once and for all, and a unix
// socket has room anew each time the other side reads: every message sent wakes its sender again. This one asks for it while a
// write waits for it. And a read that took all there was is followed by waiting, not by a call that finds nothing.
// Lives on the loop of its port.
class SocketStream final : public kj::AsyncIoStream {
 public:
  // `fd`: a connected, non-blocking stream socket.
  SocketStream(kj::UnixEventPort& port, kj::AutoCloseFd fd);
  KJ_DISALLOW_COPY(SocketStream);

  // The same connection as `stream`, which ends. A stream that is no socket of the system is given back.
  static kj::Own<kj::AsyncIoStream> takeOver(kj::UnixEventPort& port, kj::Own<kj::AsyncIoStream> stream);

  kj::Promise<size_t> tryRead(void* buffer, size_t minBytes, size_t maxBytes) override;
  kj::Promise<void> write(const void* buffer, size_t size) override;
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override;
  kj::Promise<void> whenWriteDisconnected() override { return readable.whenWriteDisconnected(); }
  void shutdownWrite() override;
  void abortRead() override;
  void getsockopt(int level, int option, void* value, unsigned int* length) override;
  void setsockopt(int level, int option, const void* value, unsigned int length) override;
  void getsockname(struct sockaddr* address, unsigned int* length) override;
  void getpeername(struct sockaddr* address, unsigned int* length) override;
  kj::Maybe<int> getFd() const override { return fd.get(); }

 private:
  kj::UnixEventPort& port;
  kj::AutoCloseFd fd;
  kj::UnixEventPort::FdObserver readable;
  // Since a read took all there was; events between that read and the next would be missed else.
  kj::Maybe<kj::Promise<void>> drained;

  kj::Promise<size_t> readOn(kj::byte* buffer, size_t minBytes, size_t maxBytes, size_t done);
  bool isEndNear();
  kj::Promise<void> writeOn(const kj::byte* rest, size_t size, kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> more);
  kj::Promise<void> whenWritable();
};

}  // namespace epochly::transport

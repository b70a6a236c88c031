// A listening unix socket that only its owner can reach.
#pragma once

#include <sys/types.h>

#include <kj/io.h>
#include <kj/string.h>

namespace epochly::rpc {

// Removes its file when it goes, if the file is still its own.
class UnixSocket {
 public:
  // Mode 0600. A socket file that nobody listens on any more is replaced; throws INVALID_ARGUMENT if somebody does, if the
  // path is another kind of file, or if it cannot be made.
  static UnixSocket listen(kj::StringPtr path);
  UnixSocket(UnixSocket&&) = default;
  UnixSocket& operator=(UnixSocket&&) = default;
  ~UnixSocket();

  kj::AutoCloseFd takeFd() { return kj::mv(fd); }

 private:
  kj::AutoCloseFd fd;
  kj::String path;
  dev_t device;
  ino_t inode;

  UnixSocket(kj::AutoCloseFd fd, kj::String path);
};

}  // namespace epochly::rpc

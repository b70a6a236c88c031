// The directory that holds every executor's scratch directory.
#pragma once

#include <kj/io.h>
#include <kj/string.h>

namespace epochly::run {

// $TMPDIR/epochly-worker-<uid>-XXXXXX, only its user's. Removed with all that is in it when this is destroyed.
class Scratch {
 public:
  // Also removes those of this user that workers left which were killed.
  static Scratch create(kj::StringPtr temporaryDirectory);
  ~Scratch() noexcept;
  Scratch(Scratch&&) = default;

  kj::StringPtr path() const { return path_; }

 private:
  kj::String path_;
  kj::AutoCloseFd lock;  // held while it is in use: so says a lock, which unlike a process id is good across containers

  Scratch(kj::String path, kj::AutoCloseFd lock) : path_(kj::mv(path)), lock(kj::mv(lock)) {}
};

}  // namespace epochly::run

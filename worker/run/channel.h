// The memory a daemon shares with one executor: two rings and the progress page, in one memory file.
#pragma once

#include <kj/io.h>

#include "run/progress.h"
#include "run/ring.h"

namespace epochly::run {

// The file's layout. Both ends are of one release (the daemon starts the executor), but a stale Python package is easily left
// on a machine: `magic` and `bytes` tell.
struct ChannelLayout {
  static constexpr uint64_t MAGIC = 0x31'76'6c'68'63'6f'70'65;  // "epochlv1"

  uint64_t magic;
  uint64_t bytes;              // sizeof(ChannelLayout)
  RingControl toExecutor;
  RingControl fromExecutor;
  Progress progress;
  alignas(4096) kj::byte toExecutorData[RING_BYTES];
  alignas(4096) kj::byte fromExecutorData[RING_BYTES];
};

// A mapping of it, shared with the other process. The executor's is not inherited by processes that user code forks.
class Channel {
 public:
  static Channel create();
  // Throws if the file is not a channel of this release.
  static Channel open(kj::AutoCloseFd file);
  Channel(Channel&&) = default;
  ~Channel() noexcept(false) = default;

  ChannelLayout& layout() const { return *reinterpret_cast<ChannelLayout*>(const_cast<kj::byte*>(memory.begin())); }
  int fd() const { return file; }

 private:
  kj::AutoCloseFd file;
  kj::Array<kj::byte> memory;   // unmaps itself

  Channel(kj::AutoCloseFd file, kj::Array<kj::byte> memory) : file(kj::mv(file)), memory(kj::mv(memory)) {}
};

// The descriptors an executor inherits, as its --fds argument writes them: six numbers with commas between.
struct ExecutorFds {
  int channel;      // the memory file
  int daemonWake;   // eventfd: the executor tells the daemon of frames and of room
  int dataWake;     // eventfd: the daemon tells the executor of frames
  int roomWake;     // eventfd: the daemon tells the executor of room
  int lifeLine;     // a socket whose other end only the daemon has: it hangs up when the daemon is gone
  int stderrLater;  // the daemon's standard error, which replaces the executor's once it is ready (until then a file)

  kj::String toString() const;
  static kj::Maybe<ExecutorFds> parse(kj::StringPtr text);
};

}  // namespace epochly::run

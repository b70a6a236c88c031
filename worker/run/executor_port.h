// The executor's end of its channel to the daemon, used inside the user's Python process.
#pragma once

#include <mutex>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/io.h>

#include "run/channel.h"
#include "worker.capnp.h"

namespace epochly::run {

// A frame from the daemon. Owns the memory its readers point into. Cap'n Proto readers of one message must not be used by several
// threads at once: an I/O executor copies what a thread needs before it hands it over.
class Frame {
 public:
  Frame(kj::Array<capnp::word> words, uint32_t first);
  KJ_DISALLOW_COPY(Frame);

  schema::ToExecutor::Reader message() { return reader.getRoot<schema::ToExecutor>(); }
  // Index of the frame's first assignment, for begin() and end(); the next has first + 1, and so on, wrapping.
  const uint32_t first;

 private:
  kj::Array<capnp::word> words;
  capnp::FlatArrayMessageReader reader;
};

enum class Wake : uint8_t {
  NOW,  // the daemon may be waiting for this
  // Another attempt is in hand: the daemon may be told with its result, or by its own looking (a millisecond).
  LATER,
};

// How many attempts the executor runs at once: decides how their progress is kept.
enum class Mode : uint8_t {
  CPU,  // one at a time, in the order they came
  IO,   // many, on threads
};
kj::StringPtr modeName(Mode mode);  // "cpu", "io": the executor's --mode argument
kj::Maybe<Mode> parseMode(kj::StringPtr text);

// An executor's duties, in this order:
//   1. sendReady();
//   2. for each assignment of each frame: begin(index) *before* anything of it is unpickled, so that a crash there is charged to
//      it; if that is false, skip it without a result; else run it, send() exactly one result for it, then end(index). A result
//      is sent before the next attempt begins on the same thread: only what is in the ring survives a crash;
//   3. on `stop`: finish what has begun, answer it, exit 0. On HANGUP: exit at once.
//
// receive() and poll() belong to one thread; begin(), end() and send() may be used by any thread. receive() and send() can
// block: release the GIL around them. After fork() the child must not use it: every call throws there.
class ExecutorPort {
 public:
  // `fds`: the value of --fds. Throws if it does not name a channel of this release.
  ExecutorPort(kj::StringPtr fds, Mode mode);
  KJ_DISALLOW_COPY(ExecutorPort);

  // Tells the daemon that work may come, and gives standard error back to the user (until now it went to a file that the
  // daemon reads if the executor dies young).
  void sendReady(PythonVersion python, kj::StringPtr software);

  enum class Got : uint8_t {
    FRAME,
    NOTHING,  // poll(): nothing there. receive(): a signal interrupted it (let Python handle it) or the time is up
    HANGUP,   // the daemon is gone
  };
  struct Received {
    Got got;
    kj::Own<Frame> frame;  // null unless FRAME
  };
  // Waits for a frame, at most timeoutMs if that is not negative.
  Received receive(int timeoutMs = -1);
  Received poll();

  // See Progress. CPU: false if the attempt was taken back.
  bool begin(uint32_t index);
  void end(uint32_t index);

  // Puts a FromExecutor message into the ring, waiting for room if it must; from then on it survives this process. False: the
  // daemon is gone. Throws PAYLOAD_TOO_LARGE, before anything is sent, if the message is larger than FRAME_BYTES_MAX.
  bool send(capnp::MessageBuilder& message, Wake wake = Wake::NOW);

 private:
  class RingStream;

  const ExecutorFds fds;
  const Mode mode;
  kj::AutoCloseFd owned[5];  // the descriptors of `fds` but for the channel's, which `channel` owns
  Channel channel;
  RingReader reader;  // the receiving thread's
  uint32_t assignmentsSeen = 0;

  std::mutex sending;  // guards what follows
  RingWriter writer;
  uint64_t wokenAtNs = 0;  // when the daemon was last told

  kj::Maybe<kj::Own<Frame>> take();
  void wakeDaemon(Wake wake);
};

}  // namespace epochly::run

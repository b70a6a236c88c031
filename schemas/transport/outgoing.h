// The writing side of a FramedStream: messages that nobody waits for travel with the next that somebody does.
#pragma once

#include <capnp/common.h>
#include <kj/async-io.h>
#include <kj/timer.h>
#include <kj/vector.h>

#include "wire/ids.h"

namespace epochly::transport {

// How long a message that nobody waits for may stay behind. Between two tasks that follow each other there is less; a peer
// that is told a millisecond late that its memory is free loses nothing.
constexpr kj::Duration BEHIND_MAX = 1 * kj::MILLISECONDS;
// More than this many bytes of them are sent at once: as many as fit the smallest of socket buffers.
constexpr size_t BEHIND_BYTES_MAX = 4096;

// Whether the other side goes on without this message: Finish and Release free memory, and a Return without content, the answer
// to a batch that was taken, opens a window of several batches. Each wakes a process when it is sent alone, which costs more CPU
// time than all else that is done for a task.
bool isUnawaited(kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments);

// Keeps the order of messages. A message is written after the write before it has ended, as capnp::TwoPartyVatNetwork does. What is
// held when the connection ends goes as far as the socket takes it at once. Lives on the loop of its stream, which outlives it.
class Outgoing final {
 public:
  using Segments = kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>;

  Outgoing(kj::AsyncOutputStream& stream, kj::Timer& timer) : stream(stream), timer(timer) {}
  ~Outgoing() noexcept;
  KJ_DISALLOW_COPY(Outgoing);

  // `segments` must live until the promise is fulfilled.
  kj::Promise<void> write(Segments segments);
  // Sends what is held.
  kj::Promise<void> flush() { return afterOwnFlush(nullptr); }

 private:
  kj::AsyncOutputStream& stream;
  kj::Timer& timer;
  kj::Vector<byte> held;
  bool isTimed = false;
  kj::Promise<void> timeout = nullptr;         // while isTimed
  kj::ForkedPromise<void> ownFlush = nullptr;  // begun by the timeout, not by a caller; while isFlushing
  bool isFlushing = false;

  bool holds(Segments segments);
  void onTime();
  kj::Promise<void> afterOwnFlush(Segments segments);
  kj::Promise<void> put(Segments segments);
};

}  // namespace epochly::transport

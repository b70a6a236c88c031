// Cap'n Proto messages on a byte stream: bounds on what arrives, few system calls, few wake-ups of the other side.
#pragma once

#include <capnp/rpc.capnp.h>
#include <capnp/serialize-async.h>
#include <kj/async-io.h>

#include "transport/outgoing.h"

namespace epochly::transport {

// A segment per allocation of the builder, each twice as large as the one before: honest messages have a dozen. A table of this
// many fits the buffer that a stream has anyway.
constexpr uint SEGMENTS_MAX = 512;

// What a stream asks and tells whoever owns it. Called on the stream's loop.
class StreamOwner {
 public:
  // The size above which the next message is refused, before any memory is taken for it; and why it is no larger, or "".
  struct Bound {
    size_t bytes;
    kj::StringPtr reason;
  };
  virtual Bound messageBound() = 0;
  virtual void onMalformed(kj::StringPtr why) = 0;
  // The RPC system gave the connection up for what the other side sent. It tells that side why, and nobody else.
  virtual void onAbort(kj::StringPtr why) = 0;
};

// The owner of a connection to a scheduler of our choice: a bound, and nothing to note.
class TrustingOwner final : public StreamOwner {
 public:
  Bound messageBound() override;
  void onMalformed(kj::StringPtr) override {}
  void onAbort(kj::StringPtr) override {}
};

// Differs from capnp::AsyncIoMessageStream: each message's size is checked against a bound that its owner names; small messages
// that arrive together are read with one system call; and what no one waits for is sent with what someone does. Lives on one kj
// loop, within its connection.
class FramedStream final : public capnp::MessageStream {
 public:
  FramedStream(kj::AsyncIoStream& stream, kj::Timer& timer, StreamOwner& owner);
  KJ_DISALLOW_COPY(FramedStream);

  kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>> tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd> fdSpace,
                                                                    capnp::ReaderOptions options,
                                                                    kj::ArrayPtr<capnp::word> scratchSpace) override;
  kj::Promise<void> writeMessage(kj::ArrayPtr<const int> fds,
                                 kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) override;
  kj::Promise<void> writeMessages(kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) override;
  kj::Maybe<int> getSendBufferSize() override;
  kj::Promise<void> end() override;

 private:
  using Message = kj::Maybe<capnp::MessageReaderAndFds>;

  kj::AsyncIoStream& stream;
  StreamOwner& owner;
  Outgoing outgoing;
  kj::Array<byte> buffer;  // read and not yet consumed: [begin, end)
  size_t begin = 0;
  size_t end_ = 0;

  kj::Promise<Message> readTable(capnp::ReaderOptions options);
  kj::Promise<Message> readSegments(capnp::ReaderOptions options);
  // False: the stream ended before the first byte. Throws if it ended within what was wanted.
  kj::Promise<bool> ensure(size_t bytes);
  size_t available() const { return end_ - begin; }
  uint32_t numberAt(size_t index) const;  // the table's little-endian words of 32 bits, after ensure()
  [[noreturn]] void malformed(kj::StringPtr why);
};

}  // namespace epochly::transport

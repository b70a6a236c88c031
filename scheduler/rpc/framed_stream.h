// Cap'n Proto messages on a byte stream, with bounds that depend on who the peer has shown itself to be.
#pragma once

#include <capnp/rpc.capnp.h>
#include <capnp/serialize-async.h>
#include <kj/async-io.h>

#include "rpc/peer.h"

namespace epochly::rpc {

// Differs from capnp::AsyncIoMessageStream in three ways: a message's size is checked against HANDSHAKE_BYTES_MAX until the
// peer is greeted, before any memory is taken for it; small messages that arrive together are read with one system call; and
// why the RPC system gave a connection up is noted for the log. Lives on the scheduler's kj loop, within its connection.
class FramedStream final : public capnp::MessageStream {
 public:
  FramedStream(kj::AsyncIoStream& stream, Peer& peer);
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
  Peer& peer;
  kj::Array<byte> buffer;  // read and not yet consumed: [begin, end)
  size_t begin = 0;
  size_t end_ = 0;

  kj::Promise<Message> readTable(capnp::ReaderOptions options);
  kj::Promise<Message> readSegments(capnp::ReaderOptions options);
  // False: the stream ended before the first byte. Throws if it ended within what was wanted.
  kj::Promise<bool> ensure(size_t bytes);
  size_t available() const { return end_ - begin; }
  uint32_t numberAt(size_t index) const;  // the table's little-endian words of 32 bits, after ensure()
  void noteAbort(capnp::rpc::Exception::Reader abort);
  [[noreturn]] void malformed(kj::StringPtr why);
};

}  // namespace epochly::rpc

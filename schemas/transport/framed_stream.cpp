#include "transport/framed_stream.h"

#include <cstring>

#include <sys/socket.h>

#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::transport {

using capnp::word;

namespace {

// What is read at once when nothing is known of the next message. Several small ones fit; an idle connection costs only the
// pages it has touched.
constexpr size_t READ_BYTES = 16u << 10;

// The table: the number of segments less one, the size of each in words, padded to whole words.
constexpr size_t tableBytes(uint segmentCount) { return (segmentCount / 2 + 1) * sizeof(word); }
static_assert(tableBytes(SEGMENTS_MAX) <= READ_BYTES);

class OwnedMessage final : public capnp::MessageReader {
 public:
  OwnedMessage(capnp::ReaderOptions options, kj::Array<word> words, kj::Array<kj::ArrayPtr<const word>> segments)
      : MessageReader(options), words(kj::mv(words)), segments(kj::mv(segments)) {}
  ~OwnedMessage() noexcept(false) {}

  kj::ArrayPtr<const word> getSegment(uint id) override {
    return id < segments.size() ? segments[id] : kj::ArrayPtr<const word>();
  }

 private:
  kj::Array<word> words;
  kj::Array<kj::ArrayPtr<const word>> segments;
};

}  // namespace

StreamOwner::Bound TrustingOwner::messageBound() { return {MESSAGE_BYTES_MAX, ""}; }

FramedStream::FramedStream(kj::AsyncIoStream& stream, kj::Timer& timer, StreamOwner& owner)
    : stream(stream), owner(owner), outgoing(stream, timer), buffer(kj::heapArray<byte>(READ_BYTES)) {}

// ---- reading -------------------------------------------------------------------------------------------------------

kj::Promise<FramedStream::Message> FramedStream::tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd> fdSpace,
                                                                capnp::ReaderOptions options,
                                                                kj::ArrayPtr<word> scratchSpace) {
  return ensure(sizeof(word)).then([this, options](bool isThere) -> kj::Promise<Message> {
    if (!isThere) return Message(nullptr);
    return readTable(options);
  });
}

kj::Promise<FramedStream::Message> FramedStream::readTable(capnp::ReaderOptions options) {
  uint32_t countLessOne = numberAt(0);
  if (countLessOne >= SEGMENTS_MAX) malformed(kj::str("a message of ", countLessOne, " + 1 segments, over ", SEGMENTS_MAX));
  return ensure(tableBytes(countLessOne + 1)).then([this, options](bool) { return readSegments(options); });
}

kj::Promise<FramedStream::Message> FramedStream::readSegments(capnp::ReaderOptions options) {
  uint count = numberAt(0) + 1;
  uint64_t total = 0;
  for (uint i = 0; i < count; i++) total += numberAt(1 + i);
  auto bound = owner.messageBound();
  if (total > bound.bytes / sizeof(word)) {
    malformed(kj::str("a message of ", total * sizeof(word), " bytes, over the limit of ", bound.bytes, bound.reason));
  }
  auto words = kj::heapArray<word>(total);
  auto segments = kj::heapArray<kj::ArrayPtr<const word>>(count);
  size_t start = 0;
  for (uint i = 0; i < count; i++) {
    size_t size = numberAt(1 + i);
    segments[i] = words.slice(start, start + size);
    start += size;
  }
  begin += tableBytes(count);
  auto bytes = words.asBytes();
  size_t here = kj::min(available(), bytes.size());
  if (here > 0) memcpy(bytes.begin(), buffer.begin() + begin, here);
  begin += here;
  kj::Own<capnp::MessageReader> message = kj::heap<OwnedMessage>(options, kj::mv(words), kj::mv(segments));
  auto finish = [](kj::Own<capnp::MessageReader>&& done) -> Message {
    return capnp::MessageReaderAndFds{kj::mv(done), nullptr};
  };
  if (here == bytes.size()) return finish(kj::mv(message));
  return stream.read(bytes.begin() + here, bytes.size() - here).then([message = kj::mv(message), finish]() mutable {
    return finish(kj::mv(message));
  });
}

kj::Promise<bool> FramedStream::ensure(size_t bytes) {
  if (available() >= bytes) return true;
  if (begin > 0) {
    memmove(buffer.begin(), buffer.begin() + begin, available());
    end_ -= begin;
    begin = 0;
  }
  size_t wanted = bytes - end_;
  return stream.tryRead(buffer.begin() + end_, wanted, buffer.size() - end_).then([this, wanted](size_t count) {
    end_ += count;
    if (count >= wanted) return true;
    if (available() > 0) malformed("the stream ended within a message");
    return false;
  });
}

uint32_t FramedStream::numberAt(size_t index) const {
  auto at = buffer.begin() + begin + index * sizeof(uint32_t);
  return at[0] | uint32_t(at[1]) << 8 | uint32_t(at[2]) << 16 | uint32_t(at[3]) << 24;
}

void FramedStream::malformed(kj::StringPtr why) {
  owner.onMalformed(why);
  kj::throwFatalException(makeError(ErrorCode::MALFORMED_REQUEST, why));
}

// ---- writing -------------------------------------------------------------------------------------------------------

kj::Promise<void> FramedStream::writeMessage(kj::ArrayPtr<const int> fds,
                                             kj::ArrayPtr<const kj::ArrayPtr<const word>> segments) {
  capnp::SegmentArrayMessageReader reader(segments);
  auto message = reader.getRoot<capnp::rpc::Message>();
  if (message.isAbort() && message.getAbort().getType() != capnp::rpc::Exception::Type::DISCONNECTED) {
    owner.onAbort(message.getAbort().getReason());
  }
  return outgoing.write(segments);
}

kj::Promise<void> FramedStream::writeMessages(kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const word>>> messages) {
  if (messages.size() == 0) return kj::READY_NOW;
  return writeMessage(nullptr, messages[0]).then([this, messages]() mutable {
    return writeMessages(messages.slice(1, messages.size()));
  });
}

kj::Maybe<int> FramedStream::getSendBufferSize() {
  int size = 0;
  uint length = sizeof(size);
  stream.getsockopt(SOL_SOCKET, SO_SNDBUF, &size, &length);
  return size;
}

kj::Promise<void> FramedStream::end() {
  return outgoing.flush().then([this]() { stream.shutdownWrite(); });
}

}  // namespace epochly::transport

#include "transport/framed_stream.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::transport {
namespace {

using capnp::word;
using testing::HasSubstr;

class Owner final : public StreamOwner {
 public:
  size_t bytesMax = MESSAGE_BYTES_MAX;
  std::string malformed, aborted;

  Bound messageBound() override { return {bytesMax, " for now"}; }
  void onMalformed(kj::StringPtr why) override { malformed = why.cStr(); }
  void onAbort(kj::StringPtr why) override { aborted = why.cStr(); }
};

struct Env {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::TwoWayPipe pipe = io.provider->newTwoWayPipe();
  Owner owner;
  FramedStream framed{*pipe.ends[0], io.provider->getTimer(), owner};

  void send(kj::ArrayPtr<const byte> bytes) { pipe.ends[1]->write(bytes.begin(), bytes.size()).wait(io.waitScope); }
  void finish() { pipe.ends[1]->shutdownWrite(); }
  auto receive() { return framed.MessageStream::tryReadMessage().wait(io.waitScope); }
  // The text of the next message, "" at the end of the stream.
  std::string receiveText() {
    KJ_IF_MAYBE(message, receive()) {
      return (*message)->getRoot<capnp::AnyPointer>().getAs<capnp::Text>().cStr();
    }
    return "";
  }
  std::string refusal() {
    std::string why;
    KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { receive(); })) {
      why = messageOf(*error).cStr();
    }
    return why;
  }
};

kj::Array<byte> textMessage(kj::StringPtr text, uint firstSegmentWords = 1024) {
  capnp::MallocMessageBuilder message(firstSegmentWords, capnp::AllocationStrategy::FIXED_SIZE);
  message.initRoot<capnp::AnyPointer>().setAs<capnp::Text>(text);
  auto words = capnp::messageToFlatArray(message);
  return kj::heapArray<byte>(words.asBytes());
}

std::string longText(size_t size) {
  std::string text(size, 'a');
  for (size_t i = 0; i < size; i++) text[i] = static_cast<char>('a' + i % 26);
  return text;
}

TEST(FramedStream, ReadsWhatACapnpWriterWrote) {
  Env env;
  env.send(textMessage("hello"));
  EXPECT_EQ(env.receiveText(), "hello");
}

TEST(FramedStream, ReadsSeveralMessagesThatCameTogether) {
  Env env;
  auto one = textMessage("one"), two = textMessage("two");
  auto both = kj::heapArray<byte>(one.size() + two.size());
  memcpy(both.begin(), one.begin(), one.size());
  memcpy(both.begin() + one.size(), two.begin(), two.size());
  env.send(both);
  env.finish();
  EXPECT_EQ(env.receiveText(), "one");
  EXPECT_EQ(env.receiveText(), "two");
  EXPECT_EQ(env.receiveText(), "");
}

TEST(FramedStream, ReadsAMessageByteByByte) {
  Env env;
  auto bytes = textMessage("slow", 2);  // several segments
  std::string text;
  auto reading =
      env.framed.MessageStream::tryReadMessage()
          .then([&](auto message) {
            text = KJ_ASSERT_NONNULL(message)->template getRoot<capnp::AnyPointer>().template getAs<capnp::Text>().cStr();
          })
          .eagerlyEvaluate(nullptr);
  for (auto b : bytes) {
    EXPECT_EQ(text, "");
    env.send(kj::arrayPtr(&b, 1));
    env.io.waitScope.poll();
  }
  reading.wait(env.io.waitScope);
  EXPECT_EQ(text, "slow");
}

TEST(FramedStream, ReadsMessagesLargerThanItsBuffer) {
  Env env;
  auto text = longText(60'000);
  auto bytes = textMessage(text.c_str(), 10'000);
  auto writing = env.pipe.ends[1]->write(bytes.begin(), bytes.size());
  EXPECT_EQ(env.receiveText(), text);
  writing.wait(env.io.waitScope);
}

TEST(FramedStream, AMessageOverItsOwnersBoundIsRefusedBeforeItIsRead) {
  constexpr size_t BOUND = 64u << 10;
  auto atBound = textMessage(longText(BOUND - 9).c_str(), BOUND / 8);
  ASSERT_EQ(atBound.size(), BOUND + 8) << "its words, and the table";
  Env env;
  env.owner.bytesMax = BOUND;
  {
    auto writing = env.pipe.ends[1]->write(atBound.begin(), atBound.size());
    EXPECT_EQ(env.receiveText().size(), BOUND - 9);
    writing.wait(env.io.waitScope);
  }
  uint32_t words = BOUND / 8 + 1;
  byte table[8] = {0, 0, 0, 0, byte(words), byte(words >> 8), byte(words >> 16), byte(words >> 24)};
  env.send(table);
  EXPECT_THAT(env.refusal(), HasSubstr("over the limit of 65536 for now"));
  EXPECT_THAT(env.owner.malformed, HasSubstr("over the limit"));
}

// A table of `count` empty segments, but for the first, which holds a null root.
kj::Array<byte> manySegments(uint count) {
  auto bytes = kj::heapArray<byte>((count / 2 + 1) * sizeof(word) + sizeof(word));
  memset(bytes.begin(), 0, bytes.size());
  uint32_t lessOne = count - 1;
  for (uint i = 0; i < sizeof(lessOne); i++) bytes[i] = static_cast<byte>(lessOne >> 8 * i);
  bytes[sizeof(lessOne)] = 1;
  return bytes;
}

TEST(FramedStream, AMessageOfMoreSegmentsThanTheBoundIsRefusedBeforeItsTableIsRead) {
  {
    Env env;
    env.send(manySegments(SEGMENTS_MAX));
    EXPECT_FALSE(env.receive() == nullptr) << "the bound itself is fine";
  }
  Env env;
  env.send(manySegments(SEGMENTS_MAX + 1).slice(0, sizeof(word)));
  env.finish();
  EXPECT_THAT(env.refusal(), HasSubstr("512 + 1 segments, over 512"));
  EXPECT_THAT(env.owner.malformed, HasSubstr("segments"));
}

TEST(FramedStream, TheEndWithinAMessageIsMalformed) {
  auto bytes = textMessage("cut");
  for (size_t length : {size_t(1), size_t(7), size_t(8), bytes.size() - 1}) {
    Env env;
    env.send(bytes.slice(0, length));
    env.finish();
    EXPECT_NE(env.refusal(), "") << length;
  }
}

TEST(FramedStream, TheEndBetweenMessagesIsTheEnd) {
  Env env;
  env.finish();
  EXPECT_TRUE(env.receive() == nullptr);
  EXPECT_EQ(env.owner.malformed, "");
}

TEST(FramedStream, AnAbortThatWeSendIsToldToTheOwner) {
  Env env;
  capnp::MallocMessageBuilder message;
  auto abort = message.initRoot<capnp::rpc::Message>().initAbort();
  abort.setReason("it sent nonsense");
  env.framed.MessageStream::writeMessage(message).wait(env.io.waitScope);
  EXPECT_EQ(env.owner.aborted, "it sent nonsense");
}

TEST(FramedStream, AnAbortBecauseThePeerIsGoneIsNoFaultOfIts) {
  Env env;
  capnp::MallocMessageBuilder message;
  auto abort = message.initRoot<capnp::rpc::Message>().initAbort();
  abort.setType(capnp::rpc::Exception::Type::DISCONNECTED);
  env.framed.MessageStream::writeMessage(message).wait(env.io.waitScope);
  EXPECT_EQ(env.owner.aborted, "");
}

}  // namespace
}  // namespace epochly::transport

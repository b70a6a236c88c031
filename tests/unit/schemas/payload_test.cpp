#include "wire/payload.h"

#include <capnp/message.h>
#include <gtest/gtest.h>

namespace epochly {
namespace {

Payload sample() {
  Payload payload;
  payload.pickle = kj::heapArray<byte>({1, 2, 3});
  payload.buffers = kj::heapArray<Payload::Buffer>(2);
  payload.buffers[0].init<kj::Array<byte>>(kj::heapArray<byte>(100));
  payload.buffers[1].init<SharedBuffer>(SharedBuffer{HostId(7), kj::str("/epochly-0-0000000000000001"), 64, 1u << 20});
  return payload;
}

TEST(Payload, ReadsBackWhatItWrote) {
  capnp::MallocMessageBuilder message;
  auto builder = message.initRoot<schema::Payload>();
  sample().write(builder);
  auto read = Payload::read(builder.asReader());
  EXPECT_EQ(read.pickle.asPtr(), sample().pickle.asPtr());
  ASSERT_EQ(read.buffers.size(), 2u);
  EXPECT_EQ(read.buffers[0].get<kj::Array<byte>>().size(), 100u);
  auto& shared = read.buffers[1].get<SharedBuffer>();
  EXPECT_EQ(shared.host, HostId(7));
  EXPECT_STREQ(shared.name.cStr(), "/epochly-0-0000000000000001");
  EXPECT_EQ(shared.offset, 64u);
  EXPECT_EQ(shared.size, 1u << 20);
}

TEST(Payload, CountsInlineBytesAlikeBeforeAndAfterReading) {
  capnp::MallocMessageBuilder message;
  auto builder = message.initRoot<schema::Payload>();
  sample().write(builder);
  EXPECT_EQ(inlineBytes(builder.asReader()), sample().inlineBytes());
  EXPECT_EQ(sample().inlineBytes(), 3 + 100 + sizeof(SharedBuffer));  // the megabyte stays where it is
}

TEST(Payload, NamesTheHostItsSharedMemoryIsOn) {
  KJ_IF_MAYBE(host, sample().sharedHost()) {
    EXPECT_EQ(*host, HostId(7));
  } else {
    FAIL();
  }
  EXPECT_TRUE(Payload().sharedHost() == nullptr);
}

}  // namespace
}  // namespace epochly

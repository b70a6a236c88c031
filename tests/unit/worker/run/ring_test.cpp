#include "run/ring.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>

#include "run/fd.h"

namespace epochly::run {
namespace {

using capnp::word;

struct Ring {
  explicit Ring(size_t bytes) : data(kj::heapArray<kj::byte>(bytes)) {}

  RingControl control;
  kj::Array<kj::byte> data;
  kj::AutoCloseFd readerFd = newEventFd();
  kj::AutoCloseFd writerFd = newEventFd();
  RingWriter writer{control, data, readerFd};
  RingReader reader{control, data, writerFd};
};

void await(int fd) {
  pollfd polled{fd, POLLIN, 0};
  ASSERT_EQ(poll(&polled, 1, 30'000), 1) << "nobody signalled";
  clearFd(fd);
}

bool signalled(int fd) {
  pollfd polled{fd, POLLIN, 0};
  return poll(&polled, 1, 0) == 1;
}

// A frame of `words` words that can be told from every other: word i holds seed + i.
std::vector<kj::byte> frameOf(size_t words, uint64_t seed) {
  std::vector<kj::byte> bytes(4 + words * sizeof(word));
  uint32_t length = words * sizeof(word);
  memcpy(bytes.data(), &length, 4);
  for (size_t i = 0; i < words; i++) {
    uint64_t value = seed + i;
    memcpy(bytes.data() + 4 + i * sizeof(word), &value, sizeof(value));
  }
  return bytes;
}

void expectFrame(kj::ArrayPtr<const word> frame, size_t words, uint64_t seed) {
  ASSERT_EQ(frame.size(), words);
  auto values = reinterpret_cast<const uint64_t*>(frame.begin());
  for (size_t i = 0; i < words; i++) ASSERT_EQ(values[i], seed + i) << "word " << i << " of " << words;
}

kj::ArrayPtr<const kj::byte> ptr(const std::vector<kj::byte>& bytes) { return kj::arrayPtr(bytes.data(), bytes.size()); }

// As an executor or the daemon writes: all of it, waiting for room.
void writeAll(Ring& ring, const std::vector<kj::byte>& bytes) {
  auto rest = ptr(bytes);
  while (true) {
    rest = rest.slice(ring.writer.write(rest), rest.size());
    ring.writer.publish();
    ring.writer.wakeReader();
    if (rest.size() == 0) return;
    if (ring.writer.prepareToWait()) await(ring.writerFd);
  }
}

kj::Array<word> readOne(Ring& ring) {
  while (true) {
    KJ_IF_MAYBE(frame, ring.reader.next()) return kj::mv(*frame);
    if (ring.reader.prepareToSleep()) await(ring.readerFd);
  }
}

TEST(Ring, HasNothingBeforeAFrameIsPublishedWhole) {
  Ring ring(256);
  auto frame = frameOf(3, 7);
  EXPECT_TRUE(ring.reader.next() == nullptr);
  EXPECT_EQ(ring.writer.write(ptr(frame)), frame.size());
  EXPECT_TRUE(ring.reader.next() == nullptr) << "written but not published";
  ring.writer.publish();
  KJ_IF_MAYBE(words, ring.reader.next()) {
    expectFrame(*words, 3, 7);
  } else {
    FAIL() << "published";
  }
  EXPECT_TRUE(ring.reader.next() == nullptr);
}

TEST(Ring, KeepsFramesWholeAcrossEveryWrapPosition) {
  Ring ring(64);
  for (uint64_t i = 0; i < 500; i++) {
    size_t words = 1 + i % 7;  // 12 to 60 bytes: over time every offset is a beginning and an end
    auto frame = frameOf(words, i);
    ASSERT_EQ(ring.writer.write(ptr(frame)), frame.size());
    ring.writer.publish();
    KJ_IF_MAYBE(read, ring.reader.next()) {
      expectFrame(*read, words, i);
    } else {
      FAIL() << "frame " << i;
    }
  }
}

TEST(Ring, TakesExactlyItsSizeAndThenNoMore) {
  Ring ring(64);
  std::vector<kj::byte> bytes(65);
  EXPECT_EQ(ring.writer.write(ptr(bytes)), 64u);
  EXPECT_EQ(ring.writer.write(ptr(bytes)), 0u);
  EXPECT_TRUE(ring.writer.prepareToWait());
}

TEST(Ring, StreamsAFrameLargerThanItself) {
  Ring ring(4096);
  constexpr size_t WORDS = 100'000;
  std::thread writer([&] { writeAll(ring, frameOf(WORDS, 42)); });
  auto frame = readOne(ring);
  writer.join();
  expectFrame(frame, WORDS, 42);
}

TEST(Ring, CarriesTheLargestFrameAndRefusesOneWordMore) {
  Ring ring(1 << 16);
  std::thread writer([&] { writeAll(ring, frameOf(FRAME_BYTES_MAX / sizeof(word), 1)); });
  auto frame = readOne(ring);
  writer.join();
  EXPECT_EQ(frame.asBytes().size(), FRAME_BYTES_MAX);

  auto tooLong = frameOf(FRAME_BYTES_MAX / sizeof(word) + 1, 1);
  ring.writer.write(ptr(tooLong));
  ring.writer.publish();
  EXPECT_ANY_THROW(ring.reader.next());
}

TEST(Ring, DetectsADamagedLengthAndADamagedPosition) {
  Ring odd(64);
  kj::byte length[] = {3, 0, 0, 0};  // not whole words
  odd.writer.write(length);
  odd.writer.publish();
  EXPECT_ANY_THROW(odd.reader.next());

  Ring ahead(64);
  ahead.control.written.store(65);
  EXPECT_FALSE(ahead.reader.prepareToSleep()) << "must look and find the damage, not sleep over it";
  EXPECT_ANY_THROW(ahead.reader.next());

  Ring overtaken(64);
  overtaken.control.taken.store(5);
  kj::byte some[] = {1};
  EXPECT_EQ(overtaken.writer.write(some), 0u) << "the reader claims bytes that were never written";
}

TEST(Ring, SignalsOnlyASleepingReaderAndOnlyOnce) {
  Ring ring(256);
  auto frame = frameOf(1, 0);
  ring.writer.write(ptr(frame));
  ring.writer.publish();
  ring.writer.wakeReader();
  EXPECT_TRUE(signalled(ring.readerFd)) << "a reader that has never looked counts as asleep";
  clearFd(ring.readerFd);
  EXPECT_FALSE(ring.reader.prepareToSleep()) << "there is a frame";
  ring.writer.wakeReader();
  EXPECT_FALSE(signalled(ring.readerFd)) << "it did not go to sleep";

  EXPECT_FALSE(ring.reader.next() == nullptr);
  EXPECT_TRUE(ring.reader.prepareToSleep());
  ring.writer.write(ptr(frame));
  ring.writer.publish();
  ring.writer.wakeReader();
  EXPECT_TRUE(signalled(ring.readerFd));
  clearFd(ring.readerFd);
  ring.writer.wakeReader();
  EXPECT_FALSE(signalled(ring.readerFd));
}

TEST(Ring, SignalsAWriterThatWaitsForRoom) {
  Ring ring(16);
  auto frame = frameOf(2, 0);
  auto rest = ptr(frame).slice(ring.writer.write(ptr(frame)), frame.size());
  ring.writer.publish();
  EXPECT_EQ(rest.size(), 4u);
  EXPECT_TRUE(ring.writer.prepareToWait());
  EXPECT_TRUE(ring.reader.next() == nullptr) << "not complete, but its room is given back";
  EXPECT_TRUE(signalled(ring.writerFd));
  EXPECT_EQ(ring.writer.write(rest), rest.size());
}

// Two threads, small ring, frames of every size around its own, both sides sleeping and waking: a lost wake-up hangs (await
// gives up), a lost or torn byte fails. Under TSan a missing ordering is reported.
TEST(Ring, LosesNothingBetweenTwoThreads) {
  constexpr int FRAMES = 20'000;
  Ring ring(1024);
  auto sizeOf = [](int i) { return 1 + (i * 7919) % (i % 100 == 0 ? 400 : 20); };
  std::thread writer([&] {
    for (int i = 0; i < FRAMES; i++) writeAll(ring, frameOf(sizeOf(i), i));
  });
  for (int i = 0; i < FRAMES; i++) {
    auto frame = readOne(ring);
    expectFrame(frame, sizeOf(i), i);
  }
  writer.join();
  EXPECT_TRUE(ring.reader.next() == nullptr);
}

}  // namespace
}  // namespace epochly::run

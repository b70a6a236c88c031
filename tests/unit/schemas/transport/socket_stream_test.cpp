#include "transport/socket_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <kj/debug.h>

namespace epochly::transport {
namespace {

using kj::byte;

// One end as a stream, the other as a plain number.
struct Env {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::AutoCloseFd other;
  kj::Own<SocketStream> stream;
  byte buffer[64];

  Env() {
    int ends[2];
    KJ_SYSCALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    stream = kj::heap<SocketStream>(io.unixEventPort, kj::AutoCloseFd(ends[0]));
    other = kj::AutoCloseFd(ends[1]);
  }
  void send(const std::string& text) { ASSERT_EQ(::write(other, text.data(), text.size()), ssize_t(text.size())); }
  kj::Promise<std::string> read(size_t min = 1, size_t max = sizeof(buffer)) {
    return stream->tryRead(buffer, min, max).then([this](size_t count) {
      return std::string(reinterpret_cast<char*>(buffer), count);
    });
  }
  std::string readNow(size_t min = 1, size_t max = sizeof(buffer)) { return read(min, max).wait(io.waitScope); }
  std::string received() {
    std::string all(1 << 20, 0);
    auto count = ::read(other, all.data(), all.size());
    all.resize(count < 0 ? 0 : count);
    return all;
  }
};

TEST(SocketStream, ReadsWhatIsThereAndWaitsForWhatIsNot) {
  Env env;
  env.send("one");
  EXPECT_EQ(env.readNow(), "one");
  auto reading = env.read();
  EXPECT_FALSE(reading.poll(env.io.waitScope));
  env.send("two");
  EXPECT_EQ(reading.wait(env.io.waitScope), "two");
}

TEST(SocketStream, WhatArrivesBetweenTwoReadsIsNotMissed) {
  Env env;
  env.send("one");
  EXPECT_EQ(env.readNow(), "one");
  env.send("two");
  env.io.unixEventPort.poll();  // the event is there before anyone reads
  env.io.waitScope.poll();
  EXPECT_EQ(env.readNow(), "two");
}

TEST(SocketStream, AReadGoesOnUntilItHasEnough) {
  Env env;
  auto reading = env.read(5);
  for (std::string part : {"a", "bc", "def"}) {
    EXPECT_FALSE(reading.poll(env.io.waitScope));
    env.send(part);
  }
  EXPECT_EQ(reading.wait(env.io.waitScope), "abcdef");
}

TEST(SocketStream, AFullBufferIsFollowedByTheRest) {
  Env env;
  env.send("abcdef");
  EXPECT_EQ(env.readNow(1, 4), "abcd");
  EXPECT_EQ(env.readNow(1, 4), "ef");
}

TEST(SocketStream, TheEndIsSeenHoweverItComes) {
  {
    Env env;
    env.send("last");
    env.other = nullptr;  // data and end are there before the first look
    EXPECT_EQ(env.readNow(), "last");
    EXPECT_EQ(env.readNow(), "");
  }
  {
    Env env;
    auto reading = env.read();
    EXPECT_FALSE(reading.poll(env.io.waitScope));
    env.send("last");
    env.other = nullptr;  // one event tells of both
    EXPECT_EQ(reading.wait(env.io.waitScope), "last");
    EXPECT_EQ(env.readNow(), "");
  }
  {
    Env env;
    env.send("last");
    EXPECT_EQ(env.readNow(), "last");
    env.other = nullptr;
    EXPECT_EQ(env.readNow(), "");
  }
  {
    Env env;
    auto reading = env.read(10);
    EXPECT_FALSE(reading.poll(env.io.waitScope));
    env.send("short");
    env.other = nullptr;
    EXPECT_EQ(reading.wait(env.io.waitScope), "short") << "fewer than asked for: the end";
  }
}

TEST(SocketStream, WritesAllThatItIsGivenAsRoomAppears) {
  Env env;
  std::string text(3 << 20, 0);
  for (size_t i = 0; i < text.size(); i++) text[i] = static_cast<char>(i * 7 + i / 251);
  kj::Vector<kj::ArrayPtr<const byte>> pieces;
  size_t at = 0;
  for (size_t size = 0; at < text.size(); size = (size * 3 + 1) % 100'003) {  // many small ones, some empty
    size_t here = kj::min(size, text.size() - at);
    pieces.add(reinterpret_cast<const byte*>(text.data()) + at, here);
    at += here;
  }
  ASSERT_GT(pieces.size(), 64u);
  auto writing = env.stream->write(pieces.asPtr()).eagerlyEvaluate(nullptr);
  std::string received;
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (received.size() < text.size() && std::chrono::steady_clock::now() < deadline) {
    received += env.received();
    env.io.unixEventPort.poll();
    env.io.waitScope.poll();
  }
  ASSERT_EQ(received.size(), text.size());
  EXPECT_TRUE(received == text);
  writing.wait(env.io.waitScope);
}

TEST(SocketStream, WritingToNobodyFailsAsDisconnected) {
  Env env;
  env.other = nullptr;
  auto error = kj::runCatchingExceptions([&]() { env.stream->write("x", 1).wait(env.io.waitScope); });
  EXPECT_EQ(KJ_ASSERT_NONNULL(error).getType(), kj::Exception::Type::DISCONNECTED);
}

// The events that the kernel is asked to tell of `fd`, of all epoll instances of this process.
uint32_t observedEvents(int fd) {
  uint32_t observed = 0;
  for (auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream info(entry.path());
    for (std::string word; info >> word;) {
      int watched = -1;
      uint32_t events = 0;
      if (word != "tfd:" || !(info >> watched >> word >> std::hex >> events >> std::dec)) continue;
      if (watched == fd) observed |= events;
    }
  }
  return observed;
}

TEST(SocketStream, TheOtherSidesReadingDoesNotWakeIt) {
  Env env;
  auto fd = KJ_ASSERT_NONNULL(env.stream->getFd());
  EXPECT_TRUE(observedEvents(fd) & EPOLLIN);
  EXPECT_FALSE(observedEvents(fd) & EPOLLOUT) << "a unix socket has this event each time the other side reads";
}

TEST(SocketStream, TakesOverAConnectionAndLeavesOtherStreamsAlone) {
  Env env;
  auto pipe = env.io.provider->newTwoWayPipe();
  auto fd = KJ_ASSERT_NONNULL(pipe.ends[0]->getFd());
  auto taken = SocketStream::takeOver(env.io.unixEventPort, kj::mv(pipe.ends[0]));
  EXPECT_NE(KJ_ASSERT_NONNULL(taken->getFd()), fd);
  pipe.ends[1]->write("hello", 5).wait(env.io.waitScope);
  EXPECT_EQ(taken->read(env.buffer, 5, 5).wait(env.io.waitScope), 5u);
  taken = nullptr;
  EXPECT_EQ(pipe.ends[1]->tryRead(env.buffer, 1, 1).wait(env.io.waitScope), 0u) << "no other copy keeps it open";
  auto inProcess = kj::newTwoWayPipe();
  auto same = inProcess.ends[0].get();
  EXPECT_EQ(SocketStream::takeOver(env.io.unixEventPort, kj::mv(inProcess.ends[0])).get(), same);
}

}  // namespace
}  // namespace epochly::transport

#include "run/executor_port.h"

#include <string>
#include <thread>
#include <vector>

#include <capnp/serialize.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "run/fd.h"
#include "wire/errors.h"

namespace epochly::run {
namespace {

using Got = ExecutorPort::Got;

kj::AutoCloseFd copyOf(int fd) { return kj::AutoCloseFd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

// The daemon's side of one channel, held by the test, and the fds that an executor would inherit.
struct Daemon {
  Channel channel = Channel::create();
  kj::AutoCloseFd wake = newEventFd();
  kj::AutoCloseFd dataWake = newEventFd();
  kj::AutoCloseFd roomWake = newEventFd();
  kj::AutoCloseFd lifeLine;
  kj::AutoCloseFd theirLifeLine;
  kj::AutoCloseFd errors = newMemoryFile("stderr", 0);
  RingWriter writer{channel.layout().toExecutor, kj::arrayPtr(channel.layout().toExecutorData, RING_BYTES), dataWake};
  RingReader reader{channel.layout().fromExecutor, kj::arrayPtr(channel.layout().fromExecutorData, RING_BYTES), roomWake};

  Daemon() {
    int pair[2];
    KJ_SYSCALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    lifeLine = kj::AutoCloseFd(pair[0]);
    theirLifeLine = kj::AutoCloseFd(pair[1]);
  }

  // The port takes ownership of what it is given, as after an exec.
  kj::Own<ExecutorPort> attach(Mode mode = Mode::CPU) {
    ExecutorFds fds{copyOf(channel.fd()).release(), copyOf(wake).release(),  copyOf(dataWake).release(),
                    copyOf(roomWake).release(),     theirLifeLine.release(), copyOf(errors).release()};
    return kj::heap<ExecutorPort>(fds.toString(), mode);
  }

  void sendRun(uint assignments) {
    capnp::MallocMessageBuilder message;
    auto list = message.initRoot<schema::ToExecutor>().initRun().initAssignments(assignments);
    for (uint i = 0; i < assignments; i++) list[i].setAttempt(i + 1);
    auto words = capnp::messageToFlatArray(message);
    uint32_t length = words.asBytes().size();
    writer.write(kj::arrayPtr(reinterpret_cast<kj::byte*>(&length), 4));
    writer.write(words.asBytes());
    writer.publish();
    writer.wakeReader();
  }

  // The next frame from the executor.
  kj::Array<capnp::word> read() {
    while (true) {
      KJ_IF_MAYBE(frame, reader.next()) return kj::mv(*frame);
      if (!reader.prepareToSleep()) continue;
      pollfd polled{wake, POLLIN, 0};
      KJ_REQUIRE(poll(&polled, 1, 30'000) == 1, "the executor sent nothing");
      clearFd(wake);
    }
  }

  bool woken() {
    pollfd polled{wake, POLLIN, 0};
    return poll(&polled, 1, 0) == 1;
  }
};

void fillResult(capnp::MallocMessageBuilder& message, uint32_t attempt, size_t bytes) {
  auto result = message.initRoot<schema::FromExecutor>().initResults().initResults(1)[0];
  result.setAttempt(attempt);
  auto pickle = result.initValue().initPickle(bytes);
  for (size_t i = 0; i < bytes; i += 1000) pickle[i] = static_cast<kj::byte>(attempt + i / 1000);
}

uint32_t attemptOf(kj::ArrayPtr<const capnp::word> words, size_t bytes) {
  capnp::FlatArrayMessageReader reader(words, capnp::ReaderOptions{TRAVERSAL_WORDS_MAX, 64});
  auto result = reader.getRoot<schema::FromExecutor>().getResults().getResults()[0];
  auto pickle = result.getValue().getPickle();
  EXPECT_EQ(pickle.size(), bytes);
  for (size_t i = 0; i < pickle.size(); i += 1000) {
    if (pickle[i] != static_cast<kj::byte>(result.getAttempt() + i / 1000)) ADD_FAILURE() << "byte " << i;
  }
  return result.getAttempt();
}

TEST(ExecutorPort, ReceivesFramesInOrderAndNumbersTheirAssignments) {
  Daemon daemon;
  auto port = daemon.attach();
  EXPECT_EQ(port->poll().got, Got::NOTHING);
  daemon.sendRun(3);
  daemon.sendRun(2);
  auto first = port->receive();
  ASSERT_EQ(first.got, Got::FRAME);
  EXPECT_EQ(first.frame->first, 0u);
  EXPECT_EQ(first.frame->message().getRun().getAssignments().size(), 3u);
  auto second = port->poll();
  ASSERT_EQ(second.got, Got::FRAME);
  EXPECT_EQ(second.frame->first, 3u);
  EXPECT_EQ(port->receive(0).got, Got::NOTHING);
}

TEST(ExecutorPort, SleepsUntilTheDaemonSends) {
  Daemon daemon;
  auto port = daemon.attach();
  std::thread executor([&] {
    for (uint32_t i = 0; i < 1000; i++) {
      auto received = port->receive();
      ASSERT_EQ(received.got, Got::FRAME);
      ASSERT_EQ(received.frame->first, i);
      capnp::MallocMessageBuilder message;
      fillResult(message, i, 8);
      ASSERT_TRUE(port->send(message));
    }
  });
  for (uint32_t i = 0; i < 1000; i++) {
    daemon.sendRun(1);
    EXPECT_EQ(attemptOf(daemon.read(), 8), i);
  }
  executor.join();
}

TEST(ExecutorPort, SaysWhenTheDaemonIsGone) {
  Daemon daemon;
  auto port = daemon.attach();
  std::thread executor([&] { EXPECT_EQ(port->receive().got, Got::HANGUP); });
  daemon.lifeLine = nullptr;
  executor.join();
}

TEST(ExecutorPort, ReadsWhatWasSentBeforeTheDaemonDied) {
  Daemon daemon;
  auto port = daemon.attach();
  daemon.sendRun(1);
  daemon.lifeLine = nullptr;
  EXPECT_EQ(port->receive().got, Got::FRAME);
  EXPECT_EQ(port->receive().got, Got::HANGUP);
}

TEST(ExecutorPort, StopsWaitingForRoomWhenTheDaemonIsGone) {
  Daemon daemon;
  auto port = daemon.attach();
  std::thread executor([&] {
    capnp::MallocMessageBuilder message;
    fillResult(message, 1, 3 * RING_BYTES);
    EXPECT_FALSE(port->send(message));
  });
  daemon.lifeLine = nullptr;
  executor.join();
}

TEST(ExecutorPort, SendsAResultLargerThanTheRing) {
  Daemon daemon;
  auto port = daemon.attach();
  std::thread executor([&] {
    capnp::MallocMessageBuilder message;
    fillResult(message, 9, 5 * RING_BYTES + 123);
    EXPECT_TRUE(port->send(message));
  });
  EXPECT_EQ(attemptOf(daemon.read(), 5 * RING_BYTES + 123), 9u);
  executor.join();
}

TEST(ExecutorPort, RefusesAResultLargerThanAFrameBeforeSendingAnyOfIt) {
  Daemon daemon;
  auto port = daemon.attach();
  capnp::MallocMessageBuilder message;
  fillResult(message, 1, FRAME_BYTES_MAX);
  try {
    port->send(message);
    FAIL() << "too large";
  } catch (const kj::Exception& e) {
    EXPECT_EQ(codeOf(e), ErrorCode::PAYLOAD_TOO_LARGE);
  }
  EXPECT_TRUE(daemon.reader.next() == nullptr);
}

TEST(ExecutorPort, SendsFromManyThreadsWithoutMixingFrames) {
  constexpr uint THREADS = 8, RESULTS = 300;
  Daemon daemon;
  auto port = daemon.attach(Mode::IO);
  std::vector<std::thread> threads;
  for (uint t = 0; t < THREADS; t++) {
    threads.emplace_back([&, t] {
      for (uint i = 0; i < RESULTS; i++) {
        uint32_t index = t * RESULTS + i;
        ASSERT_TRUE(port->begin(index));
        capnp::MallocMessageBuilder message;
        fillResult(message, index, 10'000);
        ASSERT_TRUE(port->send(message));
        port->end(index);
      }
    });
  }
  std::vector<bool> seen(THREADS * RESULTS);
  for (uint i = 0; i < THREADS * RESULTS; i++) {
    uint32_t attempt = attemptOf(daemon.read(), 10'000);
    ASSERT_LT(attempt, seen.size());
    EXPECT_FALSE(seen[attempt]);
    seen[attempt] = true;
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(daemon.channel.layout().progress.entered().size(), 0u);
}

TEST(ExecutorPort, PutsOffWakingTheDaemonOnlyForAMoment) {
  Daemon daemon;
  auto port = daemon.attach();
  auto sendSmall = [&](Wake wake) {
    capnp::MallocMessageBuilder message;
    fillResult(message, 1, 8);
    ASSERT_TRUE(port->send(message, wake));
  };
  ASSERT_TRUE(daemon.reader.prepareToSleep());
  sendSmall(Wake::NOW);
  EXPECT_TRUE(daemon.woken());
  daemon.read();
  clearFd(daemon.wake);
  ASSERT_TRUE(daemon.reader.prepareToSleep());
  // Whether the next one is put off depends on how fast this machine is; that it is told in the end does not.
  while (!daemon.woken()) sendSmall(Wake::LATER);
}

TEST(ExecutorPort, SwitchesStandardErrorBackWhenReady) {
  Daemon daemon;
  auto port = daemon.attach();
  int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  port->sendReady(PythonVersion{3 << 8 | 11}, "test");
  KJ_SYSCALL(write(STDERR_FILENO, "hello", 5));
  KJ_SYSCALL(dup2(before, STDERR_FILENO));
  close(before);
  char text[6] = {};
  EXPECT_EQ(pread(daemon.errors, text, 5, 0), 5);
  EXPECT_STREQ(text, "hello");
  auto words = daemon.read();
  capnp::FlatArrayMessageReader message(words);
  auto ready = message.getRoot<schema::FromExecutor>().getReady();
  EXPECT_EQ(ready.getPid(), static_cast<uint>(getpid()));
  EXPECT_EQ(ready.getPythonVersion(), 3 << 8 | 11);
}

TEST(ExecutorPort, ThrowsInAForkedChild) {
  Daemon daemon;
  auto port = daemon.attach();
  pid_t child = fork();
  if (child == 0) {
    try {
      port->poll();
    } catch (const kj::Exception&) {
      _exit(42);
    }
    _exit(0);
  }
  int status = 0;
  KJ_SYSCALL(waitpid(child, &status, 0));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42);
  EXPECT_EQ(port->poll().got, Got::NOTHING) << "the parent goes on";
}

TEST(ExecutorPort, RefusesDescriptorsThatAreNotAChannel) {
  EXPECT_ANY_THROW(ExecutorPort("1,2", Mode::CPU));
  EXPECT_ANY_THROW(ExecutorPort("900,901,902,903,904,905", Mode::CPU));
}

}  // namespace
}  // namespace epochly::run

#include "run/executor_port.h"

#include <atomic>
#include <cerrno>
#include <chrono>

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <kj/debug.h>

#include "run/fd.h"
#include "wire/errors.h"

namespace epochly::run {

namespace {

// A signal is put off (Wake::LATER) only within this time of the last one. The daemon looks by itself SWEEP (run/supervisor)
// after that, which is longer, so nothing is overlooked in between.
constexpr uint64_t DEFER_NS = 400'000;

// A forked child shares the rings with its parent and would corrupt them.
std::atomic<bool> inForkedChild{false};

void watchForks() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { inForkedChild = true; });
  KJ_REQUIRE(registered == 0, "pthread_atfork failed");
}

void refuseInForkedChild() {
  KJ_REQUIRE(!inForkedChild.load(std::memory_order_relaxed), "a forked child of an executor may not use its channel");
}

ExecutorFds parseFds(kj::StringPtr text) {
  KJ_IF_MAYBE(fds, ExecutorFds::parse(text)) return *fds;
  kj::throwFatalException(
      makeError(ErrorCode::INVALID_ARGUMENT, kj::str("--fds '", text, "': expected six numbers with commas between")));
}

kj::AutoCloseFd adopt(int fd) {
  setCloseOnExec(fd, true);
  return kj::AutoCloseFd(fd);
}

enum class Wait : uint8_t { SIGNALLED, INTERRUPTED, TIMED_OUT, HANGUP };

// Until `eventFd` is signalled or the daemon is gone. What was signalled before the hang-up counts first.
Wait waitFor(int eventFd, int lifeLine, int timeoutMs) {
  pollfd polled[] = {{eventFd, POLLIN, 0},
                     {lifeLine, POLLIN, 0}};  // the daemon never writes to the life line: readable is EOF
  int count = ::poll(polled, 2, timeoutMs);
  if (count < 0) return Wait::INTERRUPTED;
  if (count == 0) return Wait::TIMED_OUT;
  if (polled[0].revents != 0) {
    clearFd(eventFd);
    return Wait::SIGNALLED;
  }
  return Wait::HANGUP;
}

}  // namespace

Frame::Frame(kj::Array<capnp::word> words, uint32_t first)
    : first(first), words(kj::mv(words)), reader(this->words, capnp::ReaderOptions{TRAVERSAL_WORDS_MAX, 64}) {}

kj::StringPtr modeName(Mode mode) { return mode == Mode::CPU ? "cpu"_kj : "io"_kj; }

kj::Maybe<Mode> parseMode(kj::StringPtr text) {
  if (text == "cpu") return Mode::CPU;
  if (text == "io") return Mode::IO;
  return nullptr;
}

ExecutorPort::ExecutorPort(kj::StringPtr text, Mode mode)
    : fds(parseFds(text)),
      mode(mode),
      owned{adopt(fds.daemonWake), adopt(fds.dataWake), adopt(fds.roomWake), adopt(fds.lifeLine), adopt(fds.stderrLater)},
      channel(Channel::open(adopt(fds.channel))),
      reader(channel.layout().toExecutor, kj::arrayPtr(channel.layout().toExecutorData, RING_BYTES), fds.daemonWake),
      writer(channel.layout().fromExecutor, kj::arrayPtr(channel.layout().fromExecutorData, RING_BYTES), fds.daemonWake) {
  watchForks();
}

void ExecutorPort::sendReady(PythonVersion python, kj::StringPtr software) {
  capnp::MallocMessageBuilder message;
  auto ready = message.initRoot<schema::FromExecutor>().initReady();
  ready.setPid(getpid());
  ready.setPythonVersion(python.value);
  ready.setSoftware(software);
  KJ_SYSCALL(dup2(fds.stderrLater, STDERR_FILENO));
  send(message);
}

kj::Maybe<kj::Own<Frame>> ExecutorPort::take() {
  refuseInForkedChild();
  KJ_IF_MAYBE(words, reader.next()) {
    auto frame = kj::heap<Frame>(kj::mv(*words), assignmentsSeen);
    auto message = frame->message();
    if (message.isRun()) assignmentsSeen += message.getRun().getAssignments().size();
    return kj::mv(frame);
  }
  return nullptr;
}

ExecutorPort::Received ExecutorPort::poll() {
  KJ_IF_MAYBE(frame, take()) return {Got::FRAME, kj::mv(*frame)};
  return {Got::NOTHING, kj::Own<Frame>()};
}

ExecutorPort::Received ExecutorPort::receive(int timeoutMs) {
  using Clock = std::chrono::steady_clock;
  auto deadline = Clock::now() + std::chrono::milliseconds(timeoutMs);
  while (true) {
    KJ_IF_MAYBE(frame, take()) return {Got::FRAME, kj::mv(*frame)};
    if (!reader.prepareToSleep()) continue;
    int left = -1;
    if (timeoutMs >= 0) {
      left = kj::max(0, std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count());
    }
    switch (waitFor(fds.dataWake, fds.lifeLine, left)) {
      case Wait::SIGNALLED: continue;
      case Wait::HANGUP: return {Got::HANGUP, kj::Own<Frame>()};
      case Wait::INTERRUPTED:
      case Wait::TIMED_OUT: return {Got::NOTHING, kj::Own<Frame>()};
    }
  }
}

bool ExecutorPort::begin(uint32_t index) {
  refuseInForkedChild();
  auto& progress = channel.layout().progress;
  if (mode == Mode::CPU) return progress.begin(index);
  KJ_REQUIRE(progress.enter(index), "more attempts at once than an executor may run", IO_THREADS_MAX);
  return true;
}

void ExecutorPort::end(uint32_t index) {
  refuseInForkedChild();
  if (mode == Mode::IO) channel.layout().progress.leave(index);
}

// Writes through the ring, publishing what is there whenever it is full.
class ExecutorPort::RingStream : public kj::OutputStream {
 public:
  explicit RingStream(ExecutorPort& port) : port(port) {}

  void write(const void* buffer, size_t size) override {
    auto rest = kj::arrayPtr(reinterpret_cast<const kj::byte*>(buffer), size);
    while (!hangup) {
      rest = rest.slice(port.writer.write(rest), rest.size());
      if (rest.size() == 0) return;
      waitForRoom();
    }
  }

  bool hangup = false;

 private:
  ExecutorPort& port;

  void waitForRoom() {
    port.writer.publish();
    port.writer.wakeReader();
    if (!port.writer.prepareToWait()) return;
    // Not interruptible: half a frame cannot be taken back, and the daemon always makes room or dies.
    if (waitFor(port.fds.roomWake, port.fds.lifeLine, -1) == Wait::HANGUP) hangup = true;
  }
};

bool ExecutorPort::send(capnp::MessageBuilder& message, Wake wake) {
  refuseInForkedChild();
  size_t bytes = capnp::computeSerializedSizeInWords(message) * sizeof(capnp::word);
  if (bytes > FRAME_BYTES_MAX) {
    kj::throwRecoverableException(
        makeError(ErrorCode::PAYLOAD_TOO_LARGE, kj::str("a result of ", bytes, " bytes is more than ", FRAME_BYTES_MAX)));
    return true;
  }
  std::lock_guard lock(sending);
  RingStream stream(*this);
  const kj::byte length[] = {static_cast<kj::byte>(bytes), static_cast<kj::byte>(bytes >> 8),
                             static_cast<kj::byte>(bytes >> 16), static_cast<kj::byte>(bytes >> 24)};
  stream.write(length, sizeof(length));
  capnp::writeMessage(stream, message);
  if (stream.hangup) return false;
  writer.publish();
  wakeDaemon(wake);
  return true;
}

void ExecutorPort::wakeDaemon(Wake wake) {
  uint64_t now = monotonicNs();
  if (wake == Wake::LATER && now - wokenAtNs < DEFER_NS) return;
  wokenAtNs = now;
  writer.wakeReader();
}

}  // namespace epochly::run

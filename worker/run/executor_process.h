// One executor process and the daemon's end of its channel.
#pragma once

#include <csignal>

#include <sys/resource.h>
#include <sys/types.h>

#include <capnp/message.h>
#include <kj/io.h>
#include <kj/time.h>

#include "run/assignment.h"
#include "run/channel.h"
#include "worker.capnp.h"

namespace epochly::run {

// Whom executors run as, when the daemon is root.
struct User {
  uid_t uid;
  gid_t gid;
  kj::Array<gid_t> groups;

  // Throws INVALID_ARGUMENT if there is no such user.
  static User named(kj::StringPtr name);
};

// How executors are started.
struct ExecutorCommand {
  kj::String program;               // the user's Python, as for execvp
  kj::Array<kj::String> arguments;  // before the executor's own: -m epochly.executor
  uint ioThreads = 1;
  kj::Maybe<uint64_t> memoryBytesMax;  // address space of each
  kj::Maybe<rlimit> openFiles;         // none: as the daemon's
  kj::Maybe<User> user;
  kj::String scratch;               // directory that holds each one's own
};

// Lives on the daemon's loop.
class ExecutorProcess {
 public:
  // Starts it: its own process group, killed when this thread's process dies, no new privileges, no core dumps, standard input
  // empty. Throws INVALID_ARGUMENT if the program cannot be started at all. daemonWake: eventfd that all executors signal.
  ExecutorProcess(ExecutorId id, Role role, const ExecutorCommand& command, int daemonWake);
  // Kills it, and what it has left in its process group, if it still runs.
  ~ExecutorProcess() noexcept(false);
  KJ_DISALLOW_COPY(ExecutorProcess);

  const ExecutorId id;
  const Role role;
  pid_t pid() const { return pid_; }
  int pidFd() const { return pidFd_; }        // readable when it is gone
  Progress& progress() { return channel.layout().progress; }
  uint64_t residentBytes() const;             // 0: unknown

  // A ToExecutor message; what the ring has no room for waits here and goes with a later flush().
  void send(capnp::MessageBuilder& message);
  // Writes what waits, and wakes the executor if anything was written since the last flush.
  void flush();
  // The next frame; none if there is no whole one. Throws if what it wrote cannot be frames.
  kj::Maybe<kj::Array<capnp::word>> receive();
  bool prepareToSleep();                      // see RingReader

  // It said that it is ready: passes on what it wrote to standard error until now.
  void onReady();
  // `why` follows "was killed by the worker: " in what reap() says.
  void kill(kj::StringPtr why);
  // After pidFd is readable: the process is no more. How it ended, in words: "was killed by SIGSEGV (signal 11)", and what it
  // wrote to standard error if it died before it was ready.
  kj::String reap();

 private:
  Channel channel;
  kj::AutoCloseFd dataWake;
  kj::AutoCloseFd roomWake;
  kj::AutoCloseFd lifeLine;
  kj::AutoCloseFd earlyErrors;        // file that takes its standard error until it is ready; none afterwards
  kj::String scratch;
  pid_t pid_ = 0;
  kj::AutoCloseFd pidFd_;
  bool reaped = false;
  kj::Maybe<kj::String> killedWhy;    // by kill()
  RingWriter writer;
  RingReader reader;
  kj::Vector<kj::byte> waiting;       // for room in the ring; bounded by what the dispatcher gives one executor
  size_t waitingFrom = 0;             // what of it has been written
  bool dirty = false;                 // written and not published

  void spawn(const ExecutorCommand& command, int daemonWake);
  void write(kj::ArrayPtr<const kj::byte> bytes);
  kj::String earlyErrorsTail();
};

// "was killed by SIGSEGV (signal 11)", "exited with status 3".
kj::String describeExit(const siginfo_t& info);

}  // namespace epochly::run

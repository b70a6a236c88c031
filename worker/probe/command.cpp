#include "probe/command.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kj/debug.h>
#include <kj/io.h>
#include <kj/vector.h>

extern char** environ;

namespace epochly::probe {

namespace {

using Clock = std::chrono::steady_clock;

// False: the deadline passed first.
bool readAll(int fd, kj::Vector<char>& output, Clock::time_point deadline) {
  while (true) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd polled{fd, POLLIN, 0};
    int ready = left <= 0 ? 0 : poll(&polled, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    char piece[4096];
    ssize_t count = read(fd, piece, sizeof(piece));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    size_t room = COMMAND_OUTPUT_BYTES_MAX - output.size();
    output.addAll(piece, piece + kj::min(static_cast<size_t>(count), room));
  }
}

kj::Maybe<kj::String> describe(int status) {
  if (WIFSIGNALED(status)) return kj::str("was killed by signal ", WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return kj::str("exited with status ", WEXITSTATUS(status));
  return nullptr;
}

}  // namespace

CommandResult runCommand(kj::ArrayPtr<const kj::StringPtr> arguments, kj::Duration deadline) {
  auto until = Clock::now() + std::chrono::nanoseconds(deadline / kj::NANOSECONDS);
  int pair[2];
  KJ_SYSCALL(pipe2(pair, O_CLOEXEC));
  kj::AutoCloseFd readEnd(pair[0]), writeEnd(pair[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  KJ_DEFER(posix_spawn_file_actions_destroy(&actions));
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, writeEnd, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);

  auto argv = kj::heapArrayBuilder<char*>(arguments.size() + 1);
  for (auto argument : arguments) argv.add(const_cast<char*>(argument.cStr()));
  argv.add(nullptr);
  pid_t pid;
  int error = posix_spawnp(&pid, arguments[0].cStr(), &actions, nullptr, argv.begin(), environ);
  if (error != 0) return {kj::String(), kj::str("cannot be run: ", strerror(error))};
  writeEnd = nullptr;

  kj::Vector<char> output;
  bool inTime = readAll(readEnd, output, until);
  if (!inTime) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  auto text = kj::heapString(output.begin(), output.size());
  if (!inTime) return {kj::mv(text), kj::str("did not answer within ", deadline / kj::SECONDS, " s")};
  return {kj::mv(text), describe(status)};
}

}  // namespace epochly::probe

// epochly-worker as a process: what it prints, when it ends, and with what status.
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/fake_gateway.h"

namespace epochly::link {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

constexpr kj::Duration PATIENCE = 60 * kj::SECONDS;

std::string readAll(int fd) {
  std::string text;
  char piece[4096];
  lseek(fd, 0, SEEK_SET);
  for (ssize_t count; (count = read(fd, piece, sizeof(piece))) > 0;) text.append(piece, count);
  return text;
}

int temporaryFile() {
  char name[] = "/tmp/epochly-program-XXXXXX";
  int fd;
  KJ_SYSCALL(fd = mkostemp(name, O_CLOEXEC));
  unlink(name);
  return fd;
}

struct Program {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  FakeGateway gateway{io};
  kj::AutoCloseFd out{temporaryFile()}, err{temporaryFile()};
  pid_t pid = 0;
  int status = -1;

  ~Program() noexcept {
    if (pid > 0) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

  void start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), WORKER_PATH);
    KJ_SYSCALL(pid = fork());
    if (pid > 0) return;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(WORKER_PATH, argv.data());
    _exit(127);
  }
  void startWorker(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"--scheduler", "unix:" + gateway.path, "--python", FAKE_EXECUTOR_PATH, "--cpu-slots", "2", "--name", "box"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    start(arguments);
  }
  void startJoined(std::vector<std::string> more = {}) {
    gateway.listen();
    startWorker(more);
    until([&] { return said().find('\n') != std::string::npos; });
  }
  template <typename Fn>
  void until(Fn&& condition) {
    auto& timer = io.provider->getTimer();
    auto deadline = timer.now() + PATIENCE;
    while (!condition() && timer.now() < deadline) timer.afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
    ASSERT_TRUE(condition()) << "did not happen in time; it said: " << complained();
  }
  bool ended() {
    if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) pid = 0;
    return pid == 0;
  }
  // Its exit status, 128 + signal if it was killed.
  int end() {
    until([&] { return ended(); });
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::string said() { return readAll(out); }
  std::string complained() { return readAll(err); }
};

TEST(WorkerProgram, PrintsALineOfJsonWhenItHasJoined) {
  Program program;
  program.startJoined();
  EXPECT_EQ(program.said(), "{\"event\":\"joined\",\"worker\":\"box\",\"id\":\"1\",\"scheduler\":\"unix:" + program.gateway.path + "\"}\n");
}

TEST(WorkerProgram, LeavesWithZeroOnSigterm) {
  for (int signal : {SIGTERM, SIGINT}) {
    Program program;
    program.startJoined();
    kill(program.pid, signal);
    EXPECT_EQ(program.end(), 0) << program.complained();
    EXPECT_TRUE(program.gateway.left);
  }
}

TEST(WorkerProgram, FinishesWhatHasBegunBeforeItLeaves) {
  Program program;
  program.startJoined();
  program.gateway.run(1, "sleep 200").wait(program.io.waitScope);
  program.io.provider->getTimer().afterDelay(50 * kj::MILLISECONDS).wait(program.io.waitScope);
  kill(program.pid, SIGTERM);
  EXPECT_EQ(program.end(), 0);
  ASSERT_EQ(program.gateway.results.size(), 1u);
  EXPECT_TRUE(program.gateway.results[0].value == "slept" || program.gateway.results[0].notRun);
}

TEST(WorkerProgram, LeavesAtOnceOnASecondSignal) {
  Program program;
  program.startJoined();
  program.gateway.run(1, "hang").wait(program.io.waitScope);
  program.io.provider->getTimer().afterDelay(50 * kj::MILLISECONDS).wait(program.io.waitScope);
  kill(program.pid, SIGTERM);
  program.until([&] { return program.gateway.left; });
  EXPECT_FALSE(program.ended());
  kill(program.pid, SIGTERM);
  EXPECT_EQ(program.end(), 1);
}

TEST(WorkerProgram, LeavesBeforeItHasJoined) {
  Program program;
  program.startWorker();
  program.until([&] { return program.complained().find("cannot join") != std::string::npos; });
  kill(program.pid, SIGTERM);
  EXPECT_EQ(program.end(), 0);
}

TEST(WorkerProgram, LeavesWhenItsParentIsGone) {
  pid_t parent = fork();
  if (parent == 0) {
    while (true) pause();
  }
  Program program;
  program.startJoined({"--parent-pid", std::to_string(parent)});
  EXPECT_FALSE(program.ended());
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_EQ(program.end(), 0);
}

TEST(WorkerProgram, SaysThatItWasRefused) {
  Program program;
  program.gateway.refusal = makeError(ErrorCode::UNAUTHENTICATED, "the token is wrong");
  program.gateway.listen();
  program.startWorker();
  EXPECT_EQ(program.end(), 2);
  EXPECT_THAT(program.complained(), HasSubstr("refused this worker: the token is wrong"));
  EXPECT_EQ(program.said(), "");
}

TEST(WorkerProgram, SaysInOneLineWhatIsWrongWithItsOptions) {
  struct Case {
    std::vector<std::string> arguments;
    const char* says;
  };
  for (auto& wrong : std::vector<Case>{{{"--frobnicate"}, "--frobnicate"},
                                       {{"--scheduler", "unix:/run/s", "--token-file", "/nonexistent"}, "/nonexistent"},
                                       {{"--scheduler", "unix:/run/s", "--python", "/nonexistent/python"}, "/nonexistent/python"},
                                       {{"--scheduler", "unix:/run/s", "--executor-user", "no-such-user"}, "--executor-user"},
                                       {{"--scheduler", "unix:/run/s", "--log-file", "/nonexistent/log"}, "/nonexistent/log"}}) {
    Program program;
    program.start(wrong.arguments);
    EXPECT_EQ(program.end(), 2);
    auto lines = program.complained();
    EXPECT_THAT(lines, HasSubstr("epochly-worker: "));
    EXPECT_THAT(lines, Not(HasSubstr("stack"))) << "no exception text of the library's";
    if (geteuid() == 0 && std::string(wrong.says) == "--executor-user") {
      EXPECT_THAT(lines, HasSubstr("there is no user 'no-such-user'"));
    } else {
      EXPECT_THAT(lines, HasSubstr(wrong.says));
    }
  }
}

TEST(WorkerProgram, SaysWhyItsExecutorsDoNotStart) {
  Program program;
  setenv("FAKE_EXECUTOR", "fail", 1);
  program.startWorker();
  unsetenv("FAKE_EXECUTOR");
  EXPECT_EQ(program.end(), 1);
  EXPECT_THAT(program.complained(), HasSubstr("epochly-worker: executors do not start"));
  EXPECT_THAT(program.complained(), HasSubstr("No module named 'epochly'"));
}

TEST(WorkerProgram, WritesItsLogWhereItIsTold) {
  char path[] = "/tmp/epochly-log-XXXXXX";
  int fd;
  KJ_SYSCALL(fd = mkstemp(path));
  Program program;
  program.startJoined({"--log-file", path});
  EXPECT_EQ(program.complained(), "");
  EXPECT_THAT(readAll(fd), HasSubstr("joined the scheduler"));
  close(fd);
  unlink(path);
}

TEST(WorkerProgram, ServesMetrics) {
  Program program;
  program.startJoined({"--metrics", "127.0.0.1:0"});
  EXPECT_THAT(program.complained(), HasSubstr("metrics at http://127.0.0.1:"));
}

TEST(WorkerProgram, KillsItsExecutorsWhenItIsKilled) {
  Program program;
  program.startJoined();
  program.gateway.run(1, "pid").wait(program.io.waitScope);
  program.until([&] { return program.gateway.results.size() == 1; });
  pid_t executor = std::stoi(program.gateway.results[0].value);
  kill(program.pid, SIGKILL);
  EXPECT_EQ(program.end(), 128 + SIGKILL);
  program.until([&] { return kill(executor, 0) != 0; });
}

}  // namespace
}  // namespace epochly::link

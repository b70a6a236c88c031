#include "conformance/process.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace epochly::conformance {

namespace {

constexpr auto PATIENCE = std::chrono::seconds(10);
constexpr auto LOOK = std::chrono::milliseconds(5);

template <typename Condition>
bool poll(Condition condition) {
  auto deadline = std::chrono::steady_clock::now() + PATIENCE;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(LOOK);
  }
  return true;
}

std::string temporaryDirectory() {
  char path[] = "/tmp/epochly-conformance-XXXXXX";
  return mkdtemp(path);
}

pid_t spawn(const std::vector<std::string>& args, const std::vector<std::string>& environment, int out, int err) {
  std::vector<char*> argv{const_cast<char*>(EPOCHLY_SCHEDULER_BINARY)};
  for (auto& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (auto& entry : environment) putenv(const_cast<char*>(entry.c_str()));
    execv(argv[0], argv.data());
    _exit(127);
  }
  return pid;
}

std::string readLine(int fd) {
  std::string line;
  pollfd waiting{fd, POLLIN, 0};
  while (line.find('\n') == line.npos && ::poll(&waiting, 1, 10'000) == 1) {
    char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n <= 0) break;
    line.append(buffer, n);
  }
  return line;
}

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The text between the quotes after `"key":` and what `begins` says.
std::string textAfter(const std::string& line, const std::string& begins) {
  auto at = line.find("\"" + begins);
  if (at == line.npos) return {};
  return line.substr(at + 1, line.find('"', at + 1) - at - 1);
}

int statusOf(int waited) { return WIFEXITED(waited) ? WEXITSTATUS(waited) : 128 + WTERMSIG(waited); }

bool has(const std::vector<std::string>& args, const std::string& name) {
  for (auto& arg : args) {
    if (arg == name) return true;
  }
  return false;
}

}  // namespace

SchedulerProcess::SchedulerProcess(std::vector<std::string> args) : dir(temporaryDirectory()) {
  if (!has(args, "--listen")) {
    args.insert(args.end(), {"--listen", "unix:" + dir + "/socket", "--listen", "tcp://127.0.0.1:0"});
  }
  if (!has(args, "--http")) args.insert(args.end(), {"--http", "127.0.0.1:0"});
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) abort();
  int err = open((dir + "/log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  child = spawn(args, {}, out[1], err);
  close(out[1]);
  close(err);
  ready = readLine(out[0]);
  close(out[0]);
  unixAddress = textAfter(ready, "unix:");
  tcp = textAfter(ready, "tcp:");
  auto url = textAfter(ready, "http://");
  if (!url.empty()) http = static_cast<uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  EXPECT_NE(ready, "") << log();
}

SchedulerProcess::~SchedulerProcess() {
  if (isRunning()) {
    signal(SIGKILL);
    wait();
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
}

void SchedulerProcess::signal(int number) { kill(child, number); }

bool SchedulerProcess::isRunning() {
  if (status >= 0) return false;
  int waited;
  if (waitpid(child, &waited, WNOHANG) != child) return true;
  status = statusOf(waited);
  return false;
}

int SchedulerProcess::wait() {
  bool ended = poll([this] { return !isRunning(); });
  EXPECT_TRUE(ended) << "the scheduler does not end\n" << log();
  return status;
}

std::string SchedulerProcess::log() const { return slurp(dir + "/log"); }

bool SchedulerProcess::logSays(const std::string& text) const {
  return poll([&] { return log().find(text) != std::string::npos; });
}

Finished runScheduler(const std::vector<std::string>& args, const std::vector<std::string>& environment) {
  auto dir = temporaryDirectory();
  int out = open((dir + "/out").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  int err = open((dir + "/err").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  pid_t pid = spawn(args, environment, out, err);
  close(out);
  close(err);
  int waited = 0;
  bool ended = poll([&] { return waitpid(pid, &waited, WNOHANG) == pid; });
  if (!ended) {
    kill(pid, SIGKILL);
    waitpid(pid, &waited, 0);
  }
  Finished finished{statusOf(waited), slurp(dir + "/out"), slurp(dir + "/err")};
  std::filesystem::remove_all(dir);
  return finished;
}

TemporaryFile::TemporaryFile(const std::string& text, int mode) {
  char path[] = "/tmp/epochly-conformance-XXXXXX";
  int fd = mkstemp(path);
  name = path;
  EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  fchmod(fd, mode);
  close(fd);
}

TemporaryFile::~TemporaryFile() { unlink(name.c_str()); }

}  // namespace epochly::conformance

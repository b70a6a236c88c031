// The real epochly-scheduler as a child process of a test.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace epochly::conformance {

// Starts it, waits for its ready line, and ends it at the latest with this object. Its directory holds its socket and its log.
class SchedulerProcess {
 public:
  // Listens on a unix socket of its own and on tcp://127.0.0.1:0 unless `args` say otherwise; HTTP on a free port.
  explicit SchedulerProcess(std::vector<std::string> args = {});
  ~SchedulerProcess();
  SchedulerProcess(const SchedulerProcess&) = delete;

  pid_t pid() const { return child; }
  const std::string& address() const { return unixAddress; }  // "unix:/tmp/..."
  const std::string& tcpAddress() const { return tcp; }       // "tcp://127.0.0.1:1234"
  const std::string& readyLine() const { return ready; }
  uint16_t httpPort() const { return http; }
  const std::string& directory() const { return dir; }

  void signal(int number);
  // Its exit status, or 128 + signal; fails the test after 10 s.
  int wait();
  bool isRunning();
  std::string log() const;  // stderr so far
  // Polls until the log holds `text`: another process writes it, so there is nothing to wait for.
  bool logSays(const std::string& text) const;

 private:
  std::string dir, unixAddress, tcp, ready;
  uint16_t http = 0;
  pid_t child = -1;
  int status = -1;
};

// A command that is expected to end by itself.
struct Finished {
  int status;
  std::string out, err;
};
Finished runScheduler(const std::vector<std::string>& args, const std::vector<std::string>& environment = {});

// A file with `text`, mode `mode`, gone with this object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text, int mode = 0600);
  ~TemporaryFile();
  const std::string& path() const { return name; }

 private:
  std::string name;
};

}  // namespace epochly::conformance

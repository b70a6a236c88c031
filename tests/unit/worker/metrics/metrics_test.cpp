#include "metrics/metrics.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/errors.h"

namespace epochly::metrics {
namespace {

using testing::HasSubstr;
using testing::Not;

std::set<std::string> matches(const std::string& text, const char* pattern) {
  std::set<std::string> found;
  std::regex regex(pattern);
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; at++) found.insert((*at)[1]);
  return found;
}

std::string readFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string get(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  std::string request = "GET /metrics HTTP/1.0\r\n\r\n", answer;
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  char piece[4096];
  for (ssize_t count; (count = read(fd, piece, sizeof(piece))) > 0;) answer.append(piece, count);
  close(fd);
  return answer;
}

TEST(WorkerMetrics, CountWhatHappens) {
  WorkerMetrics metrics;
  metrics.onExecutorStarted(run::Role::CPU, false);
  metrics.onExecutorStarted(run::Role::CPU, true);
  metrics.onExecutorReady(run::Role::CPU);
  metrics.onAttemptTaken(Level::THREADS);
  metrics.onAttemptRan(Level::THREADS, 20 * kj::MICROSECONDS);
  metrics.onAttemptEnded(Level::THREADS, run::Outcome::TIMEOUT);
  metrics.setAttempts(5, 2);
  auto page = metrics.page();
  EXPECT_THAT(page, HasSubstr("epochly_worker_executors{role=\"cpu\",state=\"starting\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("epochly_worker_executors{role=\"cpu\",state=\"ready\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("epochly_worker_executor_restarts_total{role=\"cpu\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("epochly_worker_attempts_taken_total{level=\"threads\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("epochly_worker_attempts_total{level=\"threads\",outcome=\"timeout\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("epochly_worker_attempt_run_seconds_bucket{level=\"threads\",le=\"2.5e-05\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("epochly_worker_attempts{state=\"queued\"} 5\n"));
  metrics.onExecutorGone(run::Role::CPU, true);
  EXPECT_THAT(metrics.page(), HasSubstr("epochly_worker_executors{role=\"cpu\",state=\"ready\"} 0\n"));
}

TEST(WorkerMetrics, SayNothingOfPythonBeforeItIsKnown) {
  WorkerMetrics metrics;
  EXPECT_THAT(metrics.page(), Not(HasSubstr("epochly_worker_info")));
  metrics.setPython("3.12");
  EXPECT_THAT(metrics.page(), HasSubstr("python=\"3.12\""));
}

TEST(WorkerMetrics, AreTheOnesInTheirTable) {
  WorkerMetrics metrics;
  metrics.setPython("3.11");
  auto exported = matches(metrics.page(), "# TYPE (\\w+) ");
  auto documented = matches(readFile(std::string(SOURCE_DIR) + "/docs/metrics-worker.md"), "\\| `(epochly_\\w+)` \\|");
  EXPECT_EQ(exported, documented);
}

TEST(WorkerMetrics, PassPromtool) {
  if (system("command -v promtool > /dev/null") != 0) GTEST_SKIP() << "promtool is not installed";
  WorkerMetrics metrics;
  metrics.setPython("3.11");
  FILE* promtool = popen("promtool check metrics", "w");
  auto page = metrics.page();
  fwrite(page.data(), 1, page.size(), promtool);
  EXPECT_EQ(pclose(promtool), 0);
}

TEST(WorkerMetrics, AreServedOverHttp) {
  WorkerMetrics metrics;
  uint16_t port = metrics.expose("127.0.0.1:0");
  EXPECT_THAT(get(port), HasSubstr("epochly_worker_joins_total 0"));
  metrics.onJoined();
  EXPECT_THAT(get(port), HasSubstr("epochly_worker_joins_total 1"));
}

TEST(WorkerMetrics, SayWhenTheirAddressIsTaken) {
  WorkerMetrics first, second;
  auto address = kj::str("127.0.0.1:", first.expose("127.0.0.1:0"));
  try {
    second.expose(address);
    FAIL() << "it is taken";
  } catch (const kj::Exception& e) {
    EXPECT_EQ(codeOf(e), ErrorCode::INVALID_ARGUMENT);
    EXPECT_THAT(e.getDescription().cStr(), HasSubstr(address.cStr()));
  }
}

}  // namespace
}  // namespace epochly::metrics

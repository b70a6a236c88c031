// How the process starts, refuses to start, and looks from outside.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/peers.h"
#include "conformance/process.h"

namespace epochly::conformance {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

long linesIn(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

// One request, one answer, over a connection of its own.
std::string ask(uint16_t port, const std::string& request) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  timeval patience{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) text.append(buffer, n);
  close(fd);
  return text;
}

std::string get(uint16_t port, const std::string& path, const std::string& more = "") {
  return ask(port, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + more + "\r\n");
}

std::string bodyOf(const std::string& response) {
  return response.substr(std::min(response.size(), response.find("\r\n\r\n") + 4));
}

// ---- starting ------------------------------------------------------------------------------------------------------

TEST(Start, SaysWhereItListensInOneLineOfJson) {
  SchedulerProcess scheduler;
  EXPECT_EQ(linesIn(scheduler.readyLine()), 1);
  EXPECT_THAT(scheduler.readyLine(), StartsWith("{\"event\":\"ready\",\"address\":\"" + scheduler.address() + "\","));
  EXPECT_THAT(scheduler.readyLine(), HasSubstr("\"pid\":" + std::to_string(scheduler.pid()) + "}"));
  EXPECT_GT(scheduler.httpPort(), 0);
}

TEST(Start, WithoutHttpThereIsNone) {
  SchedulerProcess scheduler({"--http", "off"});
  EXPECT_THAT(scheduler.readyLine(), HasSubstr("\"http\":null"));
}

TEST(Start, AMistakeIsOneLineAndExitTwo) {
  TemporaryFile openToOthers("00112233445566778899aabbccddeeff", 0644);
  TemporaryFile tooShort("secret");
  const std::vector<std::pair<std::vector<std::string>, const char*>> rows = {
      {{"--nonsense"}, "unknown option"},
      {{"--listen", "tcp://0.0.0.0:0"}, "--token-file"},
      {{"--http", "0.0.0.0:0"}, "--token-file"},
      {{"--token-file", "/no/such/file"}, "/no/such/file"},
      {{"--token-file", openToOthers.path()}, "chmod o-rwx"},
      {{"--token-file", tooShort.path()}, "32 to"},
      {{"--listen", "unix:/no/such/place/socket"}, "/no/such/place/socket"},
  };
  for (auto& [args, expected] : rows) {
    auto finished = runScheduler(args);
    EXPECT_EQ(finished.status, 2) << args[0] << finished.err;
    EXPECT_EQ(linesIn(finished.err), 1) << finished.err;
    EXPECT_EQ(finished.out, "");
    EXPECT_THAT(finished.err, HasSubstr(expected));
  }
}

TEST(Start, AnAddressThatIsTakenIsNamed) {
  SchedulerProcess scheduler;
  auto finished = runScheduler({"--listen", scheduler.address(), "--http", "off"});
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.err, HasSubstr("another process listens there"));
  auto tcp = runScheduler({"--listen", scheduler.tcpAddress(), "--http", "off"});
  EXPECT_EQ(tcp.status, 2) << tcp.err;
  EXPECT_THAT(tcp.err, HasSubstr(scheduler.tcpAddress()));
  auto http = runScheduler({"--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:" + std::to_string(scheduler.httpPort())});
  EXPECT_EQ(http.status, 2) << http.err;
}

TEST(Start, AfterSigkillTheSocketIsTakenOver) {
  SchedulerProcess first;
  first.signal(SIGKILL);
  first.wait();
  SchedulerProcess second({"--listen", first.address()});
  EXPECT_EQ(second.address(), first.address());
}

TEST(Start, HelpAndVersionAreAnswers) {
  auto help = runScheduler({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, HasSubstr("Examples:"));
  auto version = runScheduler({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_EQ(version.out, "epochly-scheduler " + std::string(SOFTWARE_VERSION) + "\n");
}

TEST(Start, TheEnvironmentCounts) {
  auto finished = runScheduler({}, {"EPOCHLY_TASKS_MAX=none"});
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.err, HasSubstr("EPOCHLY_TASKS_MAX"));
}

TEST(Start, WithATokenAWideAddressIsServed) {
  TemporaryFile token("00112233445566778899aabbccddeeff");
  SchedulerProcess scheduler({"--listen", "tcp://0.0.0.0:0", "--http", "0.0.0.0:0", "--token-file", token.path()});
  EXPECT_THAT(get(scheduler.httpPort(), "/api/v1/workers"), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(get(scheduler.httpPort(), "/metrics"), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(get(scheduler.httpPort(), "/readyz"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(get(scheduler.httpPort(), "/metrics", "Authorization: Bearer 00112233445566778899aabbccddeeff\r\n"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(get(scheduler.httpPort(), "/metrics", "Authorization: Bearer 10112233445566778899aabbccddeeff\r\n"),
              StartsWith("HTTP/1.1 401 "));
}

// ---- from outside --------------------------------------------------------------------------------------------------

TEST(Outside, MetricsAndRestTellTheSameOfTheSameTasks) {
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address(), Worker::Fields{.name = "box"});
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 5));
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 5; }));
  auto page = bodyOf(get(scheduler.httpPort(), "/metrics"));
  EXPECT_THAT(page, HasSubstr("epochly_tasks_submitted_total{level=\"monitor\"} 5\n"));
  EXPECT_THAT(
      page,
      HasSubstr(
          "epochly_tasks_finished_total{outcome=\"succeeded\",level=\"monitor\",function_group=\"tests.identity\"} 5\n"));
  EXPECT_THAT(page, HasSubstr("epochly_task_phase_seconds_count{phase=\"run\",level=\"monitor\"} 5\n"));
  EXPECT_THAT(page, HasSubstr("epochly_task_phase_seconds_bucket{phase=\"run\",level=\"monitor\",le=\"1e-05\"} 5\n"));
  EXPECT_THAT(page, HasSubstr("epochly_workers{state=\"ready\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("epochly_rpc_connections 2\n"));
  EXPECT_THAT(bodyOf(get(scheduler.httpPort(), "/api/v1/metrics")), HasSubstr("\"succeeded\":5"));
  EXPECT_THAT(bodyOf(get(scheduler.httpPort(), "/api/v1/workers")), HasSubstr("\"name\":\"box\""));
  auto task = kj::str("/api/v1/tasks/", toString(TaskId{SpaceId(client.space), 3}));
  EXPECT_THAT(bodyOf(get(scheduler.httpPort(), task.cStr())), HasSubstr("\"state\":\"succeeded\""));
}

TEST(Outside, PromtoolHasNothingToSayOfTheRealPage) {
  if (system("command -v promtool >/dev/null") != 0) GTEST_SKIP() << "promtool (Debian package prometheus) is not installed";
  SchedulerProcess scheduler;
  Loop loop;
  Worker worker(loop, scheduler.address());
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 5));
  ASSERT_TRUE(loop.until([&] { return client.results.size() == 5; }));
  TemporaryFile page(bodyOf(get(scheduler.httpPort(), "/metrics")));
  EXPECT_EQ(system(("promtool check metrics < " + page.path()).c_str()), 0);
}

TEST(Outside, NotReadyWhileItDrains) {
  SchedulerProcess scheduler;
  Loop loop;
  Client client(loop, scheduler.address());
  loop.wait(client.submit(1, 1));
  EXPECT_THAT(get(scheduler.httpPort(), "/readyz"), StartsWith("HTTP/1.1 200 "));
  scheduler.signal(SIGTERM);
  ASSERT_TRUE(scheduler.logSays("draining"));
  EXPECT_THAT(get(scheduler.httpPort(), "/readyz"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(get(scheduler.httpPort(), "/livez"), StartsWith("HTTP/1.1 200 "));
}

TEST(Outside, HttpAbuseLeavesItServing) {
  SchedulerProcess scheduler;
  auto port = scheduler.httpPort();
  EXPECT_THAT(ask(port, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(ask(port,
                  "POST /api/v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(port, std::string("\0\0\0\0\r\n\r\n", 8)), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(port, "GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(get(port, "/livez"), StartsWith("HTTP/1.1 200 "));
}

TEST(Outside, AtRestItIsSmall) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's memory is its own";
#endif
  SchedulerProcess scheduler;
  get(scheduler.httpPort(), "/metrics");
  std::ifstream statm("/proc/" + std::to_string(scheduler.pid()) + "/statm");
  uint64_t size = 0, resident = 0;
  statm >> size >> resident;
  EXPECT_LE(resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)), 25u << 20);
}

}  // namespace
}  // namespace epochly::conformance

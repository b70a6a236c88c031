// The server under callers that misbehave: small bounds, real sockets, a loop that answers or does not.
#include "rest/server.h"

#include <chrono>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/async-io.h>
#include <kj/debug.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/sched_env.h"

namespace epochly::rest {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

// A socket with patience of 10 s.
class Socket {
 public:
  explicit Socket(uint16_t port) : fd(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval patience{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Socket() { close(fd); }

  bool send(const std::string& text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  // Until `text` holds `count` responses' ends, or the other side closes.
  std::string readUntil(const std::string& mark) {
    std::string text;
    char buffer[4096];
    while (text.find(mark) == text.npos) {
      ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
      if (n <= 0) break;
      text.append(buffer, n);
    }
    return text;
  }
  std::string readAll() { return readUntil(std::string(1, '\x01')); }
  bool isClosed() { return readAll().empty(); }

 private:
  int fd;
};

// The server's mailbox on a thread of its own, as in the process.
class Served : public testing::Test {
 protected:
  HttpBounds bounds;
  size_t mailboxMax = 64;
  std::atomic<uint16_t> port{0};
  std::atomic<bool> stopping{false};
  std::atomic<bool> answers{true};  // false: the scheduler's loop is stuck
  std::thread loop;

  void serve() {
    loop = std::thread([this] { run(); });
    while (port == 0) std::this_thread::yield();
  }
  void TearDown() override {
    stopping = true;
    if (loop.joinable()) loop.join();
  }

  static std::string get(const std::string& path, const std::string& more = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
  }
  std::string ask(const std::string& request) {
    Socket socket(port);
    socket.send(request);
    return socket.readUntil("}\n");
  }

 private:
  void run() {
    auto io = kj::setupAsyncIo();
    test::SchedEnv env;
    rt::Mailbox mailbox(io.unixEventPort, mailboxMax);
    ServerOptions options;
    options.listen = KJ_ASSERT_NONNULL(rt::parseHostPort("127.0.0.1:0"));
    options.bounds = bounds;
    FigureSource figures{[] { return std::vector<LevelFigures>(); }, [] { return [] { return std::string("x 1\n"); }; }};
    Server server(
        std::move(options), mailbox,
        [&]() {
          return Moment{env.core, env.thresholds, env.now, 1e9};
        },
        figures);
    port = static_cast<uint16_t>(std::stoi(server.url().substr(server.url().rfind(':') + 1)));
    auto running = answers ? mailbox.run() : kj::Promise<void>(kj::NEVER_DONE);
    auto watched = running.eagerlyEvaluate(nullptr);
    while (!stopping) io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
  }
};

TEST_F(Served, AConnectionServesSeveralRequests) {
  serve();
  Socket socket(port);
  for (int i = 0; i < 3; i++) {
    socket.send(get("/readyz"));
    EXPECT_THAT(socket.readUntil("}\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  }
}

TEST_F(Served, PipelinedRequestsAreAnsweredInTheirOrder) {
  serve();
  Socket socket(port);
  socket.send(get("/livez") + get("/no/such") + get("/readyz", "Connection: close\r\n"));
  auto text = socket.readAll();
  auto first = text.find("\"alive\""), second = text.find(" 404 "), third = text.find("\"ready\"");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, text.npos);
}

TEST_F(Served, HeadIsGetWithoutTheBody) {
  serve();
  Socket socket(port);
  socket.send("HEAD /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  auto text = socket.readAll();
  EXPECT_THAT(text, HasSubstr("Content-Length: 19\r\n"));
  EXPECT_TRUE(text.ends_with("\r\n\r\n")) << text;
}

TEST_F(Served, WhoAsksForTheConnectionsEndGetsIt) {
  serve();
  Socket socket(port);
  socket.send(get("/livez", "Connection: close\r\n"));
  EXPECT_THAT(socket.readAll(), HasSubstr("alive"));
  Socket old(port);
  old.send("GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(old.readAll(), HasSubstr("alive"));
}

TEST_F(Served, ExpectContinueIsAnswered) {
  serve();
  Socket socket(port);
  socket.send(
      "POST /api/v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(socket.readUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.send("{}");
  EXPECT_THAT(socket.readUntil("}\n"), HasSubstr("200 OK"));
}

TEST_F(Served, AHeaderPastTheBoundIs431) {
  serve();
  EXPECT_THAT(ask(get("/livez", "X: " + std::string(bounds.headerBytesMax, 'x') + "\r\n")), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(ask(get("/livez", "X: " + std::string(bounds.headerBytesMax - 200, 'x') + "\r\n")),
              StartsWith("HTTP/1.1 200 "));
}

std::string post(const std::string& headers, const std::string& body) {
  return "POST /api/v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + headers + "\r\n" + body;
}

TEST_F(Served, ABodyPastTheBoundIs413BeforeItIsSent) {
  bounds.bodyBytesMax = 100;
  serve();
  EXPECT_THAT(ask(post("Content-Length: 101\r\n", "")), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(ask(post("Content-Length: 99999999999\r\n", "")), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(ask(post("Content-Length: 100\r\n", "{}" + std::string(98, ' '))), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(post("Transfer-Encoding: chunked\r\n", "65\r\n" + std::string(101, ' ') + "\r\n0\r\n\r\n")),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(Served, ChunksAreRead) {
  serve();
  EXPECT_THAT(ask(post("Transfer-Encoding: chunked\r\n", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Served, WhatIsNotHttpIs400) {
  serve();
  for (auto& text :
       {std::string("NONSENSE\r\n\r\n"), std::string("GET /livez HTTP/9.9\r\n\r\n"), std::string("GET  / HTTP/1.1\r\n\r\n"),
        get("/livez", "No colon\r\n"), post("Content-Length: -1\r\n", ""),
        post("Content-Length: 1\r\nContent-Length: 2\r\n", "{"), post("Transfer-Encoding: chunked\r\n", "xyz\r\n"),
        post("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15)}) {
    auto answer = ask(text);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 ")) << text;
    EXPECT_THAT(answer, HasSubstr("application/problem+json"));
  }
  EXPECT_THAT(ask("GET /livez HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 ")) << "no Host";
}

TEST_F(Served, AStrangersNameIs403AndItsBodyIsNotRead) {
  serve();
  EXPECT_THAT(ask("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask(get("/livez", "Origin: http://evil.example\r\n")), StartsWith("HTTP/1.1 403 "));
  auto answer = ask("POST /api/v1/classify HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 50000\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
}

TEST_F(Served, ASlowSenderIsCutOffHoweverSteadyItIs) {
  bounds.request = 200ms;
  serve();
  Socket socket(port);
  auto start = std::chrono::steady_clock::now();
  std::string request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ";
  socket.send(request);
  while (socket.send("x") && std::chrono::steady_clock::now() - start < 10s) std::this_thread::sleep_for(5ms);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_F(Served, AnIdleConnectionIsClosed) {
  bounds.idle = 50ms;
  serve();
  Socket silent(port);
  EXPECT_TRUE(silent.isClosed());
  Socket once(port);
  once.send(get("/livez"));
  EXPECT_THAT(once.readAll(), HasSubstr("alive"));  // and then the end
}

TEST_F(Served, PastTheBoundConnectionsAreTurnedAwayWithAReason) {
  bounds.connectionsMax = 2;
  serve();
  auto first = std::make_unique<Socket>(port);
  Socket second(port);
  first->send(get("/livez"));
  second.send(get("/livez"));
  first->readUntil("}\n");
  second.readUntil("}\n");
  Socket third(port);
  auto answer = third.readAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1\r\n"));
  first.reset();
  for (int i = 0; i < 1000; i++) {  // the server has yet to hear of it
    if (ask(get("/livez")).starts_with("HTTP/1.1 200 ")) return;
    std::this_thread::sleep_for(5ms);
  }
  FAIL() << "the place of a connection that ended is not given to another";
}

TEST_F(Served, PastTheBoundOfThoseTurnedAwayConnectionsAreClosedWithoutAWord) {
  bounds.connectionsMax = 1;
  bounds.turnedAwayMax = 3;
  bounds.discard = 60s;  // none of them goes by itself
  serve();
  Socket served(port);
  served.send(get("/livez"));
  served.readUntil("}\n");
  std::vector<std::unique_ptr<Socket>> turnedAway;
  for (size_t i = 0; i < bounds.turnedAwayMax; i++) {
    turnedAway.push_back(std::make_unique<Socket>(port));
    EXPECT_THAT(turnedAway.back()->readAll(), StartsWith("HTTP/1.1 503 ")) << i;
  }
  EXPECT_TRUE(Socket(port).isClosed());
  turnedAway.clear();
  for (int i = 0; i < 1000; i++) {  // the server has yet to hear of it
    if (Socket(port).readAll().starts_with("HTTP/1.1 503 ")) return;
    std::this_thread::sleep_for(5ms);
  }
  FAIL() << "the place of one that is gone is not given to another";
}

TEST_F(Served, WhoIsRefusedAndSendsOnIsCutOffAtTheBound) {
  constexpr size_t UNBOUNDED = 64u << 20;  // far more than the kernel holds of what nobody reads
  bounds.discardBytesMax = 64u << 10;
  bounds.discard = 60s;
  serve();
  Socket socket(port);
  socket.send(post("Content-Length: 99999999999\r\n", ""));
  EXPECT_THAT(socket.readUntil("}\n"), StartsWith("HTTP/1.1 413 "));
  std::string more(64u << 10, 'x');
  size_t sent = 0;
  while (sent < UNBOUNDED && socket.send(more)) sent += more.size();
  EXPECT_LT(sent, UNBOUNDED);
}

TEST_F(Served, WhoIsRefusedAndStaysIsCutOffInTime) {
  bounds.discard = 100ms;
  serve();
  Socket socket(port);
  socket.send(post("Content-Length: 99999999999\r\n", ""));
  EXPECT_THAT(socket.readUntil("}\n"), StartsWith("HTTP/1.1 413 "));
  auto start = std::chrono::steady_clock::now();
  while (socket.send("x") && std::chrono::steady_clock::now() - start < 10s) std::this_thread::sleep_for(5ms);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_F(Served, WithoutTheCoresAnswerItIsAliveAndNotReady) {
  answers = false;
  serve();
  EXPECT_THAT(ask(get("/livez")), StartsWith("HTTP/1.1 200 "));
  auto start = std::chrono::steady_clock::now();
  auto answer = ask(get("/readyz"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("did not answer in time"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, CORE_ANSWER_MAX);
}

TEST_F(Served, AFullMailboxIs503AtOnce) {
  answers = false;
  mailboxMax = 1;
  serve();
  Socket waiting(port);
  waiting.send(get("/readyz"));
  std::string answer;
  for (int i = 0; i < 100 && answer.find("too many requests") == answer.npos; i++) answer = ask(get("/metrics"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1\r\n"));
}

TEST_F(Served, AnAddressThatIsTakenIsNamed) {
  serve();
  auto io = kj::setupAsyncIo();
  rt::Mailbox mailbox(io.unixEventPort, 1);
  ServerOptions options;
  options.listen = KJ_ASSERT_NONNULL(rt::parseHostPort(kj::str("127.0.0.1:", port.load())));
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() {
                Server(
                    std::move(options), mailbox, []() -> Moment { KJ_UNREACHABLE; }, FigureSource{});
              })) {
    EXPECT_EQ(codeOf(*error), ErrorCode::INVALID_ARGUMENT);
    EXPECT_THAT(messageOf(*error).cStr(), HasSubstr("Address already in use"));
  } else {
    FAIL();
  }
}

}  // namespace
}  // namespace epochly::rest

#include "rest/access.h"

#include <gtest/gtest.h>
#include <kj/debug.h>

namespace epochly::rest {
namespace {

rt::Address listening(const char* text) { return KJ_ASSERT_NONNULL(rt::parseHostPort(text)); }

bool mayAsk(const Access& access, const char* host, const char* origin = nullptr) {
  Caller caller;
  if (host != nullptr) caller.host = host;
  if (origin != nullptr) caller.origin = origin;
  return !access.refuseName(caller);
}

TEST(Access, OnLoopbackOnlyLoopbackNamesWork) {
  Access access(listening("127.0.0.1:8080"), {}, nullptr);
  for (const char* host :
       {"localhost", "localhost:8080", "LocalHost:1", "127.0.0.1", "127.0.0.1:8080", "127.8.9.1", "[::1]:8080"}) {
    EXPECT_TRUE(mayAsk(access, host)) << host;
  }
  for (const char* host :
       {"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[::1",
        "localhost:", "localhost:80:80", "localhost:x", "localhost@evil.example"}) {
    EXPECT_FALSE(mayAsk(access, host)) << host;
  }
  EXPECT_FALSE(mayAsk(access, nullptr)) << "a request without Host";
}

TEST(Access, TheOriginCountsTooIfThereIsOne) {
  Access access(listening("127.0.0.1:8080"), {}, nullptr);
  EXPECT_TRUE(mayAsk(access, "localhost", "http://localhost:3000"));
  EXPECT_FALSE(mayAsk(access, "localhost", "https://evil.example"));
  EXPECT_FALSE(mayAsk(access, "localhost", "null"));
  EXPECT_FALSE(mayAsk(access, "localhost", ""));
}

TEST(Access, NamesCanBeAllowed) {
  Access access(listening("10.1.2.3:8080"), {"Epochly.Example"}, nullptr);
  EXPECT_TRUE(mayAsk(access, "epochly.example:443", "https://epochly.example"));
  EXPECT_TRUE(mayAsk(access, "10.1.2.3:8080")) << "where it listens";
  EXPECT_FALSE(mayAsk(access, "10.1.2.4:8080"));
}

TEST(Access, ListeningEverywhereAnyLiteralAddressNamesIt) {
  Access access(listening("0.0.0.0:8080"), {}, nullptr);
  EXPECT_TRUE(mayAsk(access, "10.1.2.4:8080"));
  EXPECT_TRUE(mayAsk(access, "[fe80::1]:8080"));
  EXPECT_FALSE(mayAsk(access, "evil.example:8080"));
}

TEST(Access, ATokenIsAskedForWhereThereIsOne) {
  auto token = Token::of("00112233445566778899aabbccddeeff");
  Access closed(listening("127.0.0.1:0"), {}, token), open(listening("127.0.0.1:0"), {}, nullptr);
  auto refused = [&](const Access& access, const char* authorization) {
    Caller caller;
    if (authorization != nullptr) caller.authorization = authorization;
    auto reply = access.refuseToken(caller);
    if (reply) {
      EXPECT_EQ(reply->status, 401u);
      EXPECT_EQ(reply->headers[0].first, "WWW-Authenticate");
    }
    return reply.has_value();
  };
  EXPECT_FALSE(refused(open, nullptr));
  EXPECT_FALSE(refused(closed, "Bearer 00112233445566778899aabbccddeeff"));
  EXPECT_FALSE(refused(closed, "bearer 00112233445566778899aabbccddeeff"));
  for (const char* text : {"Bearer 00112233445566778899aabbccddeefe", "Bearer", "", "Basic 00112233445566778899aabbccddeeff",
                           "00112233445566778899aabbccddeeff", "Bearer  00112233445566778899aabbccddeeff"}) {
    EXPECT_TRUE(refused(closed, text)) << text;
  }
  EXPECT_TRUE(refused(closed, nullptr));
}

}  // namespace
}  // namespace epochly::rest

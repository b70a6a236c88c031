#include "rt/address.h"

#include <string>

#include <gtest/gtest.h>

namespace epochly::rt {
namespace {

struct Row {
  const char* text;
  Reach reach;
  const char* forKj;
};

TEST(Address, ReadsWhatUsersWriteAndKnowsWhoCanReachIt) {
  const Row rows[] = {
      {"unix:/tmp/s", Reach::UNIX_SOCKET, "unix:/tmp/s"},
      {"tcp://127.0.0.1:80", Reach::LOOPBACK, "127.0.0.1:80"},
      {"tcp://localhost:0", Reach::LOOPBACK, "localhost:0"},
      {"tcp://[::1]:9", Reach::LOOPBACK, "[::1]:9"},
      {"tcp://0.0.0.0:9", Reach::NETWORK, "0.0.0.0:9"},
      {"tcp://scheduler.example:9", Reach::NETWORK, "scheduler.example:9"},
      {"tcp://:9", Reach::LOOPBACK, "127.0.0.1:9"},
  };
  for (auto& row : rows) {
    KJ_IF_MAYBE(address, parseAddress(row.text)) {
      EXPECT_EQ(address->reach, row.reach) << row.text;
      EXPECT_STREQ(address->forKj().cStr(), row.forKj);
      KJ_IF_MAYBE(again, parseAddress(address->toString())) {
        EXPECT_EQ(again->reach, row.reach);
      } else {
        FAIL() << address->toString().cStr();
      }
    } else {
      FAIL() << row.text;
    }
  }
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text : {"", "unix:", "tcp://", "tcp://host", "tcp://host:", "tcp://host:65536", "tcp://host:x", "host:80",
                           "tcp://::1:9", "http://host:80"}) {
    EXPECT_TRUE(parseAddress(text) == nullptr) << text;
  }
  EXPECT_TRUE(parseAddress(kj::str("unix:/", kj::strArray(kj::heapArray<char>(107), ""))) == nullptr)
      << "108 bytes do not fit sun_path";
}

}  // namespace
}  // namespace epochly::rt

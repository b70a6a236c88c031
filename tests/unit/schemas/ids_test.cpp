#include "wire/ids.h"

#include <unistd.h>

#include <gtest/gtest.h>

namespace epochly {
namespace {

TEST(Ids, ATaskIdReadsBackFromItsText) {
  TaskId id{SpaceId(0xfedcba9876543210ull), 18446744073709551615ull};
  KJ_IF_MAYBE(read, parseTaskId(toString(id))) {
    EXPECT_EQ(*read, id);
  } else {
    FAIL() << toString(id).cStr();
  }
}

TEST(Ids, TextThatIsNoTaskIdIsRefused) {
  for (const char* text : {"", "-", "12-3", "fedcba9876543210-", "fedcba9876543210-x", "fedcba987654321g-1",
                           "fedcba9876543210-1 ", "fedcba9876543210-99999999999999999999"}) {
    EXPECT_TRUE(parseTaskId(text) == nullptr) << text;
  }
}

TEST(Ids, AFunctionHashReadsBackFromItsText) {
  FunctionHash hash{1, 0xffffffffffffffffull};
  KJ_IF_MAYBE(read, parseFunctionHash(toString(hash))) {
    EXPECT_EQ(*read, hash);
  } else {
    FAIL();
  }
  EXPECT_TRUE(parseFunctionHash("00") == nullptr);
}

TEST(Ids, LevelsAreTheGuidesNumbers) {
  EXPECT_STREQ(levelName(Level::MONITOR).cStr(), "monitor");
  EXPECT_STREQ(levelName(Level::GPU).cStr(), "gpu");
  EXPECT_STREQ(capabilityName(Level::THREADS).cStr(), "io");
  EXPECT_TRUE(levelFromNumber(5) == nullptr);
  EXPECT_TRUE(levelFromNumber(-1) == nullptr);
}

TEST(Ids, ThisHostIsKnownAndStable) {
  EXPECT_NE(thisHost().value, 0u);
  EXPECT_EQ(thisHost(), thisHost());
}

TEST(Ids, UsersWhoCannotOpenEachOthersMemoryAreOnDifferentHosts) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  auto mine = thisHost();
  ASSERT_EQ(seteuid(65534), 0);
  auto theirs = thisHost();
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_NE(theirs.value, 0u);
  EXPECT_NE(theirs, mine);
  EXPECT_EQ(thisHost(), mine);
}

}  // namespace
}  // namespace epochly

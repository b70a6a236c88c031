#include "objects/name.h"

#include <gtest/gtest.h>

namespace epochly::objects {
namespace {

TEST(ObjectName, ReadsBackAsItWasWritten) {
  Name name{1000, 0x12ab, 0xdeadbeef};
  EXPECT_STREQ(name.toString().cStr(), "/epochly-1000-000012abdeadbeef");
  KJ_IF_MAYBE(read, parseName(name.toString())) {
    EXPECT_EQ(read->uid, 1000u);
    EXPECT_EQ(read->creator, 0x12ab);
    EXPECT_EQ(read->number, 0xdeadbeef);
  } else {
    FAIL();
  }
}

TEST(ObjectName, IsRefusedUnlessItIsExactlyOne) {
  for (auto text : {"", "/", "/epochly-", "/epochly-1000-", "/epochly-1000-000012abdeadbee",
                    "/epochly-1000-000012abdeadbeef0", "/epochly-1000-000012ABDEADBEEF", "epochly-1000-000012abdeadbeef",
                    "/epochly-01000-000012abdeadbeef", "/epochly--1-000012abdeadbeef", "/epochly-1000-00000000deadbeef",
                    "/epochly-1000-ffffffffdeadbeef", "/epochly-1000-../../etc/passwd", "/epochly-1000-0000/2abdeadbeef",
                    "/../epochly-1000-000012abdeadbeef", "/epochly-99999999999-000012abdeadbeef"}) {
    EXPECT_TRUE(parseName(text) == nullptr) << text;
  }
}

}  // namespace
}  // namespace epochly::objects

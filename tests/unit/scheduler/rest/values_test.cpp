#include "rest/json.h"

#include <gtest/gtest.h>

#include "rest/target.h"

namespace epochly::rest {
namespace {

TEST(Json, UnknownIsNullAndNeverZero) {
  EXPECT_TRUE(number(core::UNKNOWN).is_null());
  EXPECT_EQ(number(0), json::value(0.0));
  EXPECT_TRUE(known(0).is_null());
  EXPECT_TRUE(seconds(core::Timings::NONE).is_null());
  EXPECT_EQ(seconds(1'500'000'000), json::value(1.5));
  EXPECT_TRUE(level(-1).is_null());
}

TEST(Json, TimesAreRfc3339) {
  EXPECT_EQ(time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(time(1795424444.125), "2026-11-23T09:00:44.125Z");
}

TEST(Target, IsTakenApart) {
  auto target = parseTarget("/api/v1/tasks/a%2Db?limit=10&cursor=a%26b&empty&x=1+2&");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/api/v1/tasks/a-b");
  EXPECT_EQ(target->query["limit"], "10");
  EXPECT_EQ(target->query["cursor"], "a&b");
  EXPECT_EQ(target->query["x"], "1 2");
  EXPECT_EQ(target->query.count("empty"), 1u);
}

TEST(Target, ThatIsNoPathIsRefused) {
  for (const char* text : {"", "*", "http://localhost/livez", "livez", "/%", "/%4", "/%zz", "/a?b=%"}) {
    EXPECT_FALSE(parseTarget(text)) << text;
  }
}

}  // namespace
}  // namespace epochly::rest

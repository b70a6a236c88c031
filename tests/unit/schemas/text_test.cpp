#include "wire/text.h"

#include <gtest/gtest.h>

namespace epochly {
namespace {

TEST(Text, StaysWholeUpToTheBound) {
  EXPECT_STREQ(cut("12345", 5).cStr(), "12345");
  EXPECT_STREQ(cut("123456", 5).cStr(), "12...");
}

TEST(Text, IsNeverCutInsideACharacter) {
  kj::StringPtr text = "a\u00e9\u00e9\u00e9\u00e9";  // two bytes each after the first
  for (size_t bound = 3; bound < text.size(); bound++) {
    auto shortened = cut(text, bound);
    EXPECT_LE(shortened.size(), bound);
    EXPECT_EQ((shortened.size() - 3) % 2, shortened.size() > 3 ? 1u : 0u) << bound;
  }
}

TEST(Text, BytesThatAreNoUtf8BecomeQuestionMarks) {
  EXPECT_STREQ(cut("caf\xe9", 99).cStr(), "caf?");
  EXPECT_STREQ(cut("\xc0\x80\xed\xa0\x80\xf5", 99).cStr(), "??????");
  EXPECT_STREQ(cut("\xe2\x82", 99).cStr(), "??");
  EXPECT_STREQ(cut("\xf0\x9f\x98\x80 \u20ac", 99).cStr(), "\xf0\x9f\x98\x80 \u20ac");
}

}  // namespace
}  // namespace epochly

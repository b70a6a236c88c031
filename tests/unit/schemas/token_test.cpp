#include "wire/token.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/errors.h"

namespace epochly {
namespace {

const std::string GOOD = "0123456789abcdef0123456789abcdef";

struct TokenFile {
  char path[32] = "/tmp/epochly-token-XXXXXX";
  TokenFile(const std::string& text, mode_t mode) {
    close(mkstemp(path));
    std::ofstream(path) << text;
    chmod(path, mode);
  }
  ~TokenFile() { unlink(path); }
};

std::string refusal(const char* path) {
  std::string message;
  KJ_IF_MAYBE(e, kj::runCatchingExceptions([&] { Token::load(path); })) {
    EXPECT_EQ(codeOf(*e), ErrorCode::INVALID_ARGUMENT);
    message = messageOf(*e).cStr();
  }
  return message;
}

bool matches(const Token& token, const std::string& text) {
  return token.matches(kj::StringPtr(text.c_str(), text.size()).asBytes());
}

TEST(Token, OnlyTheSameBytesMatch) {
  auto token = Token::of(GOOD.c_str());
  EXPECT_TRUE(matches(token, GOOD));
  EXPECT_FALSE(matches(token, ""));
  EXPECT_FALSE(matches(token, GOOD.substr(1)));
  EXPECT_FALSE(matches(token, GOOD + "0"));
  EXPECT_FALSE(matches(token, GOOD + GOOD)) << "a repetition of it is not it";
  for (size_t i = 0; i < GOOD.size(); i++) {
    auto other = GOOD;
    other[i] ^= 1;
    EXPECT_FALSE(matches(token, other)) << i;
  }
}

TEST(Token, ReadsAFileWithoutTheWhiteSpaceAroundIt) {
  TokenFile file(" " + GOOD + "\r\n", 0600);
  EXPECT_TRUE(matches(Token::load(file.path), GOOD));
}

TEST(Token, AGroupMayReadTheFileButOthersMayNot) {
  TokenFile group(GOOD, 0440);
  EXPECT_EQ(refusal(group.path), "");
  TokenFile others(GOOD, 0604);
  EXPECT_NE(refusal(others.path).find("chmod o-rwx"), std::string::npos);
}

TEST(Token, LengthIsBoundedOnBothSides) {
  EXPECT_NE(refusal(TokenFile(GOOD.substr(1), 0600).path), "");
  EXPECT_EQ(refusal(TokenFile(std::string(TOKEN_BYTES_MAX, 'x'), 0600).path), "");
  EXPECT_NE(refusal(TokenFile(std::string(TOKEN_BYTES_MAX + 1, 'x'), 0600).path), "");
  EXPECT_NE(refusal(TokenFile(std::string(TOKEN_BYTES_MAX * 9, 'x'), 0600).path), "");
}

TEST(Token, WhatAHeaderCannotCarryIsRefused) {
  EXPECT_NE(refusal(TokenFile(GOOD + " " + GOOD, 0600).path).find("ASCII"), std::string::npos);
}

TEST(Token, AMissingFileOrADirectoryIsNamed) {
  EXPECT_NE(refusal("/tmp/epochly-no-such-token").find("/tmp/epochly-no-such-token"), std::string::npos);
  EXPECT_NE(refusal("/tmp").find("/tmp"), std::string::npos);
}

}  // namespace
}  // namespace epochly

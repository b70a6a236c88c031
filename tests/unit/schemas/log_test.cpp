#include "rt/log.h"

#include <string>

#include <gtest/gtest.h>

namespace epochly::rt {
namespace {

using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

struct AtLevel {
  explicit AtLevel(LogLevel level) { setLogLevel(level); }
  ~AtLevel() { setLogLevel(LogLevel::WARNING); }
};

TEST(Log, ALineSaysWhenHowGraveAndWhat) {
  AtLevel level(LogLevel::INFO);
  CaptureStderr();
  log::info("worker ", 7, " joined");
  auto line = GetCapturedStderr();
  ASSERT_EQ(line.size(), std::string("2026-11-23T09:00:44.123Z info  worker 7 joined\n").size());
  EXPECT_EQ(line[10], 'T');
  EXPECT_EQ(line.substr(23), "Z info  worker 7 joined\n");
}

TEST(Log, WhatAPeerSaysStaysOnItsLine) {
  AtLevel level(LogLevel::INFO);
  CaptureStderr();
  log::warning("name \x1b[2J\nfatal forged\r");
  auto line = GetCapturedStderr();
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(line.find('\x1b'), line.npos);
}

TEST(Log, LessGraveThanTheLevelIsNotWritten) {
  AtLevel level(LogLevel::ERROR);
  CaptureStderr();
  log::info("a");
  log::warning("b");
  log::error("c");
  EXPECT_EQ(GetCapturedStderr().substr(24), " error c\n");
}

TEST(Log, WhatKjLogsIsALineToo) {
  AtLevel level(LogLevel::INFO);
  LogLines lines;
  CaptureStderr();
  KJ_LOG(WARNING, "odd");
  EXPECT_NE(GetCapturedStderr().find("Z warn  odd ("), std::string::npos);
}

TEST(Log, LevelsAreWords) {
  for (const char* word : {"debug", "info", "WARNING", "warn", "error"}) EXPECT_FALSE(parseLogLevel(word) == nullptr) << word;
  EXPECT_TRUE(parseLogLevel("loud") == nullptr);
}

}  // namespace
}  // namespace epochly::rt

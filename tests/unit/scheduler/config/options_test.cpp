#include "config/options.h"

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/flags.h"

namespace epochly::config {
namespace {

using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

kj::OneOf<Options, Answer, Mistake> parsed(std::vector<const char*> args, Variables variables = {}) {
  kj::Vector<kj::StringPtr> list;
  for (auto arg : args) list.add(arg);
  Environment environment = [&](kj::StringPtr name) -> kj::Maybe<kj::StringPtr> {
    auto found = variables.find(name.cStr());
    if (found == variables.end()) return nullptr;
    return kj::StringPtr(found->second.c_str());
  };
  return parse(list, environment);
}

Options options(std::vector<const char*> args, Variables variables = {}) {
  auto result = parsed(std::move(args), std::move(variables));
  if (result.is<Mistake>()) ADD_FAILURE() << result.get<Mistake>().text.cStr();
  return result.is<Options>() ? kj::mv(result.get<Options>()) : Options();
}

std::string mistake(std::vector<const char*> args, Variables variables = {}) {
  auto result = parsed(std::move(args), std::move(variables));
  return result.is<Mistake>() ? result.get<Mistake>().text.cStr() : "";
}

std::string http(const Options& options) {
  KJ_IF_MAYBE(address, options.http) {
    return address->forKj().cStr();
  }
  return "off";
}

TEST(Options, ByDefaultListenOnLoopbackOnly) {
  auto given = options({});
  ASSERT_EQ(given.listen.size(), 1u);
  EXPECT_EQ(given.listen[0].reach, rt::Reach::LOOPBACK);
  EXPECT_EQ(http(given), "127.0.0.1:8080");
  EXPECT_EQ(given.limits.tasksMax, core::Limits().tasksMax);
}

TEST(Options, FlagsWinOverVariablesAndThoseOverDefaults) {
  Variables variables{{"EPOCHLY_TASKS_MAX", "5"}, {"EPOCHLY_LISTEN", "unix:/a,unix:/b"}, {"EPOCHLY_HTTP", "off"}};
  auto fromVariables = options({}, variables);
  EXPECT_EQ(fromVariables.limits.tasksMax, 5u);
  ASSERT_EQ(fromVariables.listen.size(), 2u);
  EXPECT_STREQ(fromVariables.listen[1].path.cStr(), "/b");
  EXPECT_EQ(http(fromVariables), "off");
  auto fromFlags = options({"--tasks-max", "6", "--listen", "unix:/c", "--http=:9"}, variables);
  EXPECT_EQ(fromFlags.limits.tasksMax, 6u);
  ASSERT_EQ(fromFlags.listen.size(), 1u);
  EXPECT_STREQ(fromFlags.listen[0].path.cStr(), "/c");
  EXPECT_EQ(http(fromFlags), "127.0.0.1:9");
}

TEST(Options, SetWhatTheyName) {
  auto given = options({"--argument-bytes-max",
                        "2GiB",
                        "--heartbeat-ms",
                        "250",
                        "--client-grace-seconds",
                        "0",
                        "--threshold-io-wait-ratio",
                        "0.25",
                        "--threshold-data-size-gpu",
                        "1e7",
                        "--drain-seconds",
                        "5",
                        "--parent-pid",
                        "1",
                        "--log-level",
                        "warning",
                        "--http-allow-host",
                        "a",
                        "--http-allow-host",
                        "b"});
  EXPECT_EQ(given.limits.argumentBytesMax, 2ull << 30);
  EXPECT_EQ(given.limits.heartbeat, 250 * kj::MILLISECONDS);
  EXPECT_EQ(given.limits.clientGrace, 0 * kj::SECONDS);
  EXPECT_EQ(given.thresholds.ioWaitRatio, 0.25);
  EXPECT_EQ(given.thresholds.dataSizeGpu, 1e7);
  EXPECT_EQ(given.drain, 5 * kj::SECONDS);
  EXPECT_EQ(given.logLevel, rt::LogLevel::WARNING);
  EXPECT_EQ(given.httpAllowHosts.size(), 2u);
}

TEST(Options, WiderAddressesNeedATokenFile) {
  EXPECT_THAT(mistake({"--listen", "tcp://0.0.0.0:1"}), HasSubstr("--token-file"));
  EXPECT_THAT(mistake({"--listen", "tcp://box.example:1"}), HasSubstr("--token-file"));
  EXPECT_THAT(mistake({"--http", "[::]:1"}), HasSubstr("--token-file"));
  EXPECT_THAT(mistake({}, {{"EPOCHLY_LISTEN", "tcp://10.0.0.1:1"}}), HasSubstr("--token-file"));
  EXPECT_EQ(mistake({"--listen", "tcp://0.0.0.0:1", "--http", "0.0.0.0:2", "--token-file", "t"}), "");
}

TEST(Options, MistakesAreOneLineThatNamesTheFlag) {
  std::vector<std::pair<std::vector<const char*>, const char*>> rows = {
      {{"--tasks-max", "0"}, "--tasks-max"},
      {{"--tasks-max", "many"}, "'many'"},
      {{"--tasks-max", "-1"}, "--tasks-max"},
      {{"--tasks-max"}, "needs a value"},
      {{"--listen", "host:1"}, "tcp://HOST:PORT"},
      {{"--http", "nowhere"}, "--http"},
      {{"--store", "disk"}, "--store"},
      {{"--log-level", "loud"}, "--log-level"},
      {{"--parent-pid", "0"}, "--parent-pid"},
      {{"--threshold-io-wait-ratio", "1.5"}, "from 0 to 1"},
      {{"--threshold-io-wait-ratio", "nan"}, "nan"},
      {{"--argument-bytes-max", "1TB"}, "1TB"},
      {{"--no-such"}, "unknown option '--no-such'"},
      {{"stray"}, "unexpected argument 'stray'"},
      {{"--task", "1"}, "unknown option"},
      {{"--", "1"}, "unknown option"},
  };
  for (auto& [args, expected] : rows) {
    auto text = mistake(args);
    EXPECT_THAT(text, HasSubstr(expected)) << args[0];
    EXPECT_EQ(text.find('\n'), text.npos) << text;
  }
  EXPECT_THAT(mistake({}, {{"EPOCHLY_TASKS_MAX", "x"}}), HasSubstr("EPOCHLY_TASKS_MAX"));
}

TEST(Options, HelpShowsEveryFlagWithItsDefault) {
  auto result = parsed({"--help", "--nonsense"});
  ASSERT_TRUE(result.is<Answer>());
  std::string help = result.get<Answer>().text.cStr();
  for (auto& group : flagGroups()) {
    for (auto& flag : group.flags) EXPECT_THAT(help, HasSubstr(kj::str("--", flag.name, " ", flag.value).cStr()));
  }
  EXPECT_THAT(help, HasSubstr("Examples:"));
  EXPECT_THAT(help, HasSubstr("[4000000]"));
}

// One rule for their names, so that nobody has to look them up.
TEST(Options, VariablesAreNamedAfterTheirFlags) {
  for (auto& group : flagGroups()) {
    for (auto& flag : group.flags) {
      if (flag.name == "parent-pid") continue;
      std::string expected = "EPOCHLY_";
      for (char c : flag.name) expected += c == '-' ? '_' : static_cast<char>(std::toupper(c));
      if (flag.name == "log-level") expected = "EPOCHLY_LOG";
      EXPECT_STREQ(flag.variable.cStr(), expected.c_str());
    }
  }
}

TEST(Options, EveryDefaultIsAValueThatItsFlagTakes) {
  for (auto& group : flagGroups()) {
    for (auto& flag : group.flags) {
      auto shown = flag.show(Options());
      if (shown.size() == 0) continue;
      Options options;
      EXPECT_TRUE(flag.set(options, shown) == nullptr) << flag.name.cStr() << " " << shown.cStr();
      EXPECT_STREQ(flag.show(options).cStr(), shown.cStr());
    }
  }
}

TEST(Options, BytesMayHaveASuffix) {
  EXPECT_EQ(parseBytes("64").orDefault(0), 64u);
  EXPECT_EQ(parseBytes("64KiB").orDefault(0), 65536u);
  EXPECT_EQ(parseBytes("1GiB").orDefault(0), 1u << 30);
  for (const char* text : {"", "GiB", "1 GiB", "1gib", "-1", "18446744073709551615GiB"}) {
    EXPECT_TRUE(parseBytes(text) == nullptr) << text;
  }
}

}  // namespace
}  // namespace epochly::config

#include "config/options.h"

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <kj/vector.h>

#include "wire/task_spec.h"

namespace epochly::worker::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct CommandLine {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> variables;

  kj::OneOf<Options, Answer, Mistake> parse() {
    kj::Vector<kj::StringPtr> args;
    for (auto& argument : arguments) args.add(argument.c_str());
    Environment environment = [this](kj::StringPtr name) -> kj::Maybe<kj::StringPtr> {
      auto found = variables.find(name.cStr());
      if (found == variables.end()) return nullptr;
      return kj::StringPtr(found->second.c_str());
    };
    return config::parse(args, environment);
  }
  Options options() {
    auto parsed = parse();
    if (parsed.is<Mistake>()) ADD_FAILURE() << parsed.get<Mistake>().text.cStr();
    return kj::mv(parsed.get<Options>());
  }
  std::string mistake() {
    auto parsed = parse();
    return parsed.is<Mistake>() ? parsed.get<Mistake>().text.cStr() : "no mistake";
  }
};

CommandLine with(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "--scheduler=unix:/run/s");
  return {arguments, {}};
}

TEST(WorkerOptions, HaveDefaults) {
  auto options = with({}).options();
  EXPECT_STREQ(KJ_ASSERT_NONNULL(options.scheduler).path.cStr(), "/run/s");
  EXPECT_STREQ(options.python.cStr(), "python3");
  EXPECT_TRUE(options.cpuSlots == nullptr && options.metrics == nullptr && options.tokenFile == nullptr);
  EXPECT_EQ(options.ioThreads, 256u);
}

TEST(WorkerOptions, AreReadFromTheCommandLine) {
  auto options = with({"--name",
                       "box",
                       "--python=/opt/python",
                       "--cpu-slots",
                       "3",
                       "--io-threads=64",
                       "--token-file",
                       "token",
                       "--metrics",
                       ":9100",
                       "--executor-memory",
                       "2GiB",
                       "--executor-open-files",
                       "512",
                       "--executor-user",
                       "nobody",
                       "--parent-pid",
                       "42",
                       "--log-level",
                       "error",
                       "--log-file",
                       "log"})
                     .options();
  EXPECT_STREQ(KJ_ASSERT_NONNULL(options.name).cStr(), "box");
  EXPECT_STREQ(options.python.cStr(), "/opt/python");
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.cpuSlots), 3u);
  EXPECT_EQ(options.ioThreads, 64u);
  EXPECT_STREQ(KJ_ASSERT_NONNULL(options.tokenFile).cStr(), "token");
  EXPECT_TRUE(KJ_ASSERT_NONNULL(options.metrics).reach == rt::Reach::LOOPBACK) << "no host: this machine only";
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.executorMemory), 2ull << 30);
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.executorOpenFiles), 512u);
  EXPECT_STREQ(KJ_ASSERT_NONNULL(options.executorUser).cStr(), "nobody");
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.parentPid), 42);
  EXPECT_TRUE(options.logLevel == rt::LogLevel::ERROR);
  EXPECT_STREQ(KJ_ASSERT_NONNULL(options.logFile).cStr(), "log");
}

TEST(WorkerOptions, GoUpToTheirBounds) {
  auto options = with({"--cpu-slots", std::to_string(CPU_SLOTS_MAX), "--executor-open-files",
                       std::to_string(EXECUTOR_OPEN_FILES_MIN), "--executor-memory", std::to_string(EXECUTOR_MEMORY_MIN)})
                     .options();
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.cpuSlots), CPU_SLOTS_MAX);
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.executorOpenFiles), EXECUTOR_OPEN_FILES_MIN);
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.executorMemory), EXECUTOR_MEMORY_MIN);
  EXPECT_THAT(with({"--executor-open-files", std::to_string(EXECUTOR_OPEN_FILES_MIN - 1)}).mistake(),
              HasSubstr("from 64 to"));
  EXPECT_THAT(with({"--executor-memory", std::to_string(EXECUTOR_MEMORY_MIN - 1)}).mistake(),
              HasSubstr("at least 67108864"));
}

TEST(WorkerOptions, FallBackToTheEnvironment) {
  CommandLine line{{}, {{"EPOCHLY_ADDRESS", "tcp://box:7070"}, {"EPOCHLY_LOG", "debug"}}};
  auto options = line.options();
  EXPECT_EQ(KJ_ASSERT_NONNULL(options.scheduler).port, 7070);
  EXPECT_TRUE(options.logLevel == rt::LogLevel::DEBUG);
  line.arguments = {"--scheduler", "unix:/run/s", "--log-level", "error"};
  EXPECT_TRUE(line.options().logLevel == rt::LogLevel::ERROR) << "a flag wins";
}

TEST(WorkerOptions, ThatAreWrongAreOneClearLine) {
  struct Case {
    std::vector<std::string> arguments;
    const char* says;
  };
  for (auto& wrong : std::vector<Case>{{{"--cpu-slots", "0"}, "from 1 to 4096"},
                                       {{"--cpu-slots", "4097"}, "from 1 to 4096"},
                                       {{"--cpu-slots", "two"}, "from 1 to 4096"},
                                       {{"--io-threads", "1025"}, "from 1 to 1024"},
                                       {{"--io-threads=-1"}, "from 1 to 1024"},
                                       {{"--scheduler", "localhost:7070"}, "unix:PATH or tcp://HOST:PORT"},
                                       {{"--scheduler", "tcp://localhost:0"}, "port is missing"},
                                       {{"--metrics", "9100"}, "HOST:PORT"},
                                       {{"--executor-memory", "2TB"}, "number of bytes"},
                                       {{"--executor-memory", "1MiB"}, "at least 67108864"},
                                       {{"--parent-pid", "x"}, "whole number"},
                                       {{"--log-level", "loud"}, "debug, info, warning or error"},
                                       {{"--name", ""}, "expected a value"},
                                       {{"--name"}, "--name"},
                                       {{"--frobnicate"}, "--frobnicate"},
                                       {{"stray"}, "stray"}}) {
    auto text = with(wrong.arguments).mistake();
    EXPECT_THAT(text, AllOf(StartsWith("epochly-worker: "), HasSubstr(wrong.says), Not(HasSubstr("\n"))));
  }
  EXPECT_THAT((CommandLine{{}, {}}.mistake()), HasSubstr("--scheduler is missing"));
  EXPECT_THAT((CommandLine{{}, {{"EPOCHLY_ADDRESS", "nonsense"}}}.mistake()), HasSubstr("EPOCHLY_ADDRESS=nonsense"));
}

TEST(WorkerOptions, HelpNamesEveryOptionAndVersionTheVersion) {
  auto help = CommandLine{{"--help"}, {}}.parse();
  ASSERT_TRUE(help.is<Answer>());
  for (auto option :
       {"--scheduler", "--name", "--python", "--cpu-slots", "--io-threads", "--token-file", "--metrics", "--executor-memory",
        "--executor-open-files", "--executor-user", "--parent-pid", "--log-level", "--log-file"}) {
    EXPECT_THAT(help.get<Answer>().text.cStr(), HasSubstr(option));
  }
  auto version = CommandLine{{"--version"}, {}}.parse();
  ASSERT_TRUE(version.is<Answer>());
  EXPECT_THAT(version.get<Answer>().text.cStr(), HasSubstr(SOFTWARE_VERSION));
}

}  // namespace
}  // namespace epochly::worker::config

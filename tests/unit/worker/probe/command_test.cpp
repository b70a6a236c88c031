#include "probe/command.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace epochly::probe {
namespace {

using testing::HasSubstr;

CommandResult run(std::initializer_list<kj::StringPtr> arguments, kj::Duration deadline = 30 * kj::SECONDS) {
  return runCommand(kj::arrayPtr(arguments.begin(), arguments.size()), deadline);
}
std::string failure(const CommandResult& result) {
  KJ_IF_MAYBE(why, result.failed) return why->cStr();
  return "";
}

TEST(Command, GivesWhatTheProgramSays) {
  auto result = run({"sh", "-c", "echo hello; echo quiet >&2"});
  EXPECT_EQ(failure(result), "");
  EXPECT_STREQ(result.output.cStr(), "hello\n");
}

TEST(Command, SaysHowTheProgramFailed) {
  EXPECT_EQ(failure(run({"sh", "-c", "exit 3"})), "exited with status 3");
  EXPECT_EQ(failure(run({"sh", "-c", "kill -9 $$"})), "was killed by signal 9");
  EXPECT_THAT(failure(run({"/nonexistent/program"})), HasSubstr("No such file or directory"));
}

TEST(Command, HasNoInput) { EXPECT_STREQ(run({"cat"}).output.cStr(), ""); }

TEST(Command, IsKilledAtItsDeadline) {
  EXPECT_THAT(failure(run({"sh", "-c", "exec sleep 1000"}, 50 * kj::MILLISECONDS)), HasSubstr("did not answer"));
}

TEST(Command, CutsWhatIsTooLong) {
  auto result = run({"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"});
  EXPECT_EQ(failure(result), "");
  EXPECT_EQ(result.output.size(), COMMAND_OUTPUT_BYTES_MAX);
}

}  // namespace
}  // namespace epochly::probe

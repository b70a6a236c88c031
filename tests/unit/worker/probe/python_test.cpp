#include "probe/python.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/debug.h>
#include <sys/stat.h>
#include <unistd.h>

namespace epochly::probe {
namespace {

using testing::HasSubstr;

// A program that says this and ends with that status.
struct Program {
  std::string path;

  Program(const std::string& output, int status = 0) {
    char name[] = "/tmp/epochly-python-XXXXXX";
    int fd;
    KJ_SYSCALL(fd = mkstemp(name));
    path = name;
    auto text = "#!/bin/sh\nprintf '" + output + "'\nexit " + std::to_string(status) + "\n";
    KJ_SYSCALL(write(fd, text.data(), text.size()));
    KJ_SYSCALL(fchmod(fd, 0700));
    close(fd);
  }
  ~Program() { unlink(path.c_str()); }

  kj::StringPtr name() const { return kj::StringPtr(path.c_str(), path.size()); }
  Python probe() {
    Facts facts;
    auto python = probePython(name(), facts);
    told = facts.release();
    return python;
  }
  kj::Array<Fact> told;
};

TEST(Python, IsAskedForItsVersion) {
  Program program("cpython\\n3\\n12\\n3.12.4\\n/opt/python\\n");
  auto python = program.probe();
  EXPECT_STREQ(python.problem.cStr(), "");
  EXPECT_EQ(python.version.value, 3 << 8 | 12);
  ASSERT_EQ(program.told.size(), 3u);
  EXPECT_STREQ(program.told[1].text.cStr(), "3.12.4");
}

TEST(Python, ThatIsTooOldOrNotCPythonCannotRunExecutors) {
  EXPECT_THAT(Program("cpython\\n3\\n9\\n3.9.2\\n/opt/python\\n").probe().problem.cStr(),
              HasSubstr("is version 3.9; Epochly needs 3.10"));
  EXPECT_THAT(Program("pypy\\n3\\n10\\n3.10.2\\n/opt/pypy\\n").probe().problem.cStr(), HasSubstr("is pypy, not CPython"));
}

TEST(Python, ThatDoesNotAnswerIsUnknownAndSaysWhy) {
  Program broken("", 1), chatty("hello\\n");
  EXPECT_STREQ(broken.probe().problem.cStr(), "exited with status 1");
  ASSERT_EQ(broken.told.size(), 1u);
  EXPECT_TRUE(broken.told[0].kind == Fact::Kind::UNKNOWN);
  EXPECT_STREQ(broken.told[0].text.cStr(), "the interpreter exited with status 1");
  EXPECT_THAT(chatty.probe().problem.cStr(), HasSubstr("did not answer as a Python does"));
}

TEST(Engines, AreOfferedWhereThePackageSaysSo) {
  Facts facts;
  Program both("LLVM\\n-\\noneTBB, processes\\n-\\n"), one("LLVM\\n-\\n\\nepochly was built without oneTBB\\n"),
      broken("", 1), chatty("maybe");
  auto all = probeEngines(both.name(), facts), jit = probeEngines(one.name(), facts);
  EXPECT_TRUE(all.jit && all.multicore);
  EXPECT_TRUE(jit.jit && !jit.multicore);
  for (auto none : {probeEngines(broken.name(), facts), probeEngines(chatty.name(), facts)})
    EXPECT_FALSE(none.jit || none.multicore);
  auto told = facts.release();
  ASSERT_EQ(told.size(), 8u);
  EXPECT_STREQ(told[1].name.cStr(), "python.multicore");
  EXPECT_STREQ(told[1].text.cStr(), "oneTBB, processes");
  EXPECT_TRUE(told[3].kind == Fact::Kind::ABSENT);
  EXPECT_STREQ(told[3].text.cStr(), "epochly was built without oneTBB");
  for (size_t i : {4, 5}) {
    EXPECT_TRUE(told[i].kind == Fact::Kind::UNKNOWN);
    EXPECT_STREQ(told[i].text.cStr(), "the interpreter exited with status 1");
  }
  EXPECT_TRUE(told[6].kind == Fact::Kind::ABSENT);
}

TEST(Python, OfThisMachineAnswers) {
  if (system("python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'") != 0)
    GTEST_SKIP() << "there is no python3 of 3.10 or newer";
  Facts facts;
  auto python = probePython("python3", facts);
  EXPECT_STREQ(python.problem.cStr(), "");
  EXPECT_GE(python.version.value, PYTHON_MIN.value);
}

}  // namespace
}  // namespace epochly::probe

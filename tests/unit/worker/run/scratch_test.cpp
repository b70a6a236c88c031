#include "run/scratch.h"

#include <cstdlib>
#include <string>

#include <csignal>
#include <gtest/gtest.h>
#include <kj/debug.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace epochly::run {
namespace {

struct Directory {
  std::string path;
  Directory() {
    char name[] = "/tmp/epochly-scratch-test-XXXXXX";
    KJ_REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Directory() { KJ_SYSCALL(system(("rm -rf " + path).c_str())); }
  kj::StringPtr text() const { return kj::StringPtr(path.c_str(), path.size()); }
};

bool exists(kj::StringPtr path) { return access(path.cStr(), F_OK) == 0; }

TEST(Scratch, IsRemovedWithAllThatIsInIt) {
  Directory directory;
  kj::String path;
  {
    auto scratch = Scratch::create(directory.text());
    path = kj::str(scratch.path());
    KJ_SYSCALL(mkdir(kj::str(path, "/1").cStr(), 0700));
    KJ_SYSCALL(system(kj::str("touch ", path, "/1/file").cStr()));
  }
  EXPECT_FALSE(exists(path));
}

TEST(Scratch, OfAKilledWorkerIsRemovedByTheNextAndThatOfALiveOneIsNot) {
  Directory directory;
  auto alive = Scratch::create(directory.text());
  int pipe[2];
  KJ_SYSCALL(::pipe(pipe));
  pid_t child = fork();
  if (child == 0) {
    auto scratch = Scratch::create(directory.text());
    KJ_SYSCALL(write(pipe[1], scratch.path().begin(), scratch.path().size() + 1));
    raise(SIGKILL);
  }
  char left[256] = {};
  KJ_SYSCALL(read(pipe[0], left, sizeof(left)));
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(exists(left));
  auto next = Scratch::create(directory.text());
  EXPECT_FALSE(exists(left));
  EXPECT_TRUE(exists(alive.path()));
  EXPECT_TRUE(exists(next.path()));
}

TEST(Scratch, NeedsAPlaceToBe) { EXPECT_ANY_THROW(Scratch::create("/nonexistent")); }

}  // namespace
}  // namespace epochly::run

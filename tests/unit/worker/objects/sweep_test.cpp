#include "objects/sweep.h"

#include <cstdlib>
#include <set>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kj/debug.h>

#include "objects/name.h"

namespace epochly::objects {
namespace {

constexpr pid_t ALIVE = 100, DEAD = 200, EXECUTOR = 300;
const kj::Date NOW = kj::UNIX_EPOCH + 1'000'000 * kj::SECONDS;

// A directory that stands for /dev/shm.
std::string fileName(const Name& name) { return std::string(name.toString().cStr()).substr(1); }

struct Shm {
  std::string path;

  Shm() {
    char name[] = "/tmp/epochly-sweep-XXXXXX";
    KJ_REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Shm() { KJ_SYSCALL(system(("rm -rf " + path).c_str())); }

  std::string add(const std::string& name, kj::Duration age, size_t bytes = 10) {
    int fd;
    KJ_SYSCALL(fd = open((path + "/" + name).c_str(), O_CREAT | O_WRONLY, 0600));
    KJ_SYSCALL(ftruncate(fd, bytes));
    timespec times[2];
    for (auto& time : times) time = {(NOW - age - kj::UNIX_EPOCH) / kj::SECONDS, 0};
    KJ_SYSCALL(futimens(fd, times));
    close(fd);
    return name;
  }
  std::string addObject(pid_t creator, kj::Duration age, size_t bytes = 10) {
    return add(fileName({geteuid(), creator, counter++}), age, bytes);
  }
  bool has(const std::string& name) { return access((path + "/" + name).c_str(), F_OK) == 0; }

  Swept sweep() {
    SweepScope scope{kj::StringPtr(path.c_str(), path.size()), [](pid_t pid) { return pid != DEAD; },
                     [](pid_t pid) { return pid == EXECUTOR; }};
    return objects::sweep(scope, NOW);
  }

 private:
  uint32_t counter = 0;
};

TEST(Sweep, TakesWhatADeadCreatorLeftOnceItIsOldEnough) {
  Shm shm;
  auto old = shm.addObject(DEAD, ORPHAN_GRACE + 1 * kj::SECONDS, 1000);
  auto young = shm.addObject(DEAD, ORPHAN_GRACE - 1 * kj::SECONDS);
  auto swept = shm.sweep();
  EXPECT_EQ(swept.objects, 1u);
  EXPECT_EQ(swept.bytes, 1000u);
  EXPECT_FALSE(shm.has(old));
  EXPECT_TRUE(shm.has(young));
}

TEST(Sweep, LeavesALiveCreatorsObjectsHoweverOld) {
  Shm shm;
  auto argument = shm.addObject(ALIVE, 24 * kj::HOURS);
  EXPECT_EQ(shm.sweep().objects, 0u);
  EXPECT_TRUE(shm.has(argument));
}

TEST(Sweep, TakesResultsThatNobodyFetched) {
  Shm shm;
  auto forgotten = shm.addObject(EXECUTOR, RESULT_GRACE + 1 * kj::SECONDS);
  auto fresh = shm.addObject(EXECUTOR, RESULT_GRACE - 1 * kj::SECONDS);
  EXPECT_EQ(shm.sweep().objects, 1u);
  EXPECT_FALSE(shm.has(forgotten));
  EXPECT_TRUE(shm.has(fresh));
}

TEST(Sweep, TouchesNothingElse) {
  Shm shm;
  auto foreign = shm.add("sem.something", 24 * kj::HOURS);
  auto lookalike = shm.add("epochly-notes", 24 * kj::HOURS);
  auto other = shm.add(fileName({geteuid() + 1, DEAD, 1}), 24 * kj::HOURS);
  EXPECT_EQ(shm.sweep().objects, 0u);
  EXPECT_TRUE(shm.has(foreign) && shm.has(lookalike) && shm.has(other));
}

TEST(Sweep, OfADirectoryThatIsNotThereFindsNothing) {
  SweepScope scope{"/nonexistent", [](pid_t) { return true; }, [](pid_t) { return false; }};
  EXPECT_EQ(sweep(scope, NOW).objects, 0u);
}

TEST(ProcessAlive, KnowsTheLivingFromTheDead) {
  EXPECT_TRUE(processAlive(getpid()));
  EXPECT_TRUE(processAlive(1)) << "alive even where we may not signal it";
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(processAlive(child));
}

TEST(Sweep, RemovesWhatTheseMadeHoweverYoung) {
  Shm shm;
  auto theirs = shm.addObject(DEAD, 0 * kj::SECONDS, 1000);
  auto anothers = shm.addObject(ALIVE, 24 * kj::HOURS);
  auto removed = removeOf([](pid_t pid) { return pid == DEAD; }, kj::StringPtr(shm.path.c_str(), shm.path.size()));
  EXPECT_EQ(removed.objects, 1u);
  EXPECT_EQ(removed.bytes, 1000u);
  EXPECT_FALSE(shm.has(theirs));
  EXPECT_TRUE(shm.has(anothers));
}

}  // namespace
}  // namespace epochly::objects

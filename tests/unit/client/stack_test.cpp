#include "ext/local/stack.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace epochly::ext {
namespace {

uintptr_t bottomByTheMaps() {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
  void* bottom = nullptr;
  size_t size = 0;
  pthread_attr_getstack(&attributes, &bottom, &size);
  pthread_attr_destroy(&attributes);
  return reinterpret_cast<uintptr_t>(bottom);
}

// In a child: `check` may change its limits.
template <typename Check>
bool holdsInAChild(Check check) {
  auto pid = fork();
  if (pid == 0) _exit(check() ? 0 : 1);
  int status = 1;
  return waitpid(pid, &status, 0) == pid && status == 0;
}

void limitStack(rlim_t bytes) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  limit.rlim_cur = bytes;
  ASSERT_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
}

TEST(Stack, TheFirstThreadsEndsWhereTheMapsSay) {
  EXPECT_TRUE(holdsInAChild([] {
    limitStack(rlim_t(8) << 20);
    return mainStackBottom() == bottomByTheMaps() && findStackBottom() == bottomByTheMaps();
  }));
}

TEST(Stack, ItsEndFollowsALimitThatIsNoMultipleOfAPage) {
  EXPECT_TRUE(holdsInAChild([] {
    limitStack((rlim_t(3) << 20) + 100);
    return mainStackBottom() == bottomByTheMaps();
  }));
}

TEST(Stack, UpToTheGapThatLinuxKeepsFreeTheLimitCountsAboveItTheMaps) {
  EXPECT_TRUE(holdsInAChild([] {
    limitStack(rlim_t(128) << 20);
    return mainStackBottom() != STACK_UNKNOWN;
  }));
  EXPECT_TRUE(holdsInAChild([] {
    limitStack((rlim_t(128) << 20) + 1);
    return mainStackBottom() == STACK_UNKNOWN && findStackBottom() == bottomByTheMaps();
  }));
}

TEST(Stack, AnotherThreadHasItsOwn) {
  std::thread([] {
    EXPECT_EQ(mainStackBottom(), STACK_UNKNOWN);
    EXPECT_EQ(findStackBottom(), bottomByTheMaps());
  }).join();
}

TEST(Stack, AThreadThatForkedKeepsItsOwnInTheChild) {
  std::thread([] {
    EXPECT_TRUE(holdsInAChild([] { return mainStackBottom() == STACK_UNKNOWN && findStackBottom() == bottomByTheMaps(); }));
  }).join();
}

}  // namespace
}  // namespace epochly::ext

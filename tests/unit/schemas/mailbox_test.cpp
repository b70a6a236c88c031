#include "rt/mailbox.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <kj/async-io.h>

namespace epochly::rt {
namespace {

struct Loop {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::WaitScope& scope = io.waitScope;
  kj::UnixEventPort& port = io.unixEventPort;
};

TEST(Mailbox, RunsWhatOtherThreadsPostInTheirOrder) {
  constexpr int THREADS = 4, POSTS = 1000;
  auto io = Loop();
  Mailbox mailbox(io.port, THREADS * POSTS);
  std::vector<int> seen[THREADS];
  int total = 0;
  auto done = kj::newPromiseAndFulfiller<void>();
  std::vector<std::thread> threads;
  for (int t = 0; t < THREADS; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < POSTS; i++) {
        ASSERT_TRUE(mailbox.post([&, t, i] {
          seen[t].push_back(i);
          if (++total == THREADS * POSTS) done.fulfiller->fulfill();
        }));
      }
    });
  }
  mailbox.run().exclusiveJoin(kj::mv(done.promise)).wait(io.scope);
  for (auto& thread : threads) thread.join();
  for (auto& list : seen) {
    ASSERT_EQ(list.size(), static_cast<size_t>(POSTS));
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
  }
}

TEST(Mailbox, RefusesPastItsCapacityAndAfterClose) {
  auto io = Loop();
  Mailbox mailbox(io.port, 2);
  int ran = 0;
  EXPECT_TRUE(mailbox.post([&] { ran++; }));
  EXPECT_TRUE(mailbox.post([&] { ran++; }));
  EXPECT_FALSE(mailbox.post([&] { ran++; }));
  auto running = mailbox.run().eagerlyEvaluate(nullptr);
  while (ran < 2) kj::evalLater([] {}).wait(io.scope);
  EXPECT_TRUE(mailbox.post([&] { ran++; }));
  mailbox.close();
  EXPECT_FALSE(mailbox.post([&] { ran++; }));
  EXPECT_EQ(ran, 2);
}

TEST(Mailbox, ALoopThatSleptIsWokenEachTime) {
  auto io = Loop();
  Mailbox mailbox(io.port, 1);
  auto running = mailbox.run().eagerlyEvaluate(nullptr);
  for (int i = 0; i < 100; i++) {
    io.scope.poll();  // it has nothing to do
    auto done = kj::newPromiseAndFulfiller<void>();
    std::thread poster([&] { ASSERT_TRUE(mailbox.post([&] { done.fulfiller->fulfill(); })); });
    done.promise.wait(io.scope);
    poster.join();
  }
}

}  // namespace
}  // namespace epochly::rt

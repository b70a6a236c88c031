#include "levels/monitor/ledger.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <memory>
#include <thread>

namespace epochly::monitor {
namespace {

constexpr Nanos MS = 1'000'000;

void call(Ledger& ledger, Nanos wall = MS) {
  Block& block = ledger.mine(ThreadState::current());
  block.tally.calls.add(1);
  addTimedCall(block.tally, Level::MONITOR, wall);
}

uint64_t callsOf(const Ledger& ledger) { return ledger.read().calls.get(); }

TEST(Ledger, ThreadFindsItsOwnBlockAgain) {
  Ledger ledger;
  Block& first = ledger.mine(ThreadState::current());
  EXPECT_EQ(&first, &ledger.mine(ThreadState::current()));
}

TEST(Ledger, BlocksOfSeveralThreadsAddUp) {
  Ledger ledger;
  std::barrier together(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      together.arrive_and_wait();
      for (int k = 0; k < 1000; ++k) call(ledger);
    });
  }
  while (callsOf(ledger) == 0) std::this_thread::yield();  // reading goes on beside writing
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(callsOf(ledger), 4000u);
}

TEST(Ledger, BlockOfAThreadThatEndedIsTakenOverWithItsSums) {
  Ledger ledger;
  Block* first = nullptr;
  Block* second = nullptr;
  std::thread([&] { call(ledger), first = &ledger.mine(ThreadState::current()); }).join();
  std::thread([&] { call(ledger), second = &ledger.mine(ThreadState::current()); }).join();
  EXPECT_EQ(first, second);
  EXPECT_EQ(callsOf(ledger), 2u);
}

TEST(Ledger, ThreadWithoutEndDoesNotGrowTheBlocks) {
  Ledger ledger;
  Block* last = nullptr;
  for (int i = 0; i < 200; ++i) {
    std::thread([&] {
      Block& mine = ledger.mine(ThreadState::current());
      EXPECT_TRUE(last == nullptr || last == &mine);
      last = &mine;
    }).join();
  }
}

TEST(Ledger, OnlyTheFirstThreadGetsTheInitialAllowanceForCounting) {
  Ledger ledger;
  auto secondCallIsCounted = [&] {
    Block& block = ledger.mine(ThreadState::current());
    block.sampler.beginCall();
    return block.sampler.beginCall() != NEVER;
  };
  EXPECT_TRUE(secondCallIsCounted());
  bool other = true;
  std::thread([&] { other = secondCallIsCounted(); }).join();
  EXPECT_FALSE(other);
}

TEST(Ledger, SlotOfAFunctionThatIsGoneIsUsedAgainWithoutItsSums) {
  for (int i = 0; i < 100; ++i) {
    Ledger ledger;
    EXPECT_EQ(callsOf(ledger), 0u);
    call(ledger);
    EXPECT_EQ(callsOf(ledger), 1u);
  }
}

TEST(Ledger, ThreadMayOutliveTheFunctionsItCalled) {
  std::barrier step(2);
  auto ledger = std::make_unique<Ledger>();
  std::thread thread([&] {
    call(*ledger);
    step.arrive_and_wait();
    step.arrive_and_wait();  // the ledger is gone
    Ledger another;
    call(another);
    EXPECT_EQ(callsOf(another), 1u);
  });
  step.arrive_and_wait();
  ledger = nullptr;
  step.arrive_and_wait();
  thread.join();
}

TEST(Ledger, ResetStartsTheSumsAnewOnEveryThread) {
  Ledger ledger;
  std::barrier step(2);
  std::thread thread([&] {
    call(ledger, 7 * MS);
    step.arrive_and_wait();
    step.arrive_and_wait();
    call(ledger, 2 * MS);
  });
  step.arrive_and_wait();
  call(ledger, 9 * MS);
  ledger.reset();
  EXPECT_EQ(callsOf(ledger), 0u);
  step.arrive_and_wait();
  thread.join();
  EXPECT_EQ(callsOf(ledger), 1u);
  EXPECT_EQ(ledger.read().wallMaxNs.get(), 2 * MS);
}

TEST(Ledger, RemembersHowTheLatestCallOfAnyThreadRan) {
  Ledger ledger;
  EXPECT_TRUE(ledger.lastOutcome() == nullptr);
  run::Outcome plain{Level::MONITOR, Level::MONITOR, nullptr};
  ledger.note(ledger.mine(ThreadState::current()), plain, 10);
  std::thread([&] {
    Block& block = ledger.mine(ThreadState::current());
    auto declined = kj::arr(run::Decline{Level::GPU, kj::str("no GPU")});
    ledger.note(block, kj::heap<run::Outcome>(run::Outcome{Level::GPU, Level::JIT, kj::mv(declined)}), 20);
  }).join();
  KJ_IF_MAYBE(last, ledger.lastOutcome()) {
    EXPECT_EQ(last->ran, Level::JIT);
    ASSERT_EQ(last->declined.size(), 1u);
    EXPECT_STREQ(last->declined[0].reason.cStr(), "no GPU");
  } else {
    FAIL();
  }
}

TEST(Process, SumsOutliveTheFunctions) {
  resetProcess();
  {
    Ledger ledger;
    for (int i = 0; i < 5; ++i) call(ledger, 2 * MS);
  }
  Ledger alive;
  call(alive, 8 * MS);
  Figures f = processFigures();
  EXPECT_EQ(f.totalCalls, 6u);
  EXPECT_DOUBLE_EQ(f.maxTimeMs, 8);
  resetProcess();
  EXPECT_EQ(processFigures().totalCalls, 0u);
}

TEST(Process, ForkedChildGoesOnCounting) {
  Ledger ledger;
  std::atomic<bool> stop{false};
  std::thread busy([&] {  // takes the registry's lock all the time
    while (!stop) Ledger();
  });
  for (int i = 0; i < 20; ++i) {
    pid_t child = fork();
    if (child == 0) {
      call(ledger);
      Ledger own;
      call(own);
      _exit(callsOf(ledger) == 1 && callsOf(own) == 1 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  busy.join();
}

}  // namespace
}  // namespace epochly::monitor

// The threads of level 3 without compiled code: chunks are functions of this file. Under ThreadSanitizer they show whether what one thread
// leaves behind is seen by the next.
#include "levels/multicore/team.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <thread>
#include <vector>

namespace epochly::multicore {
namespace {

using jit::Context;
using jit::Fold;
using jit::List;
using jit::LoopTimes;
using program::FoldKind;

constexpr int64_t CHUNK_NS = 1000;  // short loops are split, too
constexpr int64_t ITERATIONS = 20'000;
constexpr int CORES = 4;  // more than most machines that run this have

// A call that runs loops; frame[0] points to the doubles that chunks write or read.
class Call {
 public:
  Call() {
    setCores(CORES, CHUNK_NS);
    context.depth = 100;
    context.team = &team();
    context.loops = &times;
  }
  // Null: it was given back.
  const uint64_t* run(jit::Chunk chunk, void* data, size_t leaves = 0, std::span<Fold> folds = {}) {
    uint64_t frame[] = {reinterpret_cast<uint64_t>(data)};
    return context.team->run(context, chunk, frame, ITERATIONS, 0, leaves, folds);
  }
  Context context;
  LoopTimes times;
};

double valueOf(int64_t i) { return 1.0 / static_cast<double>(i + 1); }

int32_t fill(Context*, const uint64_t* frame, int64_t first, int64_t last, uint64_t*) {
  auto* out = reinterpret_cast<double*>(frame[0]);
  for (auto i = first; i < last; i++) out[i] = valueOf(i);
  return 0;
}

TEST(Team, EveryIterationRunsOnceAndTheCallerSeesWhatItWrote) {
  Call call;
  for (int round = 0; round < 20; round++) {
    std::vector<double> out(ITERATIONS);
    ASSERT_NE(call.run(fill, out.data()), nullptr);
    for (int64_t i = 0; i < ITERATIONS; i++) ASSERT_EQ(out[i], valueOf(i)) << i;
  }
  EXPECT_GT(call.times.split, 0u);
}

int32_t noteFirst(Context*, const uint64_t*, int64_t first, int64_t last, uint64_t* results) {
  results[0] = first;
  results[1] = last;
  return 0;
}

TEST(Team, TheResultsOfChunksComeInTheOrderOfTheIterations) {
  Call call;
  for (int round = 0; round < 20; round++) {
    auto* parts = call.run(noteFirst, nullptr, 2);
    ASSERT_NE(parts, nullptr);
    uint64_t next = 0;
    for (uint64_t i = 0; i < parts[0]; i++) {
      EXPECT_EQ(parts[1 + 2 * i], next);
      next = parts[2 + 2 * i];
    }
    EXPECT_EQ(next, uint64_t(ITERATIONS));
  }
}

int32_t listAddends(Context* context, const uint64_t*, int64_t first, int64_t last, uint64_t* results) {
  auto* list = context->newList(0, 1);
  for (auto i = first; i < last; i++) {
    if (list->length == list->capacity && !context->grow(*list, 1)) return 1;
    list->data[list->length++] = std::bit_cast<uint64_t>(valueOf(i));
  }
  results[0] = reinterpret_cast<uint64_t>(list);
  return 0;
}

TEST(Team, FloatsAreAddedUpInTheOrderOfTheIterations) {
  double expected = 0.5;
  for (int64_t i = 0; i < ITERATIONS; i++) expected += valueOf(i);
  Call call;
  for (int round = 0; round < 20; round++) {
    Fold fold{std::bit_cast<uint64_t>(0.5), 0, 0, static_cast<int64_t>(FoldKind::SUM)};
    ASSERT_NE(call.run(listAddends, nullptr, 1, {&fold, 1}), nullptr);
    EXPECT_EQ(std::bit_cast<double>(fold.target), expected);
  }
}

TEST(Team, ListsArePutTogetherInTheOrderOfTheIterations) {
  for (int round = 0; round < 20; round++) {
    Call call;
    auto* all = call.context.newList(0, 1);
    Fold fold{reinterpret_cast<uint64_t>(all), 1, 0, static_cast<int64_t>(FoldKind::APPEND)};
    ASSERT_NE(call.run(listAddends, nullptr, 1, {&fold, 1}), nullptr);
    ASSERT_EQ(all->length, ITERATIONS);
    for (int64_t i = 0; i < ITERATIONS; i++) ASSERT_EQ(std::bit_cast<double>(all->data[i]), valueOf(i)) << i;
  }
}

constexpr int64_t COUNTERS = 10;

int32_t count(Context* context, const uint64_t*, int64_t first, int64_t last, uint64_t* results) {
  auto* counters = static_cast<int64_t*>(context->allocate(COUNTERS * sizeof(int64_t)));
  std::fill_n(counters, COUNTERS, 0);
  for (auto i = first; i < last; i++) counters[i % COUNTERS]++;
  results[0] = reinterpret_cast<uint64_t>(counters);
  return 0;
}

Fold foldOf(std::vector<int64_t>& counters) {
  return {reinterpret_cast<uint64_t>(counters.data()), COUNTERS, sizeof(int64_t), static_cast<int64_t>(FoldKind::COUNTERS)};
}

TEST(Team, CountersAreAddedUp) {
  Call call;
  std::vector<int64_t> counters(COUNTERS, 5);
  auto fold = foldOf(counters);
  ASSERT_NE(call.run(count, nullptr, 1, {&fold, 1}), nullptr);
  EXPECT_THAT(counters, ::testing::Each(5 + ITERATIONS / COUNTERS));
}

TEST(Team, CountersThatDoNotFitGiveTheLoopBack) {
  Call call;
  std::vector<int64_t> counters(COUNTERS, INT64_MAX - 5);
  auto fold = foldOf(counters);
  EXPECT_EQ(call.run(count, nullptr, 1, {&fold, 1}), nullptr);
}

int32_t failInTheMiddle(Context*, const uint64_t*, int64_t first, int64_t last, uint64_t*) {
  return first <= ITERATIONS / 2 && ITERATIONS / 2 < last;
}

TEST(Team, AChunkThatFailsGivesTheLoopBackAndTheNextRuns) {
  Call call;
  for (int round = 0; round < 20; round++) {
    EXPECT_EQ(call.run(failInTheMiddle, nullptr), nullptr);
    std::vector<double> out(ITERATIONS);
    EXPECT_NE(call.run(fill, out.data()), nullptr);
  }
}

// Compiled code asks at its loops' back edges.
int32_t waitToBeStopped(Context* context, const uint64_t*, int64_t, int64_t, uint64_t*) {
  while (!context->interrupted(*context)) std::this_thread::yield();
  return 1;
}

TEST(Team, AnInterruptOfTheCallerStopsTheChunksOfAllThreads) {
  Call call;
  call.context.interrupted = [](Context&) { return true; };
  call.times.nsPerThousand = CHUNK_NS * 10;  // known: the first chunks are run by all
  EXPECT_EQ(call.run(waitToBeStopped, nullptr), nullptr);
}

TEST(Team, CallsOfSeveralThreadsShareTheTeam) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([] {
      Call call;
      std::vector<double> out(ITERATIONS);
      for (int round = 0; round < 10; round++) {
        std::fill(out.begin(), out.end(), 0.0);
        ASSERT_NE(call.run(fill, out.data()), nullptr);
        ASSERT_EQ(out.back(), valueOf(ITERATIONS - 1));
      }
    });
  }
  for (auto& one : threads) one.join();
}

struct Nested {
  std::vector<double> rows[8];
};

int32_t fillRow(Context* context, const uint64_t* frame, int64_t first, int64_t last, uint64_t*) {
  auto& nested = *reinterpret_cast<Nested*>(frame[0]);
  for (auto i = first; i < last; i++) {
    auto& row = nested.rows[i % 8];
    if (i >= 8) continue;
    row.resize(100);
    LoopTimes times;
    Context inner;
    inner.depth = context->depth;
    inner.loops = &times;
    uint64_t rowFrame[] = {reinterpret_cast<uint64_t>(row.data())};
    if (!team().run(inner, fill, rowFrame, 100, 0, 0, {})) return 1;
  }
  return 0;
}

TEST(Team, ALoopWithinAChunkDoesNotWaitForItself) {
  Call call;
  Nested nested;
  ASSERT_NE(call.run(fillRow, &nested), nullptr);
  for (auto& row : nested.rows) EXPECT_EQ(row.at(99), valueOf(99));
}

}  // namespace
}  // namespace epochly::multicore

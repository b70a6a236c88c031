// The core's decisions on their way to a worker's connection; the connection is a local capability.
#include "dispatch/worker_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/async.h>
#include <kj/debug.h>

#include "dispatch/worker_session.h"
#include "support/sched_env.h"
#include "wire/task_spec.h"

namespace epochly::dispatch {
namespace {

using test::CountingRandom;
using test::RecordingPorts;

class FakeClock final : public kj::MonotonicClock {
 public:
  kj::TimePoint now() const override { return time; }
  kj::TimePoint time = kj::origin<kj::TimePoint>() + 1 * kj::HOURS;
};

struct Received {
  std::vector<size_t> runs;  // assignments of each `run`
  std::vector<uint64_t> seqs;
  std::vector<bool> inlineResults;  // of each assignment
  std::vector<size_t> functions;    // of each `run`
  std::vector<uint64_t> cancelled;
  std::vector<uint64_t> recalled;
  std::vector<uint64_t> discarded;
  kj::Vector<kj::Own<kj::PromiseFulfiller<void>>> unanswered;
  bool answers = true;
};

class Sink final : public schema::WorkerSink::Server {
 public:
  explicit Sink(Received& received) : received(received) {}

 protected:
  kj::Promise<void> run(RunContext context) override {
    auto batch = context.getParams().getBatch();
    received.runs.push_back(batch.getAssignments().size());
    received.functions.push_back(batch.getFunctions().size());
    for (auto assignment : batch.getAssignments()) {
      received.seqs.push_back(assignment.getTask().getSeq());
      received.inlineResults.push_back(assignment.getInlineResult());
    }
    if (received.answers) return kj::READY_NOW;
    auto paf = kj::newPromiseAndFulfiller<void>();
    received.unanswered.add(kj::mv(paf.fulfiller));
    return kj::mv(paf.promise);
  }
  kj::Promise<void> cancel(CancelContext context) override {
    for (auto name : context.getParams().getAttempts()) received.cancelled.push_back(name.getTask().getSeq());
    return kj::READY_NOW;
  }

  kj::Promise<void> recall(RecallContext context) override {
    for (auto name : context.getParams().getAttempts()) received.recalled.push_back(name.getTask().getSeq());
    return kj::READY_NOW;
  }
  kj::Promise<void> discard(DiscardContext context) override {
    for (auto name : context.getParams().getAttempts()) received.discarded.push_back(name.getTask().getSeq());
    return kj::READY_NOW;
  }

 private:
  Received& received;
};

// A real core behind real links; the clients' side is recorded.
struct Env {
  kj::EventLoop loop;
  kj::WaitScope scope{loop};
  FakeClock clock;
  core::Core core;
  RecordingPorts others;
  CountingRandom random;
  core::Observer observer;
  classify::Thresholds thresholds;
  WorkerLinks links{core, clock};
  events::Events events{core, core::Ports{links, others, others, others, random}, observer, thresholds};
  SpaceId space;  // of a client on WorkerBuilder's host
  uint64_t lastSeq = 0;
  std::vector<std::string> closed;

  Env() {
    links.bind(events);
    space = events.onClientOpen(SpaceId(), HostId(1), clock.now());
    tell(1);
  }

  void tell(uint64_t hash, size_t bytes = 16) {
    events.onFunction(
        events::NewFunction{.hash = FunctionHash{0, hash}, .name = kj::str("f"), .code = kj::heapArray<byte>(bytes)});
  }
  WorkerId join(Received& received, uint slots) {
    return links.join(test::WorkerBuilder().cpus(slots).build(), kj::heap<Sink>(received),
                      [this](kj::StringPtr why) { closed.push_back(why.cStr()); });
  }
  void submit(uint count, size_t bytes = 8, uint64_t hash = 1) { submitFrom(space, count, bytes, hash); }
  void submitFrom(SpaceId client, uint count, size_t bytes = 8, uint64_t hash = 1) {
    std::vector<events::NewTask> tasks(count);
    for (auto& task : tasks) {
      task.seq = ++lastSeq;
      task.function = FunctionHash{0, hash};
      task.level = 0;
      task.arguments.pickle = kj::heapArray<byte>(bytes);
    }
    events.onSubmit(client, kj::arrayPtr(tasks.data(), tasks.size()), clock.now());
  }
  void turn() { scope.poll(); }
};

TEST(WorkerLinks, AllAssignmentsOfATurnAreOneCall) {
  Env env;
  Received received;
  env.join(received, 100);
  env.submit(30);
  env.submit(20);
  EXPECT_TRUE(received.runs.empty()) << "ports only take notes";
  env.turn();
  EXPECT_THAT(received.runs, testing::ElementsAre(50u));
  EXPECT_THAT(received.functions, testing::ElementsAre(1u));
}

TEST(WorkerLinks, ResultsMayUseSharedMemoryOnlyOnTheWayToAClientOfTheWorkersHost) {
  Env env;
  auto elsewhere = env.events.onClientOpen(SpaceId(), HostId(2), env.clock.now());
  auto unknown = env.events.onClientOpen(SpaceId(), HostId(), env.clock.now());
  Received received;
  env.join(received, 100);
  env.submit(2);
  env.submitFrom(elsewhere, 2);
  env.submitFrom(unknown, 1);
  env.submit(1);
  env.turn();
  EXPECT_THAT(received.inlineResults, testing::ElementsAre(false, false, true, true, true, false));
}

TEST(WorkerLinks, AWorkerWhoseExecutorsShareMemoryWithNobodyAnswersInline) {
  Env env;
  auto unknown = env.events.onClientOpen(SpaceId(), HostId(), env.clock.now());
  Received received;
  env.links.join(test::WorkerBuilder().cpus(100).host(0).build(), kj::heap<Sink>(received), [](kj::StringPtr) {});
  env.submit(1);
  env.submitFrom(unknown, 1);
  env.turn();
  EXPECT_THAT(received.inlineResults, testing::ElementsAre(true, true));
}

TEST(WorkerLinks, AFunctionTravelsOnce) {
  Env env;
  Received received;
  auto worker = env.join(received, 100);
  env.submit(1);
  env.turn();
  env.submit(1);
  env.tell(2);
  env.submit(1, 8, 2);
  env.turn();
  EXPECT_THAT(received.functions, testing::ElementsAre(1u, 1u));
  EXPECT_EQ(env.core.workers.at(worker).functions.size(), 2u) << "the core knows what is warm";
}

TEST(WorkerLinks, ABatchHasAtMostItsNumberOfTasks) {
  Env env;
  Received received;
  env.join(received, 5000);
  env.submit(BATCH_TASKS_MAX + 1);
  env.turn();
  EXPECT_THAT(received.runs, testing::ElementsAre(BATCH_TASKS_MAX, 1u));
}

TEST(WorkerLinks, ABatchClosesOnceItHoldsItsBytes) {
  Env env;
  Received received;
  env.join(received, 100);
  env.submit(3, BATCH_BYTES_TARGET / 2 + 1);
  env.turn();
  EXPECT_THAT(received.runs, testing::ElementsAre(2u, 1u));
}

TEST(WorkerLinks, ALargeFunctionTravelsAlone) {
  Env env;
  Received received;
  env.join(received, 100);
  env.tell(2, FUNCTION_BYTES_MAX);
  env.submit(1, 1000, 2);
  env.turn();
  EXPECT_THAT(received.runs, testing::ElementsAre(0u, 1u));
  EXPECT_THAT(received.functions, testing::ElementsAre(1u, 0u));
}

TEST(WorkerLinks, WhatTheWorkerHasNotTakenIsBoundedAndTheRestFollows) {
  Env env;
  Received received;
  received.answers = false;
  env.join(received, 100);
  constexpr uint COUNT = 20;
  env.submit(COUNT, BATCH_BYTES_TARGET);
  env.turn();
  EXPECT_EQ(received.seqs.size(), LINK_BYTES_IN_FLIGHT_MAX / BATCH_BYTES_TARGET);
  received.answers = true;
  for (auto& answer : received.unanswered) answer->fulfill();
  env.turn();
  EXPECT_EQ(received.seqs.size(), COUNT);
}

TEST(WorkerLinks, AnAttemptThatIsNoLongerCurrentIsNotSent) {
  Env env;
  Received received;
  received.answers = false;
  auto worker = env.join(received, 100);
  env.submit(2);
  env.events.onLost(worker, "test", env.clock.now());
  env.turn();
  EXPECT_TRUE(received.runs.empty());
  EXPECT_THAT(env.closed, testing::ElementsAre("test"));
}

TEST(WorkerLinks, ACancellationNeverOvertakesItsAssignment) {
  Env env;
  Received received;
  received.answers = false;
  env.join(received, 100);
  env.submit(12, BATCH_BYTES_TARGET);
  uint64_t last[] = {12};
  env.events.onCancel(env.space, last, env.clock.now());
  env.turn();
  EXPECT_TRUE(received.cancelled.empty()) << "task 12 waits for room, so its cancellation waits too";
  received.answers = true;
  for (auto& answer : received.unanswered) answer->fulfill();
  env.turn();
  EXPECT_EQ(received.seqs.size(), 12u);
  EXPECT_THAT(received.cancelled, testing::ElementsAre(12u));
}

TEST(WorkerLinks, AttemptsAreRecalledAfterTheirAssignmentsInOneCall) {
  Env env;
  Received received;
  auto worker = env.join(received, 100);
  env.submit(3);
  for (uint64_t seq = 2; seq <= 3; seq++) env.links.recall(worker, TaskId{env.space, seq}, Attempt(1));
  EXPECT_TRUE(received.recalled.empty()) << "ports only take notes";
  env.turn();
  EXPECT_EQ(received.seqs.size(), 3u);
  EXPECT_THAT(received.recalled, testing::ElementsAre(2u, 3u));
}

TEST(WorkerLinks, ResultsAreDiscardedInOneCall) {
  Env env;
  Received received;
  auto worker = env.join(received, 100);
  for (uint64_t seq = 2; seq <= 3; seq++) env.links.discard(worker, TaskId{env.space, seq}, Attempt(1));
  env.links.discard(WorkerId(worker.value + 1), TaskId{env.space, 4}, Attempt(1));  // has left
  env.turn();
  EXPECT_THAT(received.discarded, testing::ElementsAre(2u, 3u));
}

TEST(WorkerLinks, AWorkerThatRefusesACallIsLost) {
  Env env;
  Received received;
  received.answers = false;
  auto worker = env.join(received, 100);
  env.submit(1);
  env.turn();
  received.unanswered[0]->reject(KJ_EXCEPTION(FAILED, "no"));
  env.turn();
  EXPECT_EQ(env.core.workers.count(worker), 0u);
  EXPECT_EQ(env.closed.size(), 1u);
  EXPECT_EQ(env.core.queuedCount(), 1u) << "its task is back";
}

TEST(WorkerLinks, PastItsFunctionsAConnectionStartsAnew) {
  Env env;
  env.core.limits.functionsMax = LINK_FUNCTIONS_MAX + 10;
  Received received;
  auto worker = env.join(received, 1'000'000);
  env.core.limits.inflightMax = 1'000'000;
  for (uint i = 0; i < LINK_FUNCTIONS_MAX; i++) {
    env.tell(100 + i);
    env.submit(1, 1, 100 + i);
    if (i % 1000 == 0) env.turn();
  }
  env.submit(1, 1, 100);
  env.turn();
  EXPECT_EQ(env.core.workers.count(worker), 1u) << "the bound itself is fine";
  env.tell(99);
  env.submit(1, 1, 99);
  env.turn();
  EXPECT_EQ(env.core.workers.count(worker), 0u);
  ASSERT_EQ(env.closed.size(), 1u);
  EXPECT_THAT(env.closed[0], testing::HasSubstr("as many functions as it may"));
  env.core.checkInvariants();
}

TEST(WorkerSession, ItsEndIsTheWorkersLoss) {
  Env env;
  Received received;
  auto worker = env.join(received, 100);
  env.submit(1);
  env.turn();
  { schema::WorkerSession::Client session = kj::heap<WorkerSession>(env.links, worker); }
  EXPECT_EQ(env.core.workers.count(worker), 0u);
  EXPECT_EQ(env.core.queuedCount(), 1u);
  { schema::WorkerSession::Client again = kj::heap<WorkerSession>(env.links, worker); }  // twice is once
  env.core.checkInvariants();
}

TEST(WorkerSession, AWorkerThatLeavesGetsNoMoreWork) {
  Env env;
  Received received;
  auto worker = env.join(received, 100);
  schema::WorkerSession::Client session = kj::heap<WorkerSession>(env.links, worker);
  session.leaveRequest().send().ignoreResult().wait(env.scope);
  env.submit(1);
  env.turn();
  EXPECT_TRUE(received.runs.empty());
  EXPECT_EQ(env.core.workers.at(worker).state, core::WorkerState::DRAINING);
}

}  // namespace
}  // namespace epochly::dispatch

// Clients open, resume, vanish and close.
#include "support/sched_env.h"

namespace epochly::test {
namespace {

using testing::ElementsAre;

TEST(Clients, GetNamespacesOfTheirOwn) {
  SchedEnv env;
  auto other = env.events.onClientOpen(SpaceId(), HostId(), env.now);
  EXPECT_NE(other, env.space);
  EXPECT_NE(other.value, 0u);
}

TEST(Clients, AnUnknownNamespaceIsNotResumedButReplaced) {
  SchedEnv env;
  EXPECT_NE(env.events.onClientOpen(SpaceId(42), HostId(), env.now), SpaceId(42));
}

TEST(Clients, AResumedClientGetsItsUnacknowledgedResultsAgain) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.report(worker, SchedEnv::returned(task, 1));
  env.events.onResultsSent(env.space, 1);
  env.events.onClientLost(env.space, env.now);
  env.outbox.ready.clear();
  EXPECT_EQ(env.events.onClientOpen(env.space, HostId(), env.now), env.space);
  EXPECT_THAT(env.outbox.ready, ElementsAre(env.space));
  EXPECT_EQ(env.client().sent, 0u);
  EXPECT_EQ(env.client().results.size(), 1u);
}

TEST(Clients, AreOnTheHostThatTheirPresentConnectionTells) {
  SchedEnv env;
  auto& worker = env.core.workers.at(env.join(WorkerBuilder().host(7)));
  EXPECT_FALSE(env.core.sharesMemory(env.space, worker)) << "it did not say";
  env.events.onClientOpen(env.space, HostId(7), env.now);
  EXPECT_TRUE(env.core.sharesMemory(env.space, worker));
  env.events.onClientOpen(env.space, HostId(8), env.now);
  EXPECT_FALSE(env.core.sharesMemory(env.space, worker));
}

TEST(Clients, ALostClientsTasksRunOnWithinItsGraceAndAreCancelledAfter) {
  SchedEnv env;
  auto task = env.submit();
  env.events.onClientLost(env.space, env.now);
  env.pass(env.core.limits.clientGrace - 1 * kj::SECONDS);
  EXPECT_EQ(env.core.tasks.count(task), 1u);
  env.pass(2 * kj::SECONDS);
  EXPECT_EQ(env.core.tasks.count(task), 0u);
  EXPECT_EQ(env.core.clients.count(env.space), 0u);
  EXPECT_EQ(env.core.endedById.at(task)->outcome, core::Outcome::CANCELLED) << "its end is still visible";
}

TEST(Clients, TimeInWhichTheSchedulerItselfWasStoppedDoesNotUseUpAGrace) {
  SchedEnv env;
  env.events.onClientLost(env.space, env.now);
  env.sleep(60 * kj::SECONDS);
  EXPECT_EQ(env.events.onClientOpen(env.space, HostId(), env.now), env.space);
}

TEST(Clients, ClosingCancelsWhatRunsToo) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.events.onClientClosed(env.space, env.now);
  EXPECT_THAT(env.outbox.cancelled, ElementsAre(Sent{worker, task, Attempt(1)}));
  env.report(worker, SchedEnv::failed(task, 1, ErrorCode::CANCELLED));
  EXPECT_EQ(env.core.tasks.size(), 0u);
  EXPECT_EQ(env.core.endedById.at(task)->outcome, core::Outcome::CANCELLED);
}

TEST(Clients, ClosingDiscardsTheResultsThatAreInSharedMemory) {
  SchedEnv env;
  auto worker = env.join(WorkerBuilder().cpus(3));
  auto waits = env.submit(), isInline = env.submit(), comesLater = env.submit();
  env.report(worker, SchedEnv::returnedShared(waits, 1));
  env.report(worker, SchedEnv::returned(isInline, 1));
  env.events.onClientClosed(env.space, env.now);
  EXPECT_THAT(env.outbox.discarded, ElementsAre(Sent{worker, waits, Attempt(1)}));
  env.report(worker, SchedEnv::returnedShared(comesLater, 1));
  EXPECT_THAT(env.outbox.discarded, ElementsAre(Sent{worker, waits, Attempt(1)}, Sent{worker, comesLater, Attempt(1)}));
}

TEST(Clients, AResultThatTheClientHasTakenIsNotDiscarded) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.report(worker, SchedEnv::returnedShared(task, 1));
  env.events.onResultsSent(env.space, 1);
  env.events.onAcknowledged(env.space, 1);
  env.events.onClientClosed(env.space, env.now);
  EXPECT_TRUE(env.outbox.discarded.empty());
}

TEST(Clients, AResultOfAnAttemptThatIsNotCurrentIsDiscarded) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.report(worker, SchedEnv::returnedShared(task, 7));
  EXPECT_THAT(env.outbox.discarded, ElementsAre(Sent{worker, task, Attempt(7)}));
}

TEST(Clients, ClosingTouchesNobodyElsesTasks) {
  SchedEnv env;
  std::vector<TaskId> mine;
  for (int i = 0; i < 3; i++) mine.push_back(env.submit());
  env.events.onCancel(env.space, {mine[1].seq}, env.now);
  auto other = env.events.onClientOpen(SpaceId(), HostId(), env.now);
  auto theirs = TaskBuilder().build();
  theirs.seq = 1;
  env.events.onSubmit(other, kj::arrayPtr(&theirs, 1), env.now);
  env.events.onClientClosed(env.space, env.now);
  env.check();
  ASSERT_EQ(env.core.tasks.size(), 1u);
  EXPECT_EQ(env.core.tasks.begin()->first, (TaskId{other, 1}));
}

TEST(Clients, SubmittingToANamespaceThatIsNotOpenIsNotFound) {
  SchedEnv env;
  env.tell(1);
  auto task = TaskBuilder().build();
  try {
    env.events.onSubmit(SpaceId(42), kj::arrayPtr(&task, 1), env.now);
    FAIL();
  } catch (const kj::Exception& e) {
    EXPECT_EQ(codeOf(e), ErrorCode::NOT_FOUND);
  }
}

TEST(Clients, AFunctionThatWasNotToldRefusesTheWholeBatch) {
  SchedEnv env;
  env.tell(1);
  std::vector<events::NewTask> tasks;
  tasks.push_back(TaskBuilder().build());
  tasks.push_back(TaskBuilder().function(99).build());
  tasks[0].seq = 1;
  tasks[1].seq = 2;
  EXPECT_THROW(env.events.onSubmit(env.space, kj::arrayPtr(tasks.data(), 2), env.now), kj::Exception);
  EXPECT_EQ(env.core.tasks.size(), 0u);
}

TEST(Clients, WhileDrainingNothingNewIsAcceptedAndWhatRunsEnds) {
  SchedEnv env;
  auto worker = env.join();
  auto task = env.submit();
  env.events.onDrain(env.now);
  auto late = TaskBuilder().build();
  late.seq = 2;
  try {
    env.events.onSubmit(env.space, kj::arrayPtr(&late, 1), env.now);
    FAIL();
  } catch (const kj::Exception& e) {
    EXPECT_EQ(codeOf(e), ErrorCode::SHUTTING_DOWN);
  }
  env.report(worker, SchedEnv::returned(task, 1));
  EXPECT_EQ(env.client().results.size(), 1u);
}

TEST(Clients, WhileDrainingARepeatOfWhatWasAcceptedHasItsReceipt) {
  SchedEnv env;
  env.submit();
  env.events.onDrain(env.now);
  events::NewTask again[] = {TaskBuilder().build(), TaskBuilder().build()};
  again[0].seq = 1;
  again[1].seq = 2;
  auto receipt = env.events.onSubmit(env.space, again, env.now);
  EXPECT_EQ(receipt.accepted, 1u) << "the first receipt may have been lost with its connection";
  EXPECT_TRUE(receipt.retryAfter != nullptr);
}

TEST(Clients, TheStoreForgetsTheResultsOfAClientThatHasLeft) {
  SchedEnv env;
  auto worker = env.join(WorkerBuilder().cpus(2));
  auto waiting = env.submit();
  auto running = env.submit();
  env.report(worker, SchedEnv::returned(waiting, 1));
  env.events.onClientClosed(env.space, env.now);
  EXPECT_THAT(env.outbox.forgotten, ElementsAre(waiting));
  env.report(worker, SchedEnv::returned(running, 1));
  EXPECT_THAT(env.outbox.forgotten, ElementsAre(waiting, running));
}

TEST(Clients, OnlyWhatWasSentCanBeAcknowledged) {
  SchedEnv env;
  EXPECT_THROW(env.events.onAcknowledged(env.space, 1), kj::Exception);
}

}  // namespace
}  // namespace epochly::test

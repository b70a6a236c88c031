#include "support/sched_env.h"
#include "wire/task_spec.h"

namespace epochly::test {
namespace {

TEST(Admission, RefusesTheTaskAfterTheLastThatFits) {
  SchedEnv env;
  env.core.limits.tasksMax = 2;
  std::vector<events::NewTask> tasks;
  for (int i = 0; i < 3; i++) tasks.push_back(TaskBuilder().build());
  auto receipt = env.submitAll(kj::mv(tasks));
  EXPECT_EQ(receipt.accepted, 2u);
  EXPECT_FALSE(receipt.retryAfter == nullptr);
  EXPECT_EQ(env.core.tasks.size(), 2u);
}

TEST(Admission, TakesTheRestOnceThereIsRoomAgain) {
  SchedEnv env;
  env.core.limits.tasksMax = 1;
  auto worker = env.join();
  auto first = env.submit();
  std::vector<events::NewTask> rest;
  rest.push_back(TaskBuilder().build());
  rest.back().seq = 2;
  EXPECT_EQ(env.submitAll(kj::mv(rest)).accepted, 0u);
  env.report(worker, SchedEnv::returned(first, 1));
  std::vector<events::NewTask> again;
  again.push_back(TaskBuilder().build());
  again.back().seq = 2;
  EXPECT_EQ(env.submitAll(kj::mv(again)).accepted, 1u);
}

TEST(Admission, CountsArgumentBytesOfAllThatHasNotEnded) {
  SchedEnv env;
  env.core.limits.argumentBytesMax = 1000;
  env.submit(TaskBuilder().bytes(1000));
  std::vector<events::NewTask> tasks;
  tasks.push_back(TaskBuilder().bytes(1).build());
  EXPECT_EQ(env.submitAll(kj::mv(tasks)).accepted, 0u);
}

TEST(Admission, AClientThatDoesNotTakeItsResultsIsAskedToWait) {
  SchedEnv env;
  env.core.limits.resultBytesMax = 10;
  auto worker = env.join();
  auto task = env.submit();
  auto report = SchedEnv::returned(task, 1);
  report.value.pickle = kj::heapArray<byte>(10);
  env.report(worker, kj::mv(report));
  std::vector<events::NewTask> tasks;
  tasks.push_back(TaskBuilder().build());
  EXPECT_EQ(env.submitAll(kj::mv(tasks)).accepted, 0u);
  env.events.onResultsSent(env.space, 1);
  env.events.onAcknowledged(env.space, 1);
  env.submit();
}

TEST(Admission, ResultsWithoutAValueCountAgainstTheBoundToo) {
  SchedEnv env;
  env.core.limits.resultBytesMax = 2 * sizeof(core::Result);
  for (int i = 0; i < 2; i++) {
    uint64_t seq = env.submit().seq;
    env.events.onCancel(env.space, kj::arrayPtr(&seq, 1), env.now);
  }
  std::vector<events::NewTask> tasks;
  tasks.push_back(TaskBuilder().build());
  EXPECT_EQ(env.submitAll(kj::mv(tasks)).accepted, 0u);
}

TEST(Admission, BoundsWorkersAndClients) {
  SchedEnv env;
  env.core.limits.workersMax = 1;
  env.core.limits.clientsMax = 1;
  env.join();
  EXPECT_THROW(env.events.onJoin(WorkerBuilder().build(), env.now), kj::Exception);
  EXPECT_THROW(env.events.onClientOpen(SpaceId(), HostId(), env.now), kj::Exception);
}

struct Invalid {
  int level;
  uint32_t retries;
  uint32_t timeoutMs;
  size_t bytes;
  ErrorCode code;
};

TEST(Admission, NamesWhatIsWrongWithATask) {
  const Invalid rows[] = {
      {5, 0, 0, 0, ErrorCode::INVALID_ARGUMENT},
      {-2, 0, 0, 0, ErrorCode::INVALID_ARGUMENT},
      {0, RETRIES_MAX + 1, 0, 0, ErrorCode::INVALID_ARGUMENT},
      {0, 0, TIMEOUT_MS_MAX + 1, 0, ErrorCode::INVALID_ARGUMENT},
      {0, 0, 0, PAYLOAD_BYTES_MAX + 1, ErrorCode::PAYLOAD_TOO_LARGE},
  };
  for (auto& row : rows) {
    KJ_IF_MAYBE(failure, admission::invalid(row.level, row.retries, row.timeoutMs, row.bytes)) {
      EXPECT_EQ(failure->code, row.code);
    } else {
      ADD_FAILURE() << row.level << " " << row.retries << " " << row.timeoutMs << " " << row.bytes;
    }
  }
  EXPECT_TRUE(admission::invalid(4, RETRIES_MAX, TIMEOUT_MS_MAX, PAYLOAD_BYTES_MAX) == nullptr);
  EXPECT_TRUE(admission::invalid(-1, 0, 0, 0) == nullptr);
}

TEST(Admission, AnInvalidTaskIsAcceptedAndEndsWithItsError) {
  SchedEnv env;
  env.submit(TaskBuilder().levelNumber(99));
  EXPECT_EQ(env.lastResult().failure.code, ErrorCode::INVALID_ARGUMENT);
  EXPECT_EQ(env.core.tasks.size(), 0u);
}

}  // namespace
}  // namespace epochly::test

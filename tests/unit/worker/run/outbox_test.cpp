#include "run/outbox.h"

#include <gtest/gtest.h>

#include "wire/task_spec.h"

namespace epochly::run {
namespace {

AttemptName name(uint64_t seq) { return {TaskId{SpaceId(7), seq}, Attempt(3)}; }

// A frame of an executor with `count` results of `bytes` each, from seq on.
void addFrame(Outbox& outbox, uint64_t seq, uint count, size_t bytes) {
  capnp::MallocMessageBuilder message;
  auto list = message.initRoot<schema::FromExecutor>().initResults().initResults(count);
  for (uint i = 0; i < count; i++) {
    writeTaskId(name(seq + i).task, list[i].initTask());
    list[i].initValue().initPickle(bytes);
  }
  auto frame = kj::refcounted<ResultFrame>(capnp::messageToFlatArray(message));
  for (auto result : frame->message().getResults().getResults()) outbox.add({kj::addRef(*frame), result, frame->bytes() / count});
}

TEST(Outbox, GivesResultsInTheirOrderWithTheMemoryTheyPointInto) {
  Outbox outbox;
  addFrame(outbox, 1, 2, 100);
  outbox.addNotRun(name(3), Level::MONITOR);
  outbox.addFailure(name(4), Level::THREADS, Failure::of(ErrorCode::TIMEOUT, kj::str("too long")));
  auto batch = outbox.takeBatch();
  ASSERT_EQ(batch.size(), 4u);
  for (uint i = 0; i < 4; i++) EXPECT_EQ(batch[i].reader.getTask().getSeq(), i + 1);
  EXPECT_EQ(batch[0].reader.getValue().getPickle().size(), 100u);
  EXPECT_TRUE(batch[2].reader.getNotRun());
  EXPECT_EQ(batch[3].reader.getFailure().getCode(), static_cast<uint16_t>(ErrorCode::TIMEOUT));
  EXPECT_STREQ(batch[3].reader.getFailure().getMessage().cStr(), "too long");
  EXPECT_EQ(batch[3].reader.getLevelRan(), 1);
  EXPECT_EQ(batch[3].reader.getAttempt(), 3u);
  EXPECT_EQ(outbox.size(), 0u);
}

TEST(Outbox, ClosesABatchAtItsCount) {
  Outbox outbox;
  addFrame(outbox, 1, BATCH_TASKS_MAX + 1, 1);
  EXPECT_EQ(outbox.takeBatch().size(), BATCH_TASKS_MAX);
  EXPECT_EQ(outbox.takeBatch().size(), 1u);
  EXPECT_EQ(outbox.takeBatch().size(), 0u);
}

TEST(Outbox, ClosesABatchAtItsBytesButSendsALargeResultAlone) {
  Outbox outbox;
  for (uint64_t seq = 1; seq <= 3; seq++) addFrame(outbox, seq, 1, BATCH_BYTES_TARGET / 2);
  addFrame(outbox, 4, 1, PAYLOAD_BYTES_MAX);
  EXPECT_EQ(outbox.takeBatch().size(), 1u) << "two of them, with their framing, are more than the target";
  EXPECT_EQ(outbox.takeBatch().size(), 1u);
  EXPECT_EQ(outbox.takeBatch().size(), 1u);
  auto large = outbox.takeBatch();
  ASSERT_EQ(large.size(), 1u);
  EXPECT_EQ(large[0].reader.getTask().getSeq(), 4u);
}

}  // namespace
}  // namespace epochly::run

#include "rpc/results_batch.h"

#include <capnp/message.h>
#include <gtest/gtest.h>

#include "wire/task_spec.h"

namespace epochly::rpc {
namespace {

core::Result result(uint64_t seq, uint64_t worker = 1, const char* declined = nullptr, size_t bytes = 8) {
  core::Result result;
  result.id = TaskId{SpaceId(1), seq};
  result.value.pickle = kj::heapArray<byte>(bytes);
  result.placement.worker = WorkerId(worker);
  result.placement.workerName = kj::str("w", worker);
  if (declined != nullptr) result.placement.declined.add(core::Decline{Level::GPU, kj::str(declined)});
  return result;
}

struct Written {
  capnp::MallocMessageBuilder message;
  schema::Results::Builder builder = message.initRoot<schema::Results>();
  explicit Written(const ResultsBatch& batch) { batch.write(builder); }
};

TEST(ResultsBatch, SharesEqualPlacements) {
  core::Client client;
  client.results.push_back(result(1, 1));
  client.results.push_back(result(2, 2));
  client.results.push_back(result(3, 1));
  client.results.push_back(result(4, 1, "no GPU"));
  client.results.push_back(result(5, 1, "another reason"));
  client.results.push_back(result(6, 1, "another reason"));
  ResultsBatch batch(client);
  Written written(batch);
  ASSERT_EQ(batch.count(), 6u);
  EXPECT_EQ(written.builder.getPlacements().size(), 4u);
  auto results = written.builder.getResults();
  EXPECT_EQ(results[0].getPlacement(), results[2].getPlacement());
  EXPECT_NE(results[0].getPlacement(), results[1].getPlacement());
  EXPECT_NE(results[3].getPlacement(), results[4].getPlacement()) << "equal but for the reason";
  EXPECT_EQ(results[4].getPlacement(), results[5].getPlacement());
}

TEST(ResultsBatch, BeginsAfterWhatWasSent) {
  core::Client client;
  for (uint64_t seq = 1; seq <= 5; seq++) client.results.push_back(result(seq));
  client.sent = 3;
  ResultsBatch batch(client);
  Written written(batch);
  EXPECT_EQ(batch.count(), 2u);
  EXPECT_EQ(written.builder.getResults()[0].getSeq(), 4u);
}

TEST(ResultsBatch, EndsAtItsBounds) {
  core::Client many;
  for (uint64_t seq = 1; seq <= BATCH_TASKS_MAX + 1; seq++) many.results.push_back(result(seq));
  EXPECT_EQ(ResultsBatch(many).count(), BATCH_TASKS_MAX);
  core::Client large;
  for (uint64_t seq = 1; seq <= 5; seq++) large.results.push_back(result(seq, 1, nullptr, BATCH_BYTES_TARGET / 2));
  EXPECT_EQ(ResultsBatch(large).count(), 2u);
  core::Client huge;
  huge.results.push_back(result(1, 1, nullptr, 4 * BATCH_BYTES_TARGET));
  EXPECT_EQ(ResultsBatch(huge).count(), 1u) << "one always goes";
}

// The estimate keeps a batch's message in one piece, so it must never be short.
TEST(ResultsBatch, TakesNoMoreWordsThanReckoned) {
  core::Client client;
  for (uint64_t seq = 1; seq <= 20; seq++) client.results.push_back(result(seq, seq, "a reason of some length", seq * 7));
  client.results.push_back(result(21));
  client.results.back().outcome = core::Outcome::FAILED;
  client.results.back().failure = Failure::of(ErrorCode::USER_EXCEPTION, kj::str("message"));
  client.results.back().failure.traceback = kj::str("Traceback (most recent call last)");
  client.results.push_back(result(22));
  client.results.back().outcome = core::Outcome::CANCELLED;
  ResultsBatch batch(client);
  Written written(batch);
  EXPECT_LE(written.builder.totalSize().wordCount * sizeof(capnp::word), batch.bytes() + 64);
  EXPECT_TRUE(written.builder.getResults()[21].isCancelled());
}

}  // namespace
}  // namespace epochly::rpc

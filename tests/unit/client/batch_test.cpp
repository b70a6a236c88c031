#include "ext/client_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <capnp/message.h>

#include "unit/client/client_env.h"
#include "wire/task_spec.h"

namespace epochly::client {
namespace {

using ::testing::ElementsAre;

std::vector<TaskSpec> tasksOf(std::initializer_list<std::shared_ptr<const Function>> functions) {
  std::vector<TaskSpec> batch;
  for (auto& function : functions) {
    batch.push_back(taskOf(function));
    batch.back().entry->seq = batch.size();
  }
  return batch;
}

TEST(FunctionTable, NamesAFunctionOnce) {
  FunctionTable table;
  bool isNew;
  auto a = functionNamed("a");
  table.begin();
  EXPECT_EQ(table.idFor(a, isNew), 1u);
  EXPECT_TRUE(isNew);
  EXPECT_EQ(table.idFor(a, isNew), 1u);
  EXPECT_FALSE(isNew);
  table.begin();
  EXPECT_EQ(table.idFor(a, isNew), 1u);
  EXPECT_FALSE(isNew);
}

TEST(FunctionTable, GivesTheLeastRecentlyUsedIdToANewFunctionAtTheBound) {
  FunctionTable table(2);
  bool isNew;
  auto a = functionNamed("a"), b = functionNamed("b"), c = functionNamed("c");
  table.begin();
  auto idA = table.idFor(a, isNew);
  auto idB = table.idFor(b, isNew);
  table.begin();
  EXPECT_EQ(table.idFor(a, isNew), idA);
  EXPECT_EQ(table.idFor(c, isNew), idB);
  EXPECT_TRUE(isNew);
  table.begin();
  EXPECT_EQ(table.idFor(b, isNew), idA) << "a is now the oldest";
  EXPECT_TRUE(isNew);
}

TEST(FunctionTable, NeverGivesAnIdTwoMeaningsInOneMessage) {
  FunctionTable table(2);
  bool isNew;
  table.begin();
  EXPECT_NE(table.idFor(functionNamed("a"), isNew), 0u);
  EXPECT_NE(table.idFor(functionNamed("b"), isNew), 0u);
  EXPECT_EQ(table.idFor(functionNamed("c"), isNew), 0u);
}

TEST(FunctionTable, TellsAgainWhatARefusedMessageTold) {
  FunctionTable table;
  bool isNew;
  auto a = functionNamed("a"), b = functionNamed("b");
  table.begin();
  table.idFor(a, isNew);
  table.begin();
  table.idFor(a, isNew);
  auto idB = table.idFor(b, isNew);
  table.forgetMessage();
  table.begin();
  table.idFor(a, isNew);
  EXPECT_FALSE(isNew) << "it was told with an earlier message";
  EXPECT_EQ(table.idFor(b, isNew), idB);
  EXPECT_TRUE(isNew);
}

TEST(Plan, SendsAFunctionWithItsFirstTask) {
  FunctionTable table;
  auto a = functionNamed("a"), b = functionNamed("b");
  auto batch = tasksOf({a, b, a});
  auto plan = planSubmission(batch, BATCH_TASKS_MAX, table);
  EXPECT_THAT(plan.functionIds, ElementsAre(1, 2, 1));
  EXPECT_EQ(plan.functions.size(), 2u);

  capnp::MallocMessageBuilder message;
  auto submission = message.initRoot<schema::Submission>();
  writeSubmission(batch, plan, submission);
  EXPECT_EQ(submission.getFunctions()[1].getName(), "b");
  EXPECT_EQ(submission.getTasks()[2].getSeq(), 3u);
  EXPECT_EQ(submission.getTasks()[2].getFunction(), 1u);
}

TEST(Plan, TellsWhatWasMeasuredWithTheTaskThatBringsIt) {
  FunctionTable table;
  auto a = functionNamed("a"), b = functionNamed("b");
  auto batch = tasksOf({a, b, b});
  batch[1].workload = std::make_unique<Workload>(Workload{0.5, 1000, 10, 7});
  auto plan = planSubmission(batch, BATCH_TASKS_MAX, table);
  capnp::MallocMessageBuilder message;
  auto submission = message.initRoot<schema::Submission>();
  writeSubmission(batch, plan, submission);
  ASSERT_EQ(submission.getWorkloads().size(), 1u);
  EXPECT_EQ(submission.getWorkloads()[0].getFunction(), 2u);
  EXPECT_EQ(submission.getWorkloads()[0].getWorkload().getIoWaitRatio(), 0.5);
  EXPECT_EQ(submission.getWorkloads()[0].getWorkload().getSamples(), 7u);
}

TEST(Plan, HoldsNoMoreTasksThanAsked) {
  FunctionTable table;
  auto a = functionNamed("a");
  EXPECT_EQ(planSubmission(tasksOf({a, a, a}), 2, table).tasks(), 2u);
}

TEST(Plan, ClosesAtTheBatchTarget) {
  FunctionTable table;
  auto a = functionNamed("a");
  std::vector<TaskSpec> batch;
  for (int i = 0; i < 4; i++) batch.push_back(largeTask(a, BATCH_BYTES_TARGET / 2));
  EXPECT_EQ(planSubmission(batch, BATCH_TASKS_MAX, table).tasks(), 2u);
}

TEST(Plan, SendsTheLargestPayloadAlone) {
  FunctionTable table;
  auto a = functionNamed("a");
  std::vector<TaskSpec> batch;
  batch.push_back(taskOf(a));
  batch.push_back(largeTask(a, PAYLOAD_BYTES_MAX));
  EXPECT_EQ(planSubmission(batch, BATCH_TASKS_MAX, table).tasks(), 1u);
  batch.erase(batch.begin());
  EXPECT_EQ(planSubmission(batch, BATCH_TASKS_MAX, table).tasks(), 1u);
}

TEST(Plan, SendsAFunctionAheadWhenItAndTheArgumentsExceedAMessage) {
  FunctionTable table;
  std::vector<TaskSpec> batch;
  batch.push_back(largeTask(functionNamed("a", FUNCTION_BYTES_MAX), PAYLOAD_BYTES_MAX));
  auto first = planSubmission(batch, BATCH_TASKS_MAX, table);
  EXPECT_EQ(first.tasks(), 0u);
  EXPECT_EQ(first.functions.size(), 1u);
  auto second = planSubmission(batch, BATCH_TASKS_MAX, table);
  EXPECT_EQ(second.tasks(), 1u);
  EXPECT_EQ(second.functions.size(), 0u);
}

TEST(Plan, ClosesWhenEveryFunctionIdIsTaken) {
  FunctionTable table(2);
  auto batch = tasksOf({functionNamed("a"), functionNamed("b"), functionNamed("c")});
  EXPECT_EQ(planSubmission(batch, BATCH_TASKS_MAX, table).tasks(), 2u);
  batch.erase(batch.begin(), batch.begin() + 2);
  EXPECT_EQ(planSubmission(batch, BATCH_TASKS_MAX, table).tasks(), 1u);
}

}  // namespace
}  // namespace epochly::client

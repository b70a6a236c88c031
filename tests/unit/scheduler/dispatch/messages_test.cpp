#include "dispatch/messages.h"

#include <capnp/message.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wire/task_spec.h"

namespace epochly::dispatch {
namespace {

using testing::HasSubstr;

template <typename Act>
ErrorCode codeThrown(Act&& act) {
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { act(); })) {
    return codeOf(*error);
  }
  return ErrorCode::NONE;
}

struct Info {
  capnp::MallocMessageBuilder message;
  schema::WorkerInfo::Builder builder = message.initRoot<schema::WorkerInfo>();
  auto read() { return readWorkerInfo(builder.asReader()); }
};

TEST(WorkerInfo, IsReadWhole) {
  Info info;
  info.builder.setName("box:1");
  info.builder.setHost(7);
  info.builder.setPythonVersion(0x30c);
  auto capabilities = info.builder.initCapabilities(2);
  capabilities[0].setSlots(4);
  capabilities[1].setLevel(1);
  capabilities[1].setSlots(SLOTS_MAX);
  auto facts = info.builder.initFacts(3);
  facts[0].setName("cpu.model");
  facts[0].setKnown("i9");
  facts[1].setAbsent("no /dev/nvidia0");
  facts[2].setUnknown("cannot read /proc");
  auto spec = info.read();
  EXPECT_STREQ(spec.name.cStr(), "box:1");
  EXPECT_EQ(spec.host, HostId(7));
  EXPECT_EQ(spec.slots[0], 4u);
  EXPECT_EQ(spec.slots[1], SLOTS_MAX);
  EXPECT_FALSE(spec.offers(Level::JIT));
  ASSERT_EQ(spec.facts.size(), 3u);
  EXPECT_EQ(spec.facts[0].kind, core::Fact::Kind::KNOWN);
  EXPECT_EQ(spec.facts[1].kind, core::Fact::Kind::ABSENT);
  EXPECT_EQ(spec.facts[2].kind, core::Fact::Kind::UNKNOWN);
}

TEST(WorkerInfo, PastItsBoundsIsRefused) {
  Info level;
  level.builder.initCapabilities(1)[0].setLevel(5);
  EXPECT_EQ(codeThrown([&] { level.read(); }), ErrorCode::INVALID_ARGUMENT);
  Info slots;
  slots.builder.initCapabilities(1)[0].setSlots(SLOTS_MAX + 1);
  EXPECT_EQ(codeThrown([&] { slots.read(); }), ErrorCode::INVALID_ARGUMENT);
  Info capabilities;
  capabilities.builder.initCapabilities(LEVEL_COUNT + 1);
  EXPECT_EQ(codeThrown([&] { capabilities.read(); }), ErrorCode::INVALID_ARGUMENT);
  Info facts;
  facts.builder.initFacts(FACTS_MAX + 1);
  EXPECT_EQ(codeThrown([&] { facts.read(); }), ErrorCode::INVALID_ARGUMENT);
  Info most;
  most.builder.initFacts(FACTS_MAX);
  most.builder.initCapabilities(LEVEL_COUNT);
  EXPECT_EQ(codeThrown([&] { most.read(); }), ErrorCode::NONE);
}

TEST(WorkerInfo, LongNamesAreCut) {
  Info info;
  info.builder.setName(std::string(1000, 'n').c_str());
  EXPECT_EQ(info.read().name.size(), NAME_BYTES_MAX);
}

struct Results {
  capnp::MallocMessageBuilder message;
  schema::AttemptResults::Builder builder = message.initRoot<schema::AttemptResults>();
  capnp::List<schema::AttemptResult>::Builder list;

  explicit Results(uint count) : list(builder.initResults(count)) {}
  auto read() { return readAttemptResults(builder.asReader()); }
};

std::string failureOf(const events::AttemptReport& report, ErrorCode code) {
  KJ_IF_MAYBE(failure, report.failure) {
    EXPECT_EQ(failure->code, code);
    return failure->message.cStr();
  }
  ADD_FAILURE() << "it did not fail";
  return "";
}

TEST(AttemptResults, AreReadWhole) {
  Results results(1);
  auto result = results.list[0];
  writeTaskId(TaskId{SpaceId(3), 4}, result.initTask());
  result.setAttempt(2);
  result.setLevelRan(1);
  result.initValue().initPickle(5);
  auto declined = result.initDeclined(1)[0];
  declined.setLevel(4);
  declined.setReason("no GPU");
  result.initTimings().setRun(77);
  result.setLoopIterations(12);
  auto report = results.read();
  EXPECT_EQ(report[0].task, (TaskId{SpaceId(3), 4}));
  EXPECT_EQ(report[0].attempt, Attempt(2));
  EXPECT_EQ(report[0].levelRan, Level::THREADS);
  EXPECT_EQ(report[0].value.pickle.size(), 5u);
  EXPECT_TRUE(report[0].failure == nullptr);
  ASSERT_EQ(report[0].declined.size(), 1u);
  EXPECT_EQ(report[0].declined[0].level, Level::GPU);
  EXPECT_EQ(report[0].timings.run, 77u);
  EXPECT_EQ(report[0].timings.queue, core::Timings::NONE);
  EXPECT_EQ(report[0].loopIterations, 12);
  EXPECT_TRUE(std::isnan(report[0].dataSize));
}

TEST(AttemptResults, FiguresThatCannotBeWereNotMeasured) {
  Results results(1);
  results.list[0].setLoopIterations(-1);
  results.list[0].setDataSize(INFINITY);
  auto report = results.read();
  EXPECT_TRUE(std::isnan(report[0].loopIterations));
  EXPECT_TRUE(std::isnan(report[0].dataSize));
}

TEST(AttemptResults, ABatchHasItsBound) {
  EXPECT_EQ(Results(BATCH_TASKS_MAX).read().size(), BATCH_TASKS_MAX);
  EXPECT_EQ(codeThrown([] { Results(BATCH_TASKS_MAX + 1).read(); }), ErrorCode::INVALID_ARGUMENT);
}

TEST(AttemptResults, AResultOverTheLimitIsItsTasksFailure) {
  Results results(3);
  results.list[0].initValue().initPickle(PAYLOAD_BYTES_MAX + 1);
  results.list[1].initValue().initBuffers(BUFFERS_MAX + 1);
  results.list[2].initValue().initBuffers(1);
  auto reports = results.read();
  EXPECT_THAT(failureOf(reports[0], ErrorCode::PAYLOAD_TOO_LARGE), HasSubstr("over the limit"));
  EXPECT_THAT(failureOf(reports[1], ErrorCode::PAYLOAD_TOO_LARGE), HasSubstr("buffers"));
  EXPECT_TRUE(reports[2].failure == nullptr);
}

TEST(AttemptResults, AnImpossibleLevelIsItsTasksFailure) {
  Results results(1);
  results.list[0].setLevelRan(5);
  auto reports = results.read();
  EXPECT_THAT(failureOf(reports[0], ErrorCode::INTERNAL), HasSubstr("level 5"));
}

TEST(AttemptResults, FailuresAreCutToTheirBounds) {
  Results results(1);
  auto failure = results.list[0].initFailure();
  failure.setCode(static_cast<uint16_t>(ErrorCode::USER_EXCEPTION));
  failure.setType(std::string(500, 't').c_str());
  failure.setTraceback(std::string(TRACEBACK_BYTES_MAX + 1, 'b').c_str());
  failure.setMessage("caf\xe9");
  auto reports = results.read();
  auto& read = KJ_ASSERT_NONNULL(reports[0].failure);
  EXPECT_EQ(read.type.size(), NAME_BYTES_MAX);
  EXPECT_EQ(read.traceback.size(), TRACEBACK_BYTES_MAX);
  EXPECT_STREQ(read.message.cStr(), "caf?");
}

TEST(AttemptResults, AFailureWithoutACodeIsInternal) {
  Results results(1);
  results.list[0].initFailure();
  auto reports = results.read();
  failureOf(reports[0], ErrorCode::INTERNAL);
}

// The estimate keeps a batch's message in one piece, so it must never be short.
TEST(Assignments, TakeNoMoreWordsThanReckoned) {
  core::Function function;
  function.name = kj::str("module.name");
  function.module = kj::str("module");
  function.code = kj::heapArray<byte>(1001);
  core::Task task;
  task.function = &function;
  task.arguments.pickle = kj::heapArray<byte>(33);
  task.arguments.buffers = kj::heapArray<Payload::Buffer>(2);
  task.arguments.buffers[0].init<kj::Array<byte>>(kj::heapArray<byte>(9));
  task.arguments.buffers[1].init<SharedBuffer>(SharedBuffer{HostId(1), kj::str("/epochly-0-0123456789abcdef"), 0, 9});
  capnp::MallocMessageBuilder message;
  auto functions = message.initRoot<schema::Assignments>();
  writeFunction(function, 0, functions.initFunctions(1)[0]);
  EXPECT_LE(functions.totalSize().wordCount, wordsOf(function) + 4);
  capnp::MallocMessageBuilder other;
  auto assignments = other.initRoot<schema::Assignments>();
  writeAssignment(task, 0, true, assignments.initAssignments(1)[0]);
  EXPECT_LE(assignments.totalSize().wordCount, wordsOf(task) + 4);
}

}  // namespace
}  // namespace epochly::dispatch

// The function table is bounded, and what is in use stays.
#include "support/sched_env.h"
#include "wire/task_spec.h"

namespace epochly::test {
namespace {

FunctionHash hash(uint64_t low) { return FunctionHash{0, low}; }

TEST(Functions, UnusedOnesMakeRoomOldestUseFirst) {
  SchedEnv env;
  env.core.limits.functionsMax = 2;
  env.tell(1);
  env.events.releaseFunction(hash(1));
  env.pass(1 * kj::SECONDS);
  env.tell(2);
  env.events.releaseFunction(hash(2));
  env.tell(3);
  EXPECT_EQ(env.core.functions.count(hash(1)), 0u);
  EXPECT_EQ(env.core.functions.count(hash(2)), 1u);
  env.check();
}

TEST(Functions, ThoseInUseStayAndTheNextIsRefused) {
  SchedEnv env;
  env.core.limits.functionsMax = 2;
  env.tell(1);
  env.tell(2);
  EXPECT_THROW(env.tell(3), kj::Exception);
  EXPECT_EQ(env.core.functions.size(), 2u);
}

TEST(Functions, BytesAreBoundedToo) {
  SchedEnv env;
  env.core.limits.functionBytesMax = 40;  // two of 16
  env.tell(1);
  env.tell(2);
  EXPECT_THROW(env.tell(3), kj::Exception);
  env.events.releaseFunction(hash(1));
  env.tell(3);
  env.check();
}

TEST(Functions, OneOverTheSizeLimitIsRefused) {
  SchedEnv env;
  try {
    env.events.onFunction(
        events::NewFunction{.hash = hash(1), .name = kj::str("f"), .code = kj::heapArray<byte>(FUNCTION_BYTES_MAX + 1)});
    FAIL();
  } catch (const kj::Exception& e) {
    EXPECT_EQ(codeOf(e), ErrorCode::PAYLOAD_TOO_LARGE);
  }
}

TEST(Functions, AnotherCodeUnderAKnownHashIsRefused) {
  SchedEnv env;
  env.tell(1);
  EXPECT_THROW(
      env.events.onFunction(events::NewFunction{.hash = hash(1), .name = kj::str("g"), .code = kj::heapArray<byte>(17)}),
      kj::Exception);
}

TEST(Functions, ReportedWorkloadsClassifyTheFirstCall) {
  SchedEnv env;
  env.tell(1);
  env.events.onWorkload(hash(1), core::Workload{0.1, 50'000, 10, 3});
  auto task = env.submit();
  EXPECT_EQ(env.task(task).levelChosen, Level::JIT);
}

}  // namespace
}  // namespace epochly::test

#include "route/window.h"
#include "support/sched_env.h"

namespace epochly::test {
namespace {

using testing::ElementsAre;

TEST(Router, PrefersAWorkerThatHasTheFunction) {
  SchedEnv env;
  env.tell(1);
  env.join();
  auto warm = env.join();
  env.events.onFunctionSent(warm, FunctionHash{0, 1});
  auto task = env.submit();
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{warm, task, Attempt(1)}));
}

TEST(Router, TakesAColdWorkerOnceTheWarmOnesQueueCostsMore) {
  SchedEnv env;
  env.tell(1);
  auto cold = env.join();
  auto warm = env.join();
  env.events.onFunctionSent(warm, FunctionHash{0, 1});
  env.submit();
  auto second = env.submit();
  auto sent = env.takeSent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1], (Sent{cold, second, Attempt(1)})) << "5 ms ahead against 1 ms of loading";
}

// Has it run at `level` on `worker`, where compiling took so long.
void compiledBy(SchedEnv& env, WorkerId worker, Level level, double compileSeconds) {
  auto task = env.submit(TaskBuilder().level(level));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{worker, task, Attempt(1)}));
  auto report = SchedEnv::returned(task, 1);
  report.levelRan = level;
  report.timings.compile = static_cast<uint64_t>(compileSeconds * 1e9);
  env.report(worker, kj::mv(report));
}

struct TwoCompilers : SchedEnv {
  WorkerId first = join(WorkerBuilder().offers(Level::JIT, 1).offers(Level::MULTICORE, 1));
  WorkerId second = join(WorkerBuilder().offers(Level::JIT, 1).offers(Level::MULTICORE, 1));
  TwoCompilers() {
    tell(1);
    for (auto worker : {first, second}) events.onFunctionSent(worker, FunctionHash{0, 1});
  }
};

TEST(Router, PrefersAWorkerThatHasTheCode) {
  TwoCompilers env;
  auto blocker = env.submit(TaskBuilder().function(2));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{env.first, blocker, Attempt(1)}));
  compiledBy(env, env.second, Level::JIT, 0.05);
  env.report(env.first, SchedEnv::returned(blocker, 1));
  auto task = env.submit(TaskBuilder().level(Level::JIT));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{env.second, task, Attempt(1)})) << "a tie would go to the first";
}

TEST(Router, CodeForOneLevelIsNoneForAnother) {
  TwoCompilers env;
  auto blocker = env.submit(TaskBuilder().function(2));
  env.takeSent();
  compiledBy(env, env.second, Level::JIT, 0.05);
  env.report(env.first, SchedEnv::returned(blocker, 1));
  auto task = env.submit(TaskBuilder().level(Level::MULTICORE));
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{env.first, task, Attempt(1)}));
}

TEST(Router, TakesAWorkerWithoutTheCodeOnceTheOthersQueueCostsMore) {
  TwoCompilers env;
  compiledBy(env, env.first, Level::JIT, 1e-4);
  env.submit(TaskBuilder().level(Level::JIT));
  auto second = env.submit(TaskBuilder().level(Level::JIT));
  EXPECT_EQ(env.takeSent().back(), (Sent{env.second, second, Attempt(1)})) << "1 ms ahead against 0.1 ms of compiling";
}

TEST(Router, NoWorkerHoldsMoreThanItsWindowHoweverManySlotsItHas) {
  SchedEnv env;
  env.core.limits.inflightMax = 3;
  auto worker = env.join(WorkerBuilder().cpus(8));
  for (int i = 0; i < 8; i++) env.submit();
  EXPECT_EQ(env.core.workers.at(worker).inflight.size(), 3u);
  EXPECT_LE(route::window(env.core.workers.at(worker), env.core.limits), 3u);
}

TEST(Router, ALevelHasItsOwnSlotsWithinItsPool) {
  SchedEnv env;
  env.tell(1);
  for (auto level : {Level::MONITOR, Level::JIT}) {
    env.core.functions.at(FunctionHash{0, 1}).runSeconds[static_cast<uint>(level)].add(1.0);
  }
  auto& worker = env.core.workers.at(env.join(WorkerBuilder().cpus(4).offers(Level::JIT, 1)));
  for (int i = 0; i < 3; i++) env.submit(TaskBuilder().level(Level::JIT));
  EXPECT_EQ(worker.inflight.size(), 1u) << "its pool has four slots, this level one";
  for (int i = 0; i < 5; i++) env.submit(TaskBuilder().level(Level::MONITOR));
  EXPECT_EQ(worker.inflight.size(), 4u) << "the others of the pool are for the other levels";
}

TEST(Router, TiesGoToTheLowerId) {
  SchedEnv env;
  auto first = env.join();
  env.join();
  auto task = env.submit();
  EXPECT_THAT(env.takeSent(), ElementsAre(Sent{first, task, Attempt(1)}));
}

TEST(Router, SpreadsKnownWorkByItsLength) {
  SchedEnv env;
  env.tell(1);
  env.core.functions.at(FunctionHash{0, 1}).runSeconds[0].add(1.0);
  auto one = env.join(WorkerBuilder().cpus(1));
  auto four = env.join(WorkerBuilder().cpus(4));
  for (int i = 0; i < 20; i++) env.submit();
  EXPECT_EQ(env.core.workers.at(one).inflight.size(), 1u);
  EXPECT_EQ(env.core.workers.at(four).inflight.size(), 4u) << "long tasks are not sent ahead of a free slot";
}

}  // namespace
}  // namespace epochly::test

#include "support/supervisor_env.h"

#include <csignal>
#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "objects/name.h"

namespace epochly::run {
namespace {

using testing::HasSubstr;

// What fake executors do before they are ready.
struct Fault {
  explicit Fault(const char* name) { setenv("FAKE_EXECUTOR", name, 1); }
  ~Fault() { unsetenv("FAKE_EXECUTOR"); }
};

bool alive(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  stat >> number >> name >> state;
  return !state.empty() && state != "Z";
}

TEST(Supervisor, RunsAttemptsAndGivesTheirResults) {
  SupervisorEnv env;
  env.startAndWait();
  EXPECT_EQ(env.run(1, "echo hello").value, "hello");
  EXPECT_EQ(env.run(2, "echo there", Level::THREADS).value, "there");
  auto failed = env.run(3, "raise");
  EXPECT_EQ(failed.code, ErrorCode::NONE) << "the executor's own failure, passed on as it is";
  EXPECT_TRUE(env.supervisor->load().queued == 0 && env.supervisor->load().running == 0);
}

TEST(Supervisor, RunsManyAttemptsEachOnce) {
  constexpr uint64_t ATTEMPTS = 5000;
  SupervisorEnv env;
  env.startAndWait();
  for (uint64_t seq = 1; seq <= ATTEMPTS;) {
    std::vector<SupervisorEnv::Work> batch;
    for (int i = 0; i < 250; i++, seq++)
      batch.push_back({seq, "echo " + std::to_string(seq), seq % 5 == 0 ? Level::THREADS : Level::MONITOR});
    env.assign(batch);
  }
  env.until([&] { return env.ended.size() == ATTEMPTS; });
  for (uint64_t seq = 1; seq <= ATTEMPTS; seq++) ASSERT_EQ(env.endOf(seq).value, std::to_string(seq));
}

TEST(Supervisor, RunsCpuAttemptsInProcessesOfTheirOwnAndIoAttemptsInOne) {
  SupervisorEnv env;
  env.startAndWait();
  env.assign({{1, "sleep 50"}, {2, "sleep 50"}, {3, "pid"}, {4, "pid", Level::THREADS}, {5, "pid", Level::THREADS}});
  EXPECT_EQ(env.endOf(4).value, env.endOf(5).value);
  EXPECT_NE(env.endOf(3).value, env.endOf(4).value);
  EXPECT_TRUE(env.supervisor->isExecutor(std::stoi(env.endOf(3).value)));
}

TEST(Supervisor, CarriesResultsAndArgumentsLargerThanARing) {
  SupervisorEnv env;
  env.startAndWait();
  EXPECT_EQ(env.run(1, "big 5000000").value, std::string(5'000'000, 'x'));
  auto text = std::string(3'000'000, 'y');
  EXPECT_EQ(env.run(2, "echo " + text).value, text);
}

TEST(Supervisor, SeesResultsWhoseSignalWasPutOff) {
  SupervisorEnv env(1);
  env.startAndWait();
  uint64_t seq = 0;
  for (Level level : {Level::MONITOR, Level::THREADS}) {
    for (uint32_t round = 1; round <= 3; round++) {
      uint32_t shortOne = 2 * round, longOne = 2 * round + 1;
      for (uint32_t function : {shortOne, longOne}) {  // so that both are given ahead
        env.assign({{++seq, "echo", level, 0, function}});
        env.untilEnded(seq);
      }
      env.assign({{seq + 1, "later", level, 0, shortOne}, {seq + 2, "sleep 500", level, 0, longOne}});
      env.untilEnded(seq + 1);
      seq += 2;
      EXPECT_EQ(env.ended.count(seq), 0u) << "the one behind it did not have to end first";
      EXPECT_EQ(env.endOf(seq - 1).value, "late");
      env.untilEnded(seq);
    }
  }
}

TEST(Supervisor, SaysHowAnExecutorDied) {
  SupervisorEnv env;
  env.startAndWait();
  auto segv = env.run(1, "segv");
  EXPECT_EQ(segv.code, ErrorCode::EXECUTOR_DIED);
  EXPECT_EQ(segv.message, "the executor running it was killed by SIGSEGV (signal 11)");
  EXPECT_EQ(env.run(2, "exit 3").message, "the executor running it exited with status 3");
  EXPECT_THAT(env.run(3, "kill").message,
              HasSubstr("SIGKILL (signal 9); the kernel's out-of-memory killer is a likely cause"));
  EXPECT_EQ(env.run(4, "exit 0").message, "the executor running it exited with status 0");
  EXPECT_EQ(env.run(5, "segv", Level::THREADS).code, ErrorCode::EXECUTOR_DIED);
  EXPECT_EQ(env.run(6, "echo alive").value, "alive");
  EXPECT_EQ(env.run(7, "echo alive", Level::THREADS).value, "alive");
  EXPECT_GE(env.supervisor->load().executorRestarts, 5u);
}

TEST(Supervisor, KeepsTheResultsThatWereThereBeforeACrash) {
  SupervisorEnv env(1);
  env.startAndWait();
  env.run(1, "echo teaches how long it takes");
  env.assign({{2, "echo before"}, {3, "segv"}, {4, "echo after"}});
  EXPECT_EQ(env.endOf(2).value, "before");
  EXPECT_EQ(env.endOf(3).code, ErrorCode::EXECUTOR_DIED);
  EXPECT_EQ(env.endOf(4).value, "after");
}

TEST(Supervisor, FindsTheCulpritAmongIoAttemptsThatDiedTogether) {
  SupervisorEnv env;
  env.startAndWait();
  env.assign({{1, "sleep 300", Level::THREADS}, {2, "sleep 300", Level::THREADS}, {3, "exit 3", Level::THREADS}});
  EXPECT_EQ(env.endOf(1).value, "slept");
  EXPECT_EQ(env.endOf(2).value, "slept");
  EXPECT_EQ(env.endOf(3).message, "the executor running it exited with status 3");
}

TEST(Supervisor, KillsWhatRunsTooLong) {
  SupervisorEnv env;
  env.startAndWait();
  EXPECT_EQ(env.run(1, "hang", Level::MONITOR, 50).code, ErrorCode::TIMEOUT);
  EXPECT_EQ(env.run(2, "hang", Level::THREADS, 50).code, ErrorCode::TIMEOUT);
  EXPECT_EQ(env.run(3, "echo alive").value, "alive");
}

TEST(Supervisor, CancelsWhatRuns) {
  SupervisorEnv env(1);
  env.startAndWait();
  env.assign({{1, "hang"}, {2, "echo next"}});
  env.until([&] { return env.supervisor->load().running == 1; });
  env.supervisor->cancel(SupervisorEnv::name(1));
  EXPECT_EQ(env.endOf(1).code, ErrorCode::CANCELLED);
  EXPECT_EQ(env.endOf(2).value, "next");
}

TEST(Supervisor, GivesBackWhatHasNotBegunWhenItDrains) {
  SupervisorEnv env(1);
  env.startAndWait();
  env.assign({{1, "sleep 100"}, {2, "echo never"}});
  env.until([&] { return env.supervisor->load().running == 1; });
  env.supervisor->drain();
  env.within(env.supervisor->onDrained());
  EXPECT_TRUE(env.endOf(2).notRun);
  auto first = env.endOf(1);
  EXPECT_TRUE(first.value == "slept" || first.notRun) << "it may not have begun yet";
  env.within(env.supervisor->shutdown());
}

TEST(Supervisor, StopsWhatRunsWhenTheConnectionIsLost) {
  SupervisorEnv env;
  env.startAndWait();
  env.assign({{1, "hang"}, {2, "hang", Level::THREADS}, {3, "echo queued"}, {4, "echo queued"}});
  env.until([&] { return env.supervisor->load().running >= 2; });
  auto before = env.ended.size();
  env.supervisor->connectionLost();
  EXPECT_EQ(env.supervisor->load().queued + env.supervisor->load().running, 0u);
  EXPECT_EQ(env.run(5, "echo again").value, "again");
  EXPECT_EQ(env.ended.size(), before + 1);
}

TEST(Supervisor, SaysWhyExecutorsDoNotStart) {
  SupervisorEnv env;
  Fault fault("fail");
  try {
    env.startAndWait();
    FAIL() << "they cannot start";
  } catch (const kj::Exception& e) {
    EXPECT_THAT(e.getDescription().cStr(), HasSubstr("exited with status 1"));
    EXPECT_THAT(e.getDescription().cStr(), HasSubstr("ModuleNotFoundError: No module named 'epochly'"));
  }
}

TEST(Supervisor, SaysThatTheProgramIsNotThere) {
  SupervisorEnv env;
  env.command.program = kj::str("/nonexistent/python");
  try {
    env.startAndWait();
    FAIL() << "it cannot start";
  } catch (const kj::Exception& e) {
    EXPECT_THAT(e.getDescription().cStr(), HasSubstr("/nonexistent/python: No such file or directory"));
  }
}

TEST(Supervisor, KillsExecutorsThatNeverBecomeReady) {
  SupervisorEnv env;
  env.limits.readyDeadline = 20 * kj::MILLISECONDS;
  Fault fault("hang");
  EXPECT_ANY_THROW(env.startAndWait());
}

TEST(Supervisor, KillsAnExecutorThatDamagesItsRing) {
  SupervisorEnv env;
  env.startAndWait();
  auto damaged = env.run(1, "damage");
  EXPECT_EQ(damaged.code, ErrorCode::EXECUTOR_DIED);
  EXPECT_THAT(damaged.message, HasSubstr("killed by the worker: it had damaged the memory it shares"));
  EXPECT_EQ(env.run(2, "echo alive").value, "alive");
}

TEST(Supervisor, ConfinesExecutors) {
  SupervisorEnv env;
  env.command.openFiles = rlimit{200, 200};
  env.startAndWait();
  EXPECT_EQ(env.run(1, "limit core").value, "0");
  EXPECT_EQ(env.run(2, "limit nofile").value, "200");
  auto scratch = env.run(3, "scratch").value;
  struct stat info;
  ASSERT_EQ(stat(scratch.c_str(), &info), 0) << scratch;
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  env.within(env.supervisor->shutdown());
  EXPECT_NE(stat(scratch.c_str(), &info), 0) << "it is removed with its executor";
}

TEST(Supervisor, LimitsExecutorsMemoryNotCountingThreadsStacks) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer needs more address space than any limit leaves";
#endif
  SupervisorEnv env;
  constexpr uint64_t LIMIT = 1ull << 30;
  env.command.memoryBytesMax = LIMIT;
  env.startAndWait();
  EXPECT_EQ(env.run(1, "limit as").value, std::to_string(LIMIT));
  rlimit stack{};
  getrlimit(RLIMIT_STACK, &stack);
  uint64_t stacks = 8 * (stack.rlim_cur == RLIM_INFINITY ? 8u << 20 : stack.rlim_cur);
  EXPECT_EQ(env.run(2, "limit as", Level::THREADS).value, std::to_string(LIMIT + stacks));
}

TEST(Supervisor, RunsExecutorsAsAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can run executors as another user";
  SupervisorEnv env(1);
  env.command.user = User::named("nobody");
  KJ_SYSCALL(chmod(env.scratch.path().cStr(), 0711));
  struct stat info;
  bool reachable = true;
  for (std::string path = FAKE_EXECUTOR_PATH; path.size() > 1 && reachable; path = path.substr(0, path.rfind('/'))) {
    reachable = stat(path.c_str(), &info) == 0 && (info.st_mode & S_IXOTH) != 0;
  }
  if (!reachable) GTEST_SKIP() << "the build directory is not open to other users";
  env.startAndWait();
  pid_t pid = std::stoi(env.run(1, "pid").value);
  ASSERT_EQ(stat(("/proc/" + std::to_string(pid)).c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, User::named("nobody").uid);
}

TEST(Supervisor, LeavesNoProcessBehind) {
  pid_t executor, spawned;
  {
    SupervisorEnv env(1);
    env.startAndWait();
    executor = std::stoi(env.run(1, "pid").value);
    spawned = std::stoi(env.run(2, "spawn").value);
    EXPECT_TRUE(alive(executor) && alive(spawned));
    env.run(3, "segv");
    env.until([&] { return !alive(spawned); });
    EXPECT_FALSE(alive(executor));
    executor = std::stoi(env.run(4, "pid").value);
  }
  EXPECT_FALSE(alive(executor));
}

TEST(Supervisor, DoesNotWakeWhenThereIsNothingToDo) {
  SupervisorEnv env;
  env.startAndWait();
  env.run(1, "echo warm");
  auto& timer = env.io.provider->getTimer();
  timer.afterDelay(20 * kj::MILLISECONDS).wait(env.io.waitScope);  // the sweep after the last result
  rusage before, after;
  getrusage(RUSAGE_THREAD, &before);
  timer.afterDelay(200 * kj::MILLISECONDS).wait(env.io.waitScope);
  getrusage(RUSAGE_THREAD, &after);
  EXPECT_LE(after.ru_nvcsw - before.ru_nvcsw, 5) << "it slept through";
}

// The object that the fake executor `pid` puts the answer of attempt `seq` into.
bool isShared(pid_t pid, uint64_t seq) {
  auto name = objects::Name{geteuid(), pid, markOf(SupervisorEnv::name(seq))}.toString();
  return access(("/dev/shm" + std::string(name.cStr())).c_str(), F_OK) == 0;
}

// Who runs attempts of that level, if there is one executor for them.
pid_t executorOf(SupervisorEnv& env, uint64_t seq, Level level) { return std::stoi(env.run(seq, "pid", level).value); }

struct SharedResult : testing::TestWithParam<Level> {};

TEST_P(SharedResult, ThatACancelledAttemptHadMadeGoesWithItsExecutor) {
  SupervisorEnv env(1);
  env.startAndWait();
  pid_t pid = executorOf(env, 1, GetParam());
  env.assign({{2, "share -1", GetParam()}});
  env.until([&] { return isShared(pid, 2); });
  env.supervisor->connectionLost();  // kills what runs, on threads too
  env.until([&] { return !alive(pid); });
  env.until([&] { return !isShared(pid, 2); });
}

TEST_P(SharedResult, ThatWasNotTakenBeforeTheConnectionWasLostGoes) {
  SupervisorEnv env(1);
  env.startAndWait();
  pid_t pid = executorOf(env, 1, GetParam());
  env.supervisor->setSink(nullptr);
  env.assign({{2, "share 0", GetParam()}});
  env.until([&] { return env.supervisor->outbox().size() == 1; });
  EXPECT_TRUE(isShared(pid, 2));
  env.supervisor->connectionLost();
  EXPECT_FALSE(isShared(pid, 2));
}

TEST_P(SharedResult, ThatNobodyWillTakeGoesWhetherOrNotItsExecutorLives) {
  SupervisorEnv env(1);
  env.startAndWait();
  pid_t pid = executorOf(env, 1, GetParam());
  for (uint64_t seq : {2, 3, 4}) env.run(seq, "share 0", GetParam());
  env.supervisor->discard(SupervisorEnv::name(2));
  EXPECT_FALSE(isShared(pid, 2));
  EXPECT_TRUE(isShared(pid, 3)) << "somebody may";
  env.run(5, "kill", GetParam());
  EXPECT_TRUE(isShared(pid, 3)) << "it has been told of: its client may be on the way";
  env.supervisor->discard(SupervisorEnv::name(3));
  EXPECT_FALSE(isShared(pid, 3));
  env.objects.removeAllAtEnd();
}

INSTANTIATE_TEST_SUITE_P(Each, SharedResult, testing::Values(Level::MONITOR, Level::THREADS),
                         [](auto& info) { return std::string(levelName(info.param).cStr()); });

TEST(Supervisor, DropsTheSharedResultOfAnAttemptThatWasCancelledMeanwhile) {
  SupervisorEnv env;
  env.startAndWait();
  pid_t pid = executorOf(env, 1, Level::THREADS);
  env.assign({{2, "share 200", Level::THREADS}});
  env.until([&] { return isShared(pid, 2); });
  env.supervisor->cancel(SupervisorEnv::name(2));
  EXPECT_EQ(env.endOf(2).code, ErrorCode::CANCELLED);
  env.until([&] { return !isShared(pid, 2); });
  EXPECT_TRUE(alive(pid));
}

TEST(Supervisor, TakesWhatIsLeftAlongIfItsClientsEndToo) {
  pid_t pid = 0;
  {
    SupervisorEnv env;
    env.startAndWait();
    pid = executorOf(env, 1, Level::THREADS);
    env.run(2, "share 0", Level::THREADS);
    ASSERT_TRUE(isShared(pid, 2));
    env.objects.removeAllAtEnd();
  }
  EXPECT_FALSE(isShared(pid, 2));
}

}  // namespace
}  // namespace epochly::run

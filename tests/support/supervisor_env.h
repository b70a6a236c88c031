// A supervisor with real processes: fake executors that do what each attempt's argument says.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <capnp/message.h>
#include <gtest/gtest.h>
#include <kj/async-io.h>

#include "run/scratch.h"
#include "run/supervisor.h"

namespace epochly::run {

// A crashed process under a sanitizer on a loaded machine takes seconds; a hang is found all the same.
constexpr kj::Duration PATIENCE = 60 * kj::SECONDS;

struct SupervisorEnv final : public ResultSink {
  struct Ended {
    std::string value;
    ErrorCode code = ErrorCode::NONE;
    std::string message;
    bool notRun = false;
  };

  kj::AsyncIoContext io = kj::setupAsyncIo();
  Scratch scratch = Scratch::create("/tmp");
  Observer observer;
  DispatchLimits limits;
  ExecutorCommand command;
  ResultObjects objects;
  kj::Own<Supervisor> supervisor;
  std::map<uint64_t, std::vector<Ended>> ended;  // by seq

  explicit SupervisorEnv(uint cpuSlots = 2, uint ioThreads = 8) {
    limits.cpuSlots = cpuSlots;
    limits.ioThreads = ioThreads;
    limits.startDelay = 1 * kj::MILLISECONDS;
    command.program = kj::str(FAKE_EXECUTOR_PATH);
    command.ioThreads = ioThreads;
    command.scratch = kj::str(scratch.path());
  }
  ~SupervisorEnv() noexcept override {}

  kj::Promise<void> start() {
    supervisor = kj::heap<Supervisor>(io.unixEventPort, limits, kj::mv(command), objects, observer);
    supervisor->setSink(*this);
    return supervisor->start();
  }
  void startAndWait() { within(start()); }

  // Runs the loop until the promise resolves.
  template <typename T>
  T within(kj::Promise<T> promise) {
    return io.provider->getTimer().timeoutAfter(PATIENCE, kj::mv(promise)).wait(io.waitScope);
  }
  // Runs the loop until the condition holds.
  template <typename Fn>
  void until(Fn&& condition) {
    auto& timer = io.provider->getTimer();
    auto deadline = timer.now() + PATIENCE;
    while (!condition() && timer.now() < deadline) timer.afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
    ASSERT_TRUE(condition()) << "did not happen in time";
  }

  static AttemptName name(uint64_t seq) { return {TaskId{SpaceId(7), seq}, Attempt(1)}; }

  struct Work {
    uint64_t seq;
    std::string command;
    Level level = Level::MONITOR;
    uint32_t timeoutMs = 0;
    uint32_t function = 1;
  };
  // One batch, as it comes from the scheduler.
  void assign(const std::vector<Work>& batch) {
    capnp::MallocMessageBuilder message;
    auto assignments = message.initRoot<schema::Assignments>();
    auto functions = assignments.initFunctions(batch.size());
    auto list = assignments.initAssignments(batch.size());
    for (size_t i = 0; i < batch.size(); i++) {
      writeTaskId(name(batch[i].seq).task, list[i].initTask());
      list[i].setAttempt(1);
      functions[i].setId(batch[i].function);
      functions[i].setHashHigh(batch[i].function);
      list[i].setFunction(batch[i].function);
      list[i].setLevel(static_cast<uint8_t>(batch[i].level));
      list[i].setTimeoutMs(batch[i].timeoutMs);
      auto& text = batch[i].command;
      list[i].initArguments().setPickle(capnp::Data::Reader(reinterpret_cast<const kj::byte*>(text.data()), text.size()));
    }
    supervisor->assign(assignments.asReader());
  }
  void untilEnded(uint64_t seq) {
    until([&] { return ended.count(seq) > 0; });
  }
  // The attempt's one end.
  Ended endOf(uint64_t seq) {
    untilEnded(seq);
    EXPECT_EQ(ended[seq].size(), 1u) << "answered more than once";
    return ended[seq].empty() ? Ended() : ended[seq].front();
  }
  Ended run(uint64_t seq, const std::string& command, Level level = Level::MONITOR, uint32_t timeoutMs = 0) {
    assign({{seq, command, level, timeoutMs}});
    return endOf(seq);
  }

  void resultsReady() override {
    while (supervisor->outbox().size() > 0) {
      for (auto& result : supervisor->outbox().takeBatch()) record(result.reader);
    }
    supervisor->resultsTaken();
  }

 private:
  void record(schema::AttemptResult::Reader result) {
    Ended end;
    end.notRun = result.getNotRun();
    if (result.isFailure()) {
      end.code = static_cast<ErrorCode>(result.getFailure().getCode());
      end.message = result.getFailure().getMessage().cStr();
    } else {
      auto pickle = result.getValue().getPickle();
      end.value.assign(reinterpret_cast<const char*>(pickle.begin()), pickle.size());
    }
    ended[result.getTask().getSeq()].push_back(end);
  }
};

}  // namespace epochly::run

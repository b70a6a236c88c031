// The dispatcher with everything around it faked: executors that do what a test says, a clock that stands still.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <capnp/message.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run/dispatcher.h"

namespace epochly::run {

// Executors of beginReady() with two CPU slots: the dispatcher numbers them as it starts them.
constexpr uint32_t CPU_A = 1, CPU_B = 2, IO = 3;

struct DispatchEnv final : public ExecutorControl, public ResultPort, public Observer {
  struct Fake {
    Role role;
    std::vector<uint64_t> delivered;      // seqs, in order
    std::vector<uint64_t> functionsSent;  // seqs of the attempts whose function was sent along
    uint32_t begunEnd = 0;                // indices below have begun, unless taken back
    uint64_t begunAtNs = 0;
    std::map<uint32_t, uint64_t> entered;  // of threads: index to time
    bool stopped = false, killed = false, gone = false;
  };
  struct Answered {
    uint64_t seq;
    ErrorCode code;  // NONE: given back not run
    std::string message;
    bool operator==(const Answered& other) const { return seq == other.seq && code == other.code; }
  };

  DispatchLimits limits;
  kj::Own<Dispatcher> dispatcher;
  std::map<uint32_t, Fake> fakes;
  std::vector<Answered> answers;
  kj::TimePoint now = kj::origin<kj::TimePoint>() + 1000 * kj::SECONDS;
  kj::Maybe<kj::TimePoint> wake;
  uint recalled = 0, suspected = 0, dropped = 0, restarts = 0;
  std::vector<Outcome> outcomes;
  std::vector<std::pair<uint32_t, uint64_t>> discarded;  // executor and seq

  explicit DispatchEnv(uint cpuSlots = 2, uint ioThreads = 4) {
    limits.cpuSlots = cpuSlots;
    limits.ioThreads = ioThreads;
  }
  ~DispatchEnv() noexcept override {}

  // ---- what a test does ----
  void begin() {
    dispatcher = kj::heap<Dispatcher>(limits, *this, *this, *this);
    settle();
  }
  // Starts, and every executor is ready.
  void beginReady() {
    begin();
    readyAll();
  }
  void readyAll() {
    for (auto& [id, fake] : fakes) {
      if (!fake.gone) dispatcher->onReady(ExecutorId(id), now);
    }
    settle();
  }
  void settle() {
    wake = dispatcher->settle(now);
    dispatcher->checkInvariants();
  }
  void after(kj::Duration time) {
    now += time;
    settle();
  }
  // Function n of the connection.
  void function(uint32_t n, size_t codeBytes = 0) {
    capnp::MallocMessageBuilder message;
    auto definition = message.initRoot<schema::Function>();
    definition.setId(n);
    definition.setHashHigh(n);
    definition.setHashLow(~static_cast<uint64_t>(n));
    if (codeBytes > 0) definition.initCode(codeBytes);
    dispatcher->onFunction(definition.asReader());
  }
  void assign(uint64_t seq, Level level = Level::MONITOR, uint32_t timeoutMs = 0, uint32_t functionId = 1) {
    function(functionId);
    capnp::MallocMessageBuilder message;
    auto assignment = message.initRoot<schema::Assignment>();
    writeTaskId(name(seq).task, assignment.initTask());
    assignment.setAttempt(1);
    assignment.setFunction(functionId);
    assignment.setLevel(static_cast<uint8_t>(level));
    assignment.setTimeoutMs(timeoutMs);
    dispatcher->onAssigned(assignment.asReader());
  }
  // Ready executors that know what function 1 takes, and as many attempts of it.
  void beginKnowing(kj::Duration runTime, uint64_t attempts) {
    beginReady();
    learn(1, runTime);
    for (uint64_t seq = 1; seq <= attempts; seq++) assign(seq);
    settle();
  }
  void assignNow(uint64_t seq, Level level = Level::MONITOR, uint32_t timeoutMs = 0, uint32_t functionId = 1) {
    assign(seq, level, timeoutMs, functionId);
    settle();
  }
  static AttemptName name(uint64_t seq) { return {TaskId{SpaceId(7), seq}, Attempt(1)}; }

  // Attempts run one at a time: the one at `index` begins.
  void begins(uint32_t executor, uint32_t index) {
    fakes.at(executor).begunEnd = index + 1;
    fakes.at(executor).begunAtNs = nowNs();
  }
  void enters(uint32_t executor, uint32_t index) { fakes.at(executor).entered[index] = nowNs(); }
  bool result(uint32_t executor, uint64_t seq, kj::Duration run = 1 * kj::MILLISECONDS) {
    bool forwarded = dispatcher->onResult(ExecutorId(executor), name(seq), false, run, now);
    dispatcher->checkInvariants();
    return forwarded;
  }
  bool resultNow(uint32_t executor, uint64_t seq, kj::Duration run = 1 * kj::MILLISECONDS) {
    bool forwarded = result(executor, seq, run);
    settle();
    return forwarded;
  }
  void dies(uint32_t executor, const char* how = "was killed by SIGSEGV (signal 11)") {
    dispatcher->onGone(ExecutorId(executor), how, now);
    fakes.at(executor).gone = true;
    settle();
  }
  void cancel(uint64_t seq) {
    dispatcher->onCancel(name(seq), now);
    settle();
  }
  // Teaches the dispatcher that function n takes this long.
  void learn(uint32_t functionId, kj::Duration run) {
    uint64_t seq = 1'000'000 + functionId;
    assign(seq, Level::MONITOR, 0, functionId);
    settle();
    for (auto& [id, fake] : fakes) {
      if (!fake.gone && !fake.delivered.empty() && fake.delivered.back() == seq) result(id, seq, run);
    }
    forgetDeliveries();
  }
  void forgetDeliveries() {
    for (auto& [id, fake] : fakes) fake.delivered.clear();
  }

  // ---- what a test looks at ----
  const std::vector<uint64_t>& delivered(uint32_t executor) { return fakes.at(executor).delivered; }
  std::vector<Answered> takeAnswers() {
    auto taken = answers;
    answers.clear();
    return taken;
  }
  // Executors that run, by role, oldest first.
  std::vector<uint32_t> alive(Role role) {
    std::vector<uint32_t> ids;
    for (auto& [id, fake] : fakes) {
      if (fake.role == role && !fake.gone) ids.push_back(id);
    }
    return ids;
  }
  uint32_t last(Role role) { return alive(role).back(); }

  // ---- ExecutorControl, ResultPort, Observer ----
  void start(ExecutorId executor, Role role) override { fakes[executor.value].role = role; }
  void deliver(ExecutorId executor, const Assignment& assignment, bool withFunction) override {
    fakes.at(executor.value).delivered.push_back(assignment.name.task.seq);
    if (withFunction) fakes.at(executor.value).functionsSent.push_back(assignment.name.task.seq);
  }
  uint32_t recall(ExecutorId executor, uint32_t) override { return fakes.at(executor.value).begunEnd; }
  Progress::Last last(ExecutorId executor) override {
    return {fakes.at(executor.value).begunEnd, fakes.at(executor.value).begunAtNs};
  }
  kj::Vector<Progress::Begun> entered(ExecutorId executor) override {
    kj::Vector<Progress::Begun> begun;
    for (auto [index, at] : fakes.at(executor.value).entered) begun.add(Progress::Begun{index, at});
    return begun;
  }
  void stop(ExecutorId executor) override { fakes.at(executor.value).stopped = true; }
  void kill(ExecutorId executor) override { fakes.at(executor.value).killed = true; }
  void discard(ExecutorId executor, const AttemptName& attempt) override {
    EXPECT_FALSE(fakes.at(executor.value).gone) << "its process id is still its own";
    discarded.push_back({executor.value, attempt.task.seq});
  }
  void fail(const AttemptName& attempt, Level, Failure failure) override {
    answers.push_back({attempt.task.seq, failure.code, failure.message.cStr()});
  }
  void notRun(const AttemptName& attempt, Level) override { answers.push_back({attempt.task.seq, ErrorCode::NONE, ""}); }
  void onExecutorStarted(Role, bool replacement) override { restarts += replacement; }
  void onAttemptEnded(Level, Outcome outcome) override { outcomes.push_back(outcome); }
  void onAttemptsRecalled(uint count) override { recalled += count; }
  void onAttemptsSuspected(uint count) override { suspected += count; }
  void onResultDropped() override { dropped++; }

 private:
  uint64_t nowNs() const { return (now - kj::origin<kj::TimePoint>()) / kj::NANOSECONDS; }
};

inline auto answered(uint64_t seq, ErrorCode code) {
  return testing::AllOf(testing::Field(&DispatchEnv::Answered::seq, seq),
                        testing::Field(&DispatchEnv::Answered::code, code));
}

}  // namespace epochly::run

// A scheduler core with a clock, ports and randomness that the test holds: builders, one event, then the state and everything
// that left the system.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <kj/debug.h>

#include "events/events.h"

namespace epochly::test {

struct Sent {
  WorkerId worker;
  TaskId task;
  Attempt attempt;
  bool operator==(const Sent&) const = default;
};

// Remembers what left the core. quiet() is what a test ends with.
class RecordingPorts final : public core::WorkerPort,
                             public core::ClientPort,
                             public core::StorePort,
                             public core::TimerPort {
 public:
  std::vector<Sent> sent;
  std::vector<Sent> cancelled;
  std::vector<Sent> recalled;
  std::vector<Sent> discarded;
  std::vector<WorkerId> dropped;
  std::vector<SpaceId> ready;
  std::vector<TaskId> stored, storedEnds, forgotten;
  kj::Maybe<kj::TimePoint> wake;

  void send(WorkerId worker, TaskId task, Attempt attempt) override { sent.push_back({worker, task, attempt}); }
  void cancel(WorkerId worker, TaskId task, Attempt attempt) override { cancelled.push_back({worker, task, attempt}); }
  void recall(WorkerId worker, TaskId task, Attempt attempt) override { recalled.push_back({worker, task, attempt}); }
  void discard(WorkerId worker, TaskId task, Attempt attempt) override { discarded.push_back({worker, task, attempt}); }
  void drop(WorkerId worker, kj::StringPtr) override { dropped.push_back(worker); }
  void resultsReady(SpaceId space) override { ready.push_back(space); }
  void accepted(const core::Task& task) override { stored.push_back(task.id); }
  void ended(const core::Result& result) override { storedEnds.push_back(result.id); }
  void acknowledged(TaskId task) override { forgotten.push_back(task); }
  void wakeAt(kj::TimePoint when) override { wake = when; }

  bool wakesBy(kj::TimePoint until) const {
    KJ_IF_MAYBE(when, wake) return *when <= until;
    return false;
  }
};

class CountingRandom final : public core::Random {
 public:
  uint64_t next() override { return ++state * 0x9e3779b97f4a7c15ull; }

 private:
  uint64_t state = 0;
};

class WorkerBuilder {
 public:
  WorkerBuilder() {
    spec.name = kj::str("w");
    spec.pythonVersion = PythonVersion{0x30b};
    spec.host = HostId(1);
    spec.slots[0] = 1;
  }
  WorkerBuilder&& cpus(uint32_t slots) && { return kj::mv(*this).offers(Level::MONITOR, slots); }
  WorkerBuilder&& offers(Level level, uint32_t slots) && {
    spec.slots[static_cast<uint>(level)] = slots;
    return kj::mv(*this);
  }
  WorkerBuilder&& python(uint16_t version) && {
    spec.pythonVersion = PythonVersion{version};
    return kj::mv(*this);
  }
  WorkerBuilder&& host(uint64_t id) && {
    spec.host = HostId(id);
    return kj::mv(*this);
  }
  core::WorkerSpec build() && { return kj::mv(spec); }

 private:
  core::WorkerSpec spec;
};

class TaskBuilder {
 public:
  TaskBuilder&& level(Level level) && { return kj::mv(*this).levelNumber(static_cast<int8_t>(level)); }
  TaskBuilder&& levelNumber(int8_t number) && {
    task.level = number;
    return kj::mv(*this);
  }
  TaskBuilder&& retries(uint32_t count) && {
    task.retriesMax = count;
    return kj::mv(*this);
  }
  TaskBuilder&& function(uint64_t low) && {
    task.function = FunctionHash{0, low};
    return kj::mv(*this);
  }
  TaskBuilder&& bytes(size_t count) && {
    task.arguments.pickle = kj::heapArray<byte>(count);
    return kj::mv(*this);
  }
  TaskBuilder&& onHost(uint64_t host) && {
    task.arguments.buffers = kj::heapArray<Payload::Buffer>(1);
    task.arguments.buffers[0].init<SharedBuffer>(SharedBuffer{HostId(host), kj::str("/epochly-0-0000000000000000"), 0, 1});
    return kj::mv(*this);
  }
  TaskBuilder&& dataSize(double elements) && {
    task.dataSize = elements;
    return kj::mv(*this);
  }
  events::NewTask build() && { return kj::mv(task); }
  FunctionHash functionHash() const { return task.function; }

 private:
  events::NewTask task{.function = FunctionHash{0, 1}};
};

// One client is open from the start; functions are told as tasks need them (Python 3.11 by reference: any worker fits).
class SchedEnv {
 public:
  core::Core core;
  RecordingPorts outbox;
  CountingRandom random;
  core::Observer observer;
  classify::Thresholds thresholds;
  kj::TimePoint now = kj::origin<kj::TimePoint>() + 1 * kj::HOURS;
  events::Events events{core, core::Ports{outbox, outbox, outbox, outbox, random}, observer, thresholds};
  SpaceId space = events.onClientOpen(SpaceId(), HostId(), now);

  ~SchedEnv() { check(); }

  void check() { EXPECT_NO_THROW(core.checkInvariants()); }

  WorkerId join(WorkerBuilder&& builder = WorkerBuilder()) {
    auto id = events.onJoin(kj::mv(builder).build(), now);
    check();
    return id;
  }
  void tell(uint64_t low, uint16_t python = 0, core::Hints hints = {}) {
    events.onFunction(events::NewFunction{.hash = FunctionHash{0, low},
                                          .name = kj::str("f", low),
                                          .code = kj::heapArray<byte>(16),
                                          .pythonVersion = PythonVersion{python},
                                          .module = kj::str("m"),
                                          .hints = hints});
  }
  events::Receipt submitAll(std::vector<events::NewTask> tasks) {
    for (auto& task : tasks) {
      if (task.seq == 0) task.seq = ++lastSeq;
      if (core.functions.count(task.function) == 0) tell(task.function.low);
    }
    auto receipt = events.onSubmit(space, kj::arrayPtr(tasks.data(), tasks.size()), now);
    check();
    return receipt;
  }
  TaskId submit(TaskBuilder&& builder = TaskBuilder()) {
    std::vector<events::NewTask> tasks;
    tasks.push_back(kj::mv(builder).build());
    EXPECT_EQ(submitAll(kj::mv(tasks)).accepted, 1u);
    return TaskId{space, lastSeq};
  }
  std::vector<Sent> takeSent() { return std::exchange(outbox.sent, {}); }

  void report(WorkerId worker, events::AttemptReport report) {
    events.onResults(worker, kj::arrayPtr(&report, 1), now);
    check();
  }
  static events::AttemptReport returned(TaskId task, uint32_t attempt, double runSeconds = 1e-3, double cpuSeconds = 1e-3) {
    events::AttemptReport report;
    report.task = task;
    report.attempt = Attempt(attempt);
    report.timings.run = static_cast<uint64_t>(runSeconds * 1e9);
    report.timings.cpu = static_cast<uint64_t>(cpuSeconds * 1e9);
    return report;
  }
  static events::AttemptReport returnedShared(TaskId task, uint32_t attempt) {
    auto report = returned(task, attempt);
    report.value.buffers = kj::heapArray<Payload::Buffer>(1);
    report.value.buffers[0].init<SharedBuffer>(SharedBuffer{HostId(1), kj::str("/epochly-0-0000000000000000"), 0, 1});
    return report;
  }
  static events::AttemptReport failed(TaskId task, uint32_t attempt, ErrorCode code = ErrorCode::USER_EXCEPTION) {
    auto report = returned(task, attempt);
    report.failure = Failure::of(code, kj::str("it failed"));
    return report;
  }
  void lose(WorkerId worker) {
    events.onLost(worker, "connection lost", now);
    check();
  }
  // Time passes, with the ticks that the core asks for.
  void pass(kj::Duration duration) {
    auto until = now + duration;
    while (outbox.wakesBy(until)) {
      now = std::max(now, KJ_ASSERT_NONNULL(std::exchange(outbox.wake, nullptr)));
      events.onTick(now);
    }
    now = until;
    events.onTick(now);
    check();
  }
  // As pass(), but this process was stopped meanwhile: its ticks all come late.
  void sleep(kj::Duration duration) {
    now += duration;
    events.onTick(now);
    check();
  }
  // As pass(), with every worker beating meanwhile.
  void passAlive(kj::Duration duration) {
    auto until = now + duration;
    while (now < until) {
      now = std::min(now + 500 * kj::MILLISECONDS, until);
      for (auto& [id, worker] : core.workers) events.onHeartbeat(id, core::Load(), now);
      events.onTick(now);
    }
    check();
  }

  const core::Task& task(TaskId id) { return core.tasks.at(id); }
  const core::Client& client() { return core.clients.at(space); }
  const core::Result& lastResult() { return client().results.back(); }
  // Nothing else was sent, stored or answered since the last take.
  void expectNothingSent() {
    EXPECT_TRUE(outbox.sent.empty() && outbox.cancelled.empty() && outbox.recalled.empty() && outbox.dropped.empty());
  }

 private:
  uint64_t lastSeq = 0;
};

}  // namespace epochly::test

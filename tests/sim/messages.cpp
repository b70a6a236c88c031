#include "sim/messages.h"

#include <cstring>

#include "wire/task_spec.h"

namespace epochly::sim {

namespace {

constexpr uint32_t STAMP_MARK = 0x53494d31;

struct StampBytes {
  uint64_t space, seq, worker;
  uint32_t attempt, mark;
};

uint64_t nanoseconds(double seconds) {
  return std::isnan(seconds) ? core::Timings::NONE : static_cast<uint64_t>(seconds * 1e9);
}

}  // namespace

events::NewFunction FunctionSpec::told() const {
  events::NewFunction function;
  function.hash = hash;
  function.name = kj::str("module.f", hash.low);
  function.code = kj::heapArray<byte>(codeBytes);
  memset(function.code.begin(), static_cast<int>(hash.low), codeBytes);
  function.pythonVersion = python;
  function.hints = hints;
  return function;
}

bool TaskSpec::valid() const {
  return level >= -1 && level < static_cast<int>(LEVEL_COUNT) && retriesMax <= RETRIES_MAX && timeoutMs <= TIMEOUT_MS_MAX;
}

size_t TaskSpec::inlineBytes() const { return argumentBytes + (host.value != 0 ? sizeof(SharedBuffer) : 0); }

events::NewTask TaskSpec::told(const FunctionSpec& spec) const {
  events::NewTask task;
  task.seq = seq;
  task.function = spec.hash;
  task.level = level;
  task.retriesMax = retriesMax;
  task.timeoutMs = timeoutMs;
  task.dataSize = dataSize;
  task.arguments.pickle = kj::heapArray<byte>(argumentBytes);
  if (host.value != 0) {
    task.arguments.buffers = kj::heapArray<Payload::Buffer>(1);
    task.arguments.buffers[0].init<SharedBuffer>(SharedBuffer{host, kj::str("/epochly-0-0000000000000001"), 0, 1 << 20});
  }
  return task;
}

kj::Array<byte> Stamp::write(size_t bytes) const {
  auto out = kj::heapArray<byte>(std::max(bytes, sizeof(StampBytes)));
  StampBytes raw{task.space.value, task.seq, worker.value, attempt.value, STAMP_MARK};
  memcpy(out.begin(), &raw, sizeof(raw));
  return out;
}

kj::Maybe<Stamp> Stamp::read(kj::ArrayPtr<const byte> bytes) {
  StampBytes raw;
  if (bytes.size() < sizeof(raw)) return nullptr;
  memcpy(&raw, bytes.begin(), sizeof(raw));
  if (raw.mark != STAMP_MARK) return nullptr;
  return Stamp{TaskId{SpaceId(raw.space), raw.seq}, Attempt(raw.attempt), WorkerId(raw.worker)};
}

events::AttemptReport Report::told() const {
  events::AttemptReport report;
  report.task = stamp.task;
  report.attempt = stamp.attempt;
  report.notRun = notRun;
  if (failure == ErrorCode::NONE) {
    report.value.pickle = stamp.write(bytes);
  } else {
    report.failure = Failure::of(failure, kj::str("simulated ", errorRow(failure).name));
    KJ_ASSERT_NONNULL(report.failure).pickled = stamp.write(0);
  }
  report.levelRan = levelRan;
  if (declined >= 0) report.declined.add(core::Decline{static_cast<Level>(declined), kj::str("simulated decline")});
  report.timings.run = nanoseconds(runSeconds);
  report.timings.cpu = nanoseconds(cpuSeconds);
  report.loopIterations = loopIterations;
  report.dataSize = dataSize;
  return report;
}

ClientResult ClientResult::copy(const core::Result& result) {
  ClientResult copied{result.id.seq, result.outcome, result.failure.code, result.attempt, Stamp()};
  auto& bytes = result.outcome == core::Outcome::SUCCEEDED ? result.value.pickle : result.failure.pickled;
  KJ_IF_MAYBE(stamp, Stamp::read(bytes)) {
    copied.stamp = *stamp;
  }
  return copied;
}

core::WorkerSpec WorkerSketch::told() const {
  core::WorkerSpec spec;
  spec.name = kj::str("host", host.value, ":", process);
  spec.hostName = kj::str("host", host.value);
  spec.host = host;
  spec.pid = static_cast<uint32_t>(process);
  spec.pythonVersion = python;
  spec.slots = slots;
  return spec;
}

}  // namespace epochly::sim

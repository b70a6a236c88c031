// What travels between the simulated peers: copyable stand-ins for the Cap'n Proto messages.
#pragma once

#include <vector>

#include "events/events.h"
#include "sim/rng.h"

namespace epochly::sim {

// A user's function and how its calls behave.
struct FunctionSpec {
  FunctionHash hash;
  uint codeBytes = 0;
  PythonVersion python;  // 0 = any
  core::Hints hints;
  double runSeconds = 0;  // mean
  double cpuShare = 1;
  bool poison = false;  // kills the worker that runs it

  events::NewFunction told() const;
};

struct TaskSpec {
  uint64_t seq = 0;
  uint function = 0;  // index into the world's functions
  int8_t level = -1;
  uint32_t retriesMax = 0;
  uint32_t timeoutMs = 0;
  double dataSize = core::UNKNOWN;
  uint argumentBytes = 0;
  HostId host;  // whose shared memory it needs, 0 = none

  bool valid() const;
  size_t inlineBytes() const;  // as Payload counts them
  events::NewTask told(const FunctionSpec& spec) const;
};

struct Submission {
  struct Function {
    uint id;     // means something on its connection only
    uint index;  // into the world's functions
  };
  uint64_t number = 0;  // the client's, so that it knows the receipt
  std::vector<Function> functions;
  std::vector<TaskSpec> tasks;
};

// Written into every value and failure: who produced it, in which attempt.
struct Stamp {
  TaskId task;
  Attempt attempt;
  WorkerId worker;
  bool operator==(const Stamp&) const = default;

  kj::Array<byte> write(size_t bytes) const;  // at least as long as a stamp
  static kj::Maybe<Stamp> read(kj::ArrayPtr<const byte> bytes);
};

struct Assignment {
  TaskId task;
  Attempt attempt;
  uint function = 0;
  Level level = Level::MONITOR;
  uint32_t timeoutMs = 0;
};

struct AttemptName {
  TaskId task;
  Attempt attempt;
};

struct Report {
  Stamp stamp;
  bool notRun = false;
  ErrorCode failure = ErrorCode::NONE;  // NONE: a value
  Level levelRan = Level::MONITOR;
  int8_t declined = -1;  // a level, or none
  double runSeconds = core::UNKNOWN;
  double cpuSeconds = core::UNKNOWN;
  double loopIterations = core::UNKNOWN;
  double dataSize = core::UNKNOWN;
  uint bytes = 0;  // of the value

  events::AttemptReport told() const;
};

// What a client is told of a task.
struct ClientResult {
  uint64_t seq = 0;
  core::Outcome outcome = core::Outcome::SUCCEEDED;
  ErrorCode error = ErrorCode::NONE;
  Attempt attempt;
  Stamp stamp;  // of a value, or of a failure from a worker
  bool operator==(const ClientResult&) const = default;

  static ClientResult copy(const core::Result& result);
};

// What a worker says of itself.
struct WorkerSketch {
  uint64_t process = 0;  // which simulated process this is an incarnation of
  HostId host;
  PythonVersion python;
  std::array<uint32_t, LEVEL_COUNT> slots{};

  core::WorkerSpec told() const;
};

}  // namespace epochly::sim

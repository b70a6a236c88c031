// What REST shows of the core, copied on the scheduler's loop and rendered on the REST thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rest/json.h"
#include "rest/reply.h"

namespace epochly::rest {

struct WorkerRow {
  WorkerId id;
  std::string name, hostName, pythonVersion;
  HostId host;
  uint32_t pid, cores, window;
  uint64_t memoryBytes, inflight, completed;
  std::array<uint32_t, LEVEL_COUNT> slots;
  core::WorkerState state;
  core::Load load;
  double heardAt;  // Unix seconds
  struct Fact {
    std::string name, text;
    core::Fact::Kind kind;
  };
  std::vector<Fact> facts;

  static WorkerRow read(const core::Worker& worker, const Moment& moment);
  json::object toJson() const;
};

struct FunctionRow {
  FunctionHash hash;
  std::string name, module, pythonVersion, explanation;
  core::Hints hints;
  core::Workload workload;
  classify::Choice choice;
  std::array<core::Average, LEVEL_COUNT> runSeconds;
  uint64_t calls, errors;

  static FunctionRow read(const core::Function& function, bool gpuOffered, const Moment& moment);
  json::object toJson() const;
};

// A task that has not ended.
struct TaskRow {
  TaskId id;
  std::string state, functionName, explanation, workerName;
  FunctionHash function;
  WorkerId worker;
  int levelAsked;
  Level levelChosen, level;
  core::Reason reason;
  uint32_t attempt, retriesLeft, losses;
  bool cancelRequested;
  double dataSize, acceptedAt;  // Unix seconds

  static TaskRow read(const core::Task& task, const Moment& moment);
  json::object toJson() const;
};

json::object toJson(const core::Epitaph& epitaph);
json::object toJson(const classify::Thresholds& thresholds);
json::object toJson(const core::Workload& workload);

}  // namespace epochly::rest

#include "rest/rows.h"

#include "route/window.h"

namespace epochly::rest {

namespace {

std::string copy(kj::StringPtr text) { return std::string(text.begin(), text.size()); }

double unixSecondsOf(kj::TimePoint when, const Moment& moment) {
  return moment.unixSeconds - static_cast<double>((moment.now - when) / kj::NANOSECONDS) * 1e-9;
}

const char* nameOf(core::TaskState state) {
  switch (state) {
    case core::TaskState::QUEUED: return "queued";
    case core::TaskState::ASSIGNED: return "running";
    case core::TaskState::BACKOFF: return "backoff";
    case core::TaskState::ENDED: return "ended";
  }
  return "unknown";
}

const char* nameOf(core::Fact::Kind kind) {
  switch (kind) {
    case core::Fact::Kind::KNOWN: return "known";
    case core::Fact::Kind::ABSENT: return "absent";
    case core::Fact::Kind::UNKNOWN: return "unknown";
  }
  return "unknown";
}

json::string idString(uint64_t id) { return json::string(std::to_string(id)); }

json::value workerReference(WorkerId id, const std::string& name) {
  if (id.value == 0) return nullptr;
  json::object worker{{"id", idString(id.value)}};
  if (!name.empty()) worker["name"] = name;
  return worker;
}

}  // namespace

// ---- workers -------------------------------------------------------------------------------------------------------

WorkerRow WorkerRow::read(const core::Worker& worker, const Moment& moment) {
  auto& spec = worker.spec;
  WorkerRow row;
  row.id = worker.id;
  row.name = copy(spec.name);
  row.hostName = copy(spec.hostName);
  row.pythonVersion = copy(toString(spec.pythonVersion));
  row.host = spec.host;
  row.pid = spec.pid;
  row.cores = spec.cores;
  row.window = route::window(worker, moment.core.limits);
  row.memoryBytes = spec.memoryBytes;
  row.inflight = worker.inflight.size();
  row.completed = worker.completed;
  row.slots = spec.slots;
  row.state = worker.state;
  row.load = worker.load;
  row.heardAt = unixSecondsOf(worker.lastHeard, moment);
  for (auto& fact : spec.facts) row.facts.push_back({copy(fact.name), copy(fact.text), fact.kind});
  return row;
}

json::object WorkerRow::toJson() const {
  json::array capabilities;
  for (uint i = 0; i < LEVEL_COUNT; i++) {
    if (slots[i] == 0) continue;
    capabilities.push_back(
        json::object{{"level", i}, {"capability", capabilityName(static_cast<Level>(i)).cStr()}, {"slots", slots[i]}});
  }
  json::array told;
  for (auto& fact : facts) {
    told.push_back(json::object{{"name", fact.name}, {"status", nameOf(fact.kind)}, {"text", fact.text}});
  }
  return {{"id", idString(id.value)},
          {"name", name},
          {"host_name", hostName},
          {"host_id", host.value == 0 ? json::value(nullptr) : json::value(idString(host.value))},
          {"pid", known(pid)},
          {"python_version", pythonVersion},
          {"state", state == core::WorkerState::READY ? "ready" : "draining"},
          {"capabilities", capabilities},
          {"cores", known(cores)},
          {"memory_bytes", known(memoryBytes)},
          {"load", json::object{{"queued", load.queued},
                                {"running", load.running},
                                {"resident_bytes", known(load.residentBytes)},
                                {"executor_restarts", load.executorRestarts}}},
          {"window", window},
          {"inflight", inflight},
          {"completed", completed},
          {"last_heard_at", time(heardAt)},
          {"facts", told}};
}

// ---- functions -----------------------------------------------------------------------------------------------------

FunctionRow FunctionRow::read(const core::Function& function, bool gpuOffered, const Moment& moment) {
  FunctionRow row;
  row.hash = function.hash;
  row.name = copy(function.name);
  row.module = copy(function.module);
  row.pythonVersion = copy(toString(function.pythonVersion));
  row.hints = function.hints;
  row.workload = function.workload();
  row.choice = classify::classify(row.workload, row.hints, gpuOffered, moment.thresholds);
  row.explanation = copy(classify::describe(row.choice, row.workload, moment.thresholds));
  row.runSeconds = function.runSeconds;
  row.calls = function.calls;
  row.errors = function.errors;
  return row;
}

json::object FunctionRow::toJson() const {
  json::array levels;
  for (uint i = 0; i < LEVEL_COUNT; i++) {
    if (runSeconds[i].samples() == 0) continue;
    auto object = levelObject(static_cast<Level>(i));
    object["run_seconds_mean"] = number(runSeconds[i].mean());
    object["run_seconds_deviation"] = number(runSeconds[i].deviation());
    object["samples"] = runSeconds[i].samples();
    levels.push_back(std::move(object));
  }
  auto chosen = levelObject(choice.level);
  chosen["reason"] = classify::reasonName(choice.reason).cStr();
  chosen["explanation"] = explanation;
  return {{"hash", toString(hash).cStr()},
          {"name", name},
          {"module", module.empty() ? json::value(nullptr) : json::value(module)},
          {"python_version", pythonVersion},
          {"calls", calls},
          {"errors", errors},
          {"workload", rest::toJson(workload)},
          {"hints", json::object{{"has_loop", hints.hasLoop}, {"is_coroutine", hints.isCoroutine}, {"waits", hints.waits}}},
          {"chosen", chosen},
          {"levels", levels}};
}

// ---- tasks ---------------------------------------------------------------------------------------------------------

TaskRow TaskRow::read(const core::Task& task, const Moment& moment) {
  TaskRow row;
  row.id = task.id;
  row.state = nameOf(task.state);
  row.functionName = copy(task.function->name);
  row.function = task.function->hash;
  row.explanation = copy(route::explain(task, moment.core, moment.core.limits, moment.now));
  row.worker = task.state == core::TaskState::ASSIGNED ? task.worker : WorkerId();
  auto worker = moment.core.workers.find(row.worker);
  if (worker != moment.core.workers.end()) row.workerName = copy(worker->second.spec.name);
  row.levelAsked = task.levelAsked;
  row.levelChosen = task.levelChosen;
  row.level = task.level;
  row.reason = task.reason;
  row.attempt = task.attempt.value;
  row.retriesLeft = task.retriesLeft;
  row.losses = task.losses;
  row.cancelRequested = task.cancelRequested;
  row.dataSize = task.dataSize;
  row.acceptedAt = unixSecondsOf(task.acceptedAt, moment);
  return row;
}

json::object TaskRow::toJson() const {
  return {{"id", toString(id).cStr()},
          {"state", state},
          {"function", json::object{{"hash", toString(function).cStr()}, {"name", functionName}}},
          {"level_asked", rest::level(levelAsked)},
          {"level_chosen", levelObject(levelChosen)},
          {"level", levelObject(level)},
          {"reason", classify::reasonName(reason).cStr()},
          {"attempt", known(attempt)},
          {"retries_left", retriesLeft},
          {"losses", losses},
          {"cancel_requested", cancelRequested},
          {"worker", workerReference(worker, workerName)},
          {"data_size", number(dataSize)},
          {"accepted_at", time(acceptedAt)},
          {"explanation", explanation}};
}

json::object toJson(const core::Epitaph& epitaph) {
  auto error = epitaph.error == ErrorCode::NONE ? json::value(nullptr) : json::value(errorRow(epitaph.error).name);
  return {{"id", toString(epitaph.id).cStr()},
          {"state", core::outcomeName(epitaph.outcome).cStr()},
          {"function", json::object{{"hash", toString(epitaph.function).cStr()}}},
          {"error", error},
          {"level_ran", epitaph.worker.value == 0 ? json::value(nullptr) : json::value(levelObject(epitaph.levelRan))},
          {"worker", workerReference(epitaph.worker, "")},
          {"attempt", known(epitaph.attempt.value)},
          {"timings", timings(epitaph.timings)}};
}

json::object toJson(const classify::Thresholds& thresholds) {
  return {{"io_wait_ratio", thresholds.ioWaitRatio},
          {"avg_loop_iterations", thresholds.loopIterations},
          {"avg_data_size_parallel", thresholds.dataSizeParallel},
          {"avg_data_size_gpu", thresholds.dataSizeGpu}};
}

json::object toJson(const core::Workload& workload) {
  return {{"io_wait_ratio", number(workload.ioWaitRatio)},
          {"avg_loop_iterations", number(workload.avgLoopIterations)},
          {"avg_data_size", number(workload.avgDataSize)},
          {"samples", workload.samples}};
}

}  // namespace epochly::rest

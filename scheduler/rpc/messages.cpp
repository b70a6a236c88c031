#include "rpc/messages.h"

#include <capnp/message.h>

#include "route/window.h"
#include "wire/task_spec.h"
#include "wire/text.h"

namespace epochly::rpc {

namespace {

[[noreturn]] void invalid(kj::String why) { kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, why)); }

size_t wordsOf(const Failure& failure) {
  return capnp::sizeInWords<schema::Failure>() + textWords(failure.message.size()) + textWords(failure.type.size()) +
         textWords(failure.traceback.size()) + wordsFor(failure.pickled.size());
}

void writeTimings(const core::Timings& timings, schema::Timings::Builder builder) {
  builder.setQueue(timings.queue);
  builder.setTransfer(timings.transfer);
  builder.setCompile(timings.compile);
  builder.setRun(timings.run);
  builder.setCpu(timings.cpu);
  builder.setWait(timings.wait);
}

void writeFact(const core::Fact& fact, schema::Fact::Builder builder) {
  builder.setName(fact.name);
  switch (fact.kind) {
    case core::Fact::Kind::KNOWN: builder.setKnown(fact.text); return;
    case core::Fact::Kind::ABSENT: builder.setAbsent(fact.text); return;
    case core::Fact::Kind::UNKNOWN: builder.setUnknown(fact.text); return;
  }
}

void writeInfo(const core::WorkerSpec& spec, schema::WorkerInfo::Builder builder) {
  builder.setName(spec.name);
  builder.setHostName(spec.hostName);
  builder.setHost(spec.host.value);
  builder.setPid(spec.pid);
  builder.setPythonVersion(spec.pythonVersion.value);
  builder.setCores(spec.cores);
  builder.setMemoryBytes(spec.memoryBytes);
  uint offered = 0;
  for (auto slots : spec.slots) offered += slots > 0;
  auto capabilities = builder.initCapabilities(offered);
  for (uint level = 0, i = 0; level < LEVEL_COUNT; level++) {
    if (spec.slots[level] == 0) continue;
    capabilities[i].setLevel(level);
    capabilities[i++].setSlots(spec.slots[level]);
  }
  auto facts = builder.initFacts(spec.facts.size());
  for (auto i : kj::indices(spec.facts)) writeFact(spec.facts[i], facts[i]);
}

// Seconds in user code over all levels, each weighted by its samples; NaN if there are none.
double meanRunSeconds(const core::Function& function) {
  double sum = 0;
  uint64_t samples = 0;
  for (auto& level : function.runSeconds) {
    if (level.samples() == 0) continue;
    sum += level.mean() * static_cast<double>(level.samples());
    samples += level.samples();
  }
  return samples == 0 ? core::UNKNOWN : sum / static_cast<double>(samples);
}

}  // namespace

// ---- in ------------------------------------------------------------------------------------------------------------

events::NewFunction readFunction(schema::Function::Reader function) {
  if (function.getModule().size() > NAME_BYTES_MAX) {
    invalid(kj::str("a module's name has ", function.getModule().size(), " bytes, over the limit of ", NAME_BYTES_MAX));
  }
  events::NewFunction result;
  result.hash = FunctionHash{function.getHashHigh(), function.getHashLow()};
  result.name = cut(function.getName(), NAME_BYTES_MAX);
  result.code = kj::heapArray<byte>(function.getCode());
  result.pythonVersion = PythonVersion{function.getPythonVersion()};
  result.module = kj::str(function.getModule());
  auto hints = function.getHints();
  result.hints = core::Hints{hints.getHasLoop(), hints.getIsCoroutine(), hints.getWaits()};
  return result;
}

void checkSubmission(schema::Submission::Reader batch) {
  auto check = [](size_t size, kj::StringPtr what) {
    if (size > BATCH_TASKS_MAX) {
      invalid(kj::str("a submission of ", size, ' ', what, " is over the limit of ", BATCH_TASKS_MAX));
    }
  };
  check(batch.getTasks().size(), "tasks");
  check(batch.getFunctions().size(), "functions");
  check(batch.getWorkloads().size(), "workloads");
  // Sequence numbers that do not ascend would be taken for repetitions, and never run.
  uint64_t previous = 0;
  for (auto task : batch.getTasks()) {
    if (task.getSeq() <= previous) invalid(kj::str("task numbers must ascend from 1: ", task.getSeq(), " after ", previous));
    previous = task.getSeq();
  }
}

events::NewTask readTask(schema::Task::Reader task, FunctionHash function) {
  auto arguments = task.getArguments();
  if (arguments.getBuffers().size() > BUFFERS_MAX) {
    invalid(kj::str("the arguments have ", arguments.getBuffers().size(), " buffers, over the limit of ", BUFFERS_MAX,
                    ": pass fewer, larger arrays"));
  }
  events::NewTask result;
  result.seq = task.getSeq();
  result.function = function;
  result.level = task.getLevel();
  result.retriesMax = task.getRetriesMax();
  result.timeoutMs = task.getTimeoutMs();
  double dataSize = task.getDataSize();
  result.dataSize = dataSize >= 0 && std::isfinite(dataSize) ? dataSize : core::UNKNOWN;
  result.arguments = Payload::read(arguments);
  return result;
}

// ---- results -------------------------------------------------------------------------------------------------------

void writeTaskResult(const core::Result& result, uint32_t placement, schema::TaskResult::Builder builder) {
  builder.setSeq(result.id.seq);
  builder.setPlacement(placement);
  builder.setAttempt(result.attempt.value);
  switch (result.outcome) {
    case core::Outcome::SUCCEEDED: result.value.write(builder.initValue()); break;
    case core::Outcome::FAILED: result.failure.write(builder.initFailure()); break;
    case core::Outcome::CANCELLED: builder.setCancelled(); break;
  }
  writeTimings(result.timings, builder.initTimings());
}

void writePlacement(const core::Placement& placement, schema::Placement::Builder builder) {
  builder.setLevelAsked(placement.levelAsked);
  builder.setLevelChosen(static_cast<uint8_t>(placement.levelChosen));
  builder.setLevelRan(static_cast<uint8_t>(placement.levelRan));
  builder.setWhy(classify::describe(placement.reason));
  auto declined = builder.initDeclined(placement.declined.size());
  for (auto i : kj::indices(placement.declined)) {
    declined[i].setLevel(static_cast<uint8_t>(placement.declined[i].level));
    declined[i].setReason(placement.declined[i].reason);
  }
  builder.setWorker(placement.workerName);
  builder.setWorkerId(placement.worker.value);
}

size_t wordsOf(const core::Result& result) {
  size_t words = capnp::sizeInWords<schema::TaskResult>() + capnp::sizeInWords<schema::Timings>();
  if (result.outcome == core::Outcome::SUCCEEDED) words += result.value.messageWords();
  if (result.outcome == core::Outcome::FAILED) words += wordsOf(result.failure);
  return words;
}

size_t wordsOf(const core::Placement& placement) {
  size_t words = capnp::sizeInWords<schema::Placement>() + textWords(classify::describe(placement.reason).size()) +
                 textWords(placement.workerName.size()) + 1;
  for (auto& decline : placement.declined) {
    words += capnp::sizeInWords<schema::Declined>() + textWords(decline.reason.size());
  }
  return words;
}

// ---- status --------------------------------------------------------------------------------------------------------

void writeWorker(const core::Worker& worker, const core::Limits& limits, kj::TimePoint now,
                 schema::WorkerStatus::Builder builder) {
  builder.setId(worker.id.value);
  writeInfo(worker.spec, builder.initInfo());
  builder.setState(worker.state == core::WorkerState::READY ? schema::WorkerStatus::State::READY
                                                            : schema::WorkerStatus::State::DRAINING);
  auto load = builder.initLoad();
  load.setQueued(worker.load.queued);
  load.setRunning(worker.load.running);
  load.setResidentBytes(worker.load.residentBytes);
  load.setExecutorRestarts(worker.load.executorRestarts);
  builder.setWindow(route::window(worker, limits));
  builder.setInflight(static_cast<uint32_t>(worker.inflight.size()));
  builder.setCompleted(worker.completed);
  builder.setSecondsSinceHeartbeat(static_cast<double>((now - worker.lastHeard) / kj::NANOSECONDS) * 1e-9);
}

size_t wordsOf(const core::Worker& worker) {
  auto& spec = worker.spec;
  size_t words = capnp::sizeInWords<schema::WorkerStatus>() + capnp::sizeInWords<schema::WorkerInfo>() +
                 capnp::sizeInWords<schema::Load>() + textWords(spec.name.size()) + textWords(spec.hostName.size()) +
                 LEVEL_COUNT * capnp::sizeInWords<schema::Capability>() + 2;
  for (auto& fact : spec.facts) {
    words += capnp::sizeInWords<schema::Fact>() + textWords(fact.name.size()) + textWords(fact.text.size());
  }
  return words;
}

void writeFunctionStatus(const core::Function& function, bool gpuOffered, const classify::Thresholds& thresholds,
                         schema::FunctionStatus::Builder builder) {
  auto workload = function.workload();
  auto choice = classify::classify(workload, function.hints, gpuOffered, thresholds);
  builder.setHashHigh(function.hash.high);
  builder.setHashLow(function.hash.low);
  builder.setName(function.name);
  builder.setCalls(function.calls);
  builder.setErrors(function.errors);
  workload.write(builder.initWorkload());
  builder.setLevelChosen(static_cast<uint8_t>(choice.level));
  builder.setWhy(classify::describe(choice, workload, thresholds));
  builder.setRunSecondsMean(meanRunSeconds(function));
}

void writeTotals(const core::Core& core, schema::Totals::Builder builder) {
  builder.setQueued(core.queuedCount());
  builder.setRunning(core.runningCount());
  builder.setSucceeded(core.totals.succeeded);
  builder.setFailed(core.totals.failed);
  builder.setCancelled(core.totals.cancelled);
  builder.setRetried(core.totals.retried);
  builder.setStaleResults(core.totals.staleResults);
  builder.setWorkers(static_cast<uint32_t>(core.workers.size()));
}

}  // namespace epochly::rpc

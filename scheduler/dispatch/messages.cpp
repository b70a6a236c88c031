#include "dispatch/messages.h"

#include <capnp/message.h>

#include "wire/task_spec.h"
#include "wire/text.h"

namespace epochly::dispatch {

namespace {

kj::Exception invalid(kj::String why) { return makeError(ErrorCode::INVALID_ARGUMENT, why); }

void readCapability(schema::Capability::Reader capability, core::WorkerSpec& spec) {
  KJ_IF_MAYBE(level, levelFromNumber(capability.getLevel())) {
    if (capability.getSlots() > SLOTS_MAX) {
      kj::throwFatalException(
          invalid(kj::str("a worker offers at most ", SLOTS_MAX, " slots of a level, not ", capability.getSlots())));
    }
    spec.slots[static_cast<uint>(*level)] = capability.getSlots();
  } else {
    kj::throwFatalException(invalid(kj::str("a worker offers level ", capability.getLevel(), ", levels are 0 to 4")));
  }
}

core::Fact readFact(schema::Fact::Reader fact) {
  auto name = cut(fact.getName(), NAME_BYTES_MAX);
  switch (fact.which()) {
    case schema::Fact::KNOWN: return {kj::mv(name), core::Fact::Kind::KNOWN, cut(fact.getKnown(), NAME_BYTES_MAX)};
    case schema::Fact::ABSENT: return {kj::mv(name), core::Fact::Kind::ABSENT, cut(fact.getAbsent(), NAME_BYTES_MAX)};
    case schema::Fact::UNKNOWN: return {kj::mv(name), core::Fact::Kind::UNKNOWN, cut(fact.getUnknown(), NAME_BYTES_MAX)};
  }
  return {kj::mv(name), core::Fact::Kind::UNKNOWN, kj::str("told in a way this scheduler does not know")};
}

core::Timings readTimings(schema::Timings::Reader timings) {
  return {timings.getQueue(), timings.getTransfer(), timings.getCompile(),
          timings.getRun(),   timings.getCpu(),      timings.getWait()};
}

// A count or a size: what is negative or not finite was not measured.
double readFigure(double figure) { return figure >= 0 && std::isfinite(figure) ? figure : core::UNKNOWN; }

Failure readFailure(schema::Failure::Reader reader) {
  Failure failure;
  failure.code = errorRow(static_cast<ErrorCode>(reader.getCode())).code;
  if (failure.code == ErrorCode::NONE) failure.code = ErrorCode::INTERNAL;  // a failure has a reason
  failure.message = cut(reader.getMessage(), TRACEBACK_BYTES_MAX);
  failure.type = cut(reader.getType(), NAME_BYTES_MAX);
  failure.traceback = cut(reader.getTraceback(), TRACEBACK_BYTES_MAX);
  // An exception object over the limit is left behind: type, message and traceback still tell it.
  if (reader.getPickled().size() <= PAYLOAD_BYTES_MAX) failure.pickled = kj::heapArray<byte>(reader.getPickled());
  return failure;
}

void readOutcome(schema::AttemptResult::Reader result, events::AttemptReport& report) {
  if (!result.isValue()) {
    report.failure = readFailure(result.getFailure());
    return;
  }
  auto value = result.getValue();
  if (value.getBuffers().size() > BUFFERS_MAX) {
    report.failure = Failure::of(ErrorCode::PAYLOAD_TOO_LARGE,
                                 kj::str("the result has ", value.getBuffers().size(), " buffers, over the limit of ",
                                         BUFFERS_MAX, ": return fewer, larger arrays"));
    return;
  }
  if (auto bytes = inlineBytes(value); bytes > PAYLOAD_BYTES_MAX) {
    report.failure = Failure::of(ErrorCode::PAYLOAD_TOO_LARGE,
                                 kj::str("the result has ", bytes, " bytes, over the limit of ", PAYLOAD_BYTES_MAX,
                                         ": return large arrays to a client on the worker's host, or return less"));
    return;
  }
  report.value = Payload::read(value);
}

void readDeclined(schema::AttemptResult::Reader result, events::AttemptReport& report) {
  for (auto declined : result.getDeclined()) {
    KJ_IF_MAYBE(level, levelFromNumber(declined.getLevel())) {
      report.declined.add(core::Decline{*level, cut(declined.getReason(), NAME_BYTES_MAX)});
    }
    if (report.declined.size() == LEVEL_COUNT) return;
  }
}

void readAttemptResult(schema::AttemptResult::Reader result, events::AttemptReport& report) {
  report.task = readTaskId(result.getTask());
  report.attempt = Attempt(result.getAttempt());
  report.notRun = result.getNotRun();
  report.timings = readTimings(result.getTimings());
  report.loopIterations = readFigure(result.getLoopIterations());
  report.dataSize = readFigure(result.getDataSize());
  if (result.hasDeclined()) readDeclined(result, report);
  KJ_IF_MAYBE(level, levelFromNumber(result.getLevelRan())) {
    report.levelRan = *level;
    readOutcome(result, report);
  } else {
    report.failure = Failure::of(ErrorCode::INTERNAL,
                                 kj::str("the worker answered for level ", result.getLevelRan(), ", levels are 0 to 4"));
  }
}

}  // namespace

core::WorkerSpec readWorkerInfo(schema::WorkerInfo::Reader info) {
  core::WorkerSpec spec;
  spec.name = cut(info.getName(), NAME_BYTES_MAX);
  spec.hostName = cut(info.getHostName(), NAME_BYTES_MAX);
  spec.host = HostId(info.getHost());
  spec.pid = info.getPid();
  spec.pythonVersion = PythonVersion{info.getPythonVersion()};
  spec.cores = info.getCores();
  spec.memoryBytes = info.getMemoryBytes();
  if (info.getCapabilities().size() > LEVEL_COUNT) {
    kj::throwFatalException(
        invalid(kj::str("a worker names ", info.getCapabilities().size(), " capabilities, there are ", LEVEL_COUNT)));
  }
  for (auto capability : info.getCapabilities()) readCapability(capability, spec);
  if (info.getFacts().size() > FACTS_MAX) {
    kj::throwFatalException(invalid(kj::str("a worker tells ", info.getFacts().size(), " facts, of at most ", FACTS_MAX)));
  }
  spec.facts = KJ_MAP(fact, info.getFacts()) { return readFact(fact); };
  return spec;
}

kj::Array<events::AttemptReport> readAttemptResults(schema::AttemptResults::Reader results) {
  auto list = results.getResults();
  if (list.size() > BATCH_TASKS_MAX) {
    kj::throwFatalException(invalid(kj::str("a batch of ", list.size(), " results is over the limit of ", BATCH_TASKS_MAX)));
  }
  auto reports = kj::heapArray<events::AttemptReport>(list.size());
  for (auto i : kj::indices(reports)) readAttemptResult(list[i], reports[i]);
  return reports;
}

core::Load readLoad(schema::Load::Reader load) {
  return {load.getQueued(), load.getRunning(), load.getResidentBytes(), load.getExecutorRestarts()};
}

void writeFunction(const core::Function& function, uint32_t id, schema::Function::Builder builder) {
  builder.setId(id);
  builder.setHashHigh(function.hash.high);
  builder.setHashLow(function.hash.low);
  builder.setName(function.name);
  builder.setCode(function.code);
  builder.setPythonVersion(function.pythonVersion.value);
  if (function.module.size() > 0) builder.setModule(function.module);
  auto hints = builder.initHints();
  hints.setHasLoop(function.hints.hasLoop);
  hints.setIsCoroutine(function.hints.isCoroutine);
  hints.setWaits(function.hints.waits);
}

void writeAssignment(const core::Task& task, uint32_t function, bool inlineResult, schema::Assignment::Builder builder) {
  writeTaskId(task.id, builder.initTask());
  builder.setAttempt(task.attempt.value);
  builder.setFunction(function);
  builder.setLevel(static_cast<uint8_t>(task.level));
  builder.setTimeoutMs(task.timeoutMs);
  task.arguments.write(builder.initArguments());
  builder.setInlineResult(inlineResult);
}

size_t wordsOf(const core::Function& function) {
  return capnp::sizeInWords<schema::Function>() + capnp::sizeInWords<schema::Hints>() + textWords(function.name.size()) +
         textWords(function.module.size()) + wordsFor(function.code.size());
}

size_t wordsOf(const core::Task& task) {
  return capnp::sizeInWords<schema::Assignment>() + capnp::sizeInWords<schema::TaskId>() + task.arguments.messageWords();
}

}  // namespace epochly::dispatch

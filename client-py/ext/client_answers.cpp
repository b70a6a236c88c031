#include "ext/client_answers.h"

#include <cmath>

#include <capnp/serialize.h>

#include "scheduler.capnp.h"
#include "wire/ids.h"
#include "wire/task_spec.h"

namespace epochly::ext {

namespace {

capnp::ReaderOptions readerOptions() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = TRAVERSAL_WORDS_MAX;
  return options;
}

nb::str text(kj::StringPtr value) {
  return nb::steal<nb::str>(PyUnicode_DecodeUTF8(value.begin(), value.size(), "replace"));
}

nb::object measured(double value) { return std::isnan(value) ? nb::object(nb::none()) : nb::object(nb::float_(value)); }

// 0 stands for unknown.
nb::object known(uint64_t value) { return value == 0 ? nb::object(nb::none()) : nb::object(nb::int_(value)); }

nb::dict factsOf(capnp::List<schema::Fact>::Reader facts) {
  nb::dict result;
  for (auto fact : facts) {
    switch (fact.which()) {
      case schema::Fact::KNOWN: result[text(fact.getName())] = text(fact.getKnown()); break;
      case schema::Fact::ABSENT: result[text(fact.getName())] = text(kj::str("absent: ", fact.getAbsent())); break;
      case schema::Fact::UNKNOWN: result[text(fact.getName())] = text(kj::str("unknown: ", fact.getUnknown())); break;
    }
  }
  return result;
}

nb::dict slotsOf(capnp::List<schema::Capability>::Reader capabilities) {
  nb::dict slots;
  for (auto capability : capabilities) {
    KJ_IF_MAYBE(level, levelFromNumber(capability.getLevel())) slots[text(capabilityName(*level))] = capability.getSlots();
  }
  return slots;
}

nb::dict workerFrom(schema::WorkerStatus::Reader worker) {
  auto info = worker.getInfo();
  auto load = worker.getLoad();
  auto slots = slotsOf(info.getCapabilities());
  nb::dict row;
  row["id"] = worker.getId();
  row["name"] = text(info.getName());
  row["host"] = text(info.getHostName());
  row["shares_memory"] = info.getHost() != 0 && info.getHost() == thisHost().value;
  row["pid"] = info.getPid();
  row["state"] = worker.getState() == schema::WorkerStatus::State::READY ? "ready" : "draining";
  row["python"] = text(toString(PythonVersion{info.getPythonVersion()}));
  row["capabilities"] = nb::list(slots.keys());
  row["slots"] = slots;
  row["cores"] = known(info.getCores());
  row["memory_bytes"] = known(info.getMemoryBytes());
  nb::dict loads;
  loads["inflight"] = worker.getInflight();
  loads["window"] = worker.getWindow();
  loads["queued"] = load.getQueued();
  loads["running"] = load.getRunning();
  loads["resident_bytes"] = known(load.getResidentBytes());
  loads["executor_restarts"] = load.getExecutorRestarts();
  row["load"] = loads;
  row["completed"] = worker.getCompleted();
  row["seconds_since_heartbeat"] = measured(worker.getSecondsSinceHeartbeat());
  row["facts"] = factsOf(info.getFacts());
  return row;
}

nb::dict functionFrom(schema::FunctionStatus::Reader function) {
  auto workload = function.getWorkload();
  nb::dict row;
  row["name"] = text(function.getName());
  row["hash"] = text(toString(FunctionHash{function.getHashHigh(), function.getHashLow()}));
  row["calls"] = function.getCalls();
  row["errors"] = function.getErrors();
  row["level_chosen"] = function.getLevelChosen();
  row["why"] = text(function.getWhy());
  row["run_seconds_mean"] = measured(function.getRunSecondsMean());
  row["io_wait_ratio"] = measured(workload.getIoWaitRatio());
  row["avg_loop_iterations"] = measured(workload.getAvgLoopIterations());
  row["avg_data_size"] = measured(workload.getAvgDataSize());
  row["samples"] = workload.getSamples();
  return row;
}

}  // namespace

nb::list workersFrom(kj::ArrayPtr<const capnp::word> words) {
  capnp::FlatArrayMessageReader message(words, readerOptions());
  nb::list rows;
  for (auto worker : message.getRoot<schema::ClientSession::WorkersResults>().getWorkers()) rows.append(workerFrom(worker));
  return rows;
}

nb::list functionsFrom(kj::ArrayPtr<const capnp::word> words) {
  capnp::FlatArrayMessageReader message(words, readerOptions());
  nb::list rows;
  for (auto function : message.getRoot<schema::ClientSession::FunctionsResults>().getFunctions()) {
    rows.append(functionFrom(function));
  }
  return rows;
}

nb::dict totalsFrom(kj::ArrayPtr<const capnp::word> words) {
  capnp::FlatArrayMessageReader message(words, readerOptions());
  auto totals = message.getRoot<schema::ClientSession::TotalsResults>().getTotals();
  nb::dict row;
  row["queued"] = totals.getQueued();
  row["running"] = totals.getRunning();
  row["succeeded"] = totals.getSucceeded();
  row["failed"] = totals.getFailed();
  row["cancelled"] = totals.getCancelled();
  row["retried"] = totals.getRetried();
  row["stale_results"] = totals.getStaleResults();
  row["workers"] = totals.getWorkers();
  return row;
}

nb::str explanationFrom(kj::ArrayPtr<const capnp::word> words) {
  capnp::FlatArrayMessageReader message(words, readerOptions());
  return text(message.getRoot<schema::ClientSession::ExplainResults>().getText());
}

}  // namespace epochly::ext

#include "metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::metrics {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Labels = std::map<std::string, std::string>;

// 1-2.5-5 from 10 us, what a task costs at least, to 10 minutes.
const Histogram::BucketBoundaries RUN_SECONDS = {1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05,
                                                 0.1,  0.25,   0.5,  1,    2.5,    5,    10,   30,     60,   120,  300,   600};

prometheus::Family<Counter>& counters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<Gauge>& gauges(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

std::string text(kj::StringPtr from) { return std::string(from.begin(), from.size()); }

}  // namespace

// Every series exists from the start, so that a rate over the first event is right.
struct WorkerMetrics::Families {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  kj::Own<prometheus::Exposer> exposer;

  Gauge* executors[run::ROLE_COUNT][2];  // [role][ready]
  Counter* restarts[run::ROLE_COUNT];
  Counter* taken[LEVEL_COUNT];
  Counter* ended[LEVEL_COUNT][run::OUTCOME_COUNT];
  Histogram* runSeconds[LEVEL_COUNT];
  Gauge* queued;
  Gauge* running;
  Gauge* residentBytes;
  Counter* recalled;
  Counter* suspected;
  Counter* resultsDropped;
  Gauge* connected;
  Counter* joins;
  Counter* sweptObjects;
  Counter* sweptBytes;

  Families() {
    auto& r = *registry;
    addExecutors(r);
    addAttempts(r);
    residentBytes = &gauges(r, "epochly_worker_resident_bytes", "Resident memory of the worker and its executors.").Add({});
    connected = &gauges(r, "epochly_worker_connected", "1 while the worker is joined to its scheduler.").Add({});
    joins = &counters(r, "epochly_worker_joins_total", "Times the worker has joined a scheduler.").Add({});
    sweptObjects = &counters(r, "epochly_worker_orphan_objects_total",
                             "Shared memory objects removed because nobody would unlink them any more.").Add({});
    sweptBytes = &counters(r, "epochly_worker_orphan_objects_bytes_total", "Bytes of those objects.").Add({});
  }

  void addExecutors(prometheus::Registry& r) {
    auto& states = gauges(r, "epochly_worker_executors", "Executor processes by role and state.");
    auto& restarted = counters(r, "epochly_worker_executor_restarts_total", "Executors started in place of one that was gone.");
    for (uint role = 0; role < run::ROLE_COUNT; role++) {
      auto name = text(run::roleName(static_cast<run::Role>(role)));
      executors[role][0] = &states.Add(Labels{{"role", name}, {"state", "starting"}});
      executors[role][1] = &states.Add(Labels{{"role", name}, {"state", "ready"}});
      restarts[role] = &restarted.Add(Labels{{"role", name}});
    }
  }

  void addAttempts(prometheus::Registry& r) {
    auto& takenFamily = counters(r, "epochly_worker_attempts_taken_total", "Attempts taken from the scheduler.");
    auto& endedFamily = counters(r, "epochly_worker_attempts_total", "Attempts that ended, by what became of them.");
    auto& seconds = prometheus::BuildHistogram()
                        .Name("epochly_worker_attempt_run_seconds")
                        .Help("Wall time of user code in one attempt.")
                        .Register(r);
    for (uint level = 0; level < LEVEL_COUNT; level++) {
      auto name = text(levelName(static_cast<Level>(level)));
      taken[level] = &takenFamily.Add(Labels{{"level", name}});
      runSeconds[level] = &seconds.Add(Labels{{"level", name}}, RUN_SECONDS);
      for (uint outcome = 0; outcome < run::OUTCOME_COUNT; outcome++) {
        ended[level][outcome] =
            &endedFamily.Add(Labels{{"level", name}, {"outcome", text(run::outcomeName(static_cast<run::Outcome>(outcome)))}});
      }
    }
    auto& now = gauges(r, "epochly_worker_attempts", "Attempts the worker holds.");
    queued = &now.Add(Labels{{"state", "queued"}});
    running = &now.Add(Labels{{"state", "running"}});
    recalled = &counters(r, "epochly_worker_attempts_recalled_total",
                         "Attempts taken back from an executor before they began, for another to run.").Add({});
    suspected = &counters(r, "epochly_worker_attempts_suspected_total",
                          "Attempts run again alone because they shared an executor that died.").Add({});
    resultsDropped = &counters(r, "epochly_worker_results_dropped_total",
                               "Results that came after their attempt had been answered: it had timed out or was cancelled.").Add({});
  }
};

WorkerMetrics::WorkerMetrics() : families(kj::heap<Families>()) {}

WorkerMetrics::~WorkerMetrics() noexcept {}

uint16_t WorkerMetrics::expose(kj::StringPtr hostPort) {
  try {
    families->exposer = kj::heap<prometheus::Exposer>(text(hostPort), 1);
  } catch (const std::exception& e) {
    kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, kj::str("cannot serve metrics at ", hostPort, ": ", e.what())));
  }
  families->exposer->RegisterCollectable(families->registry);
  return static_cast<uint16_t>(families->exposer->GetListeningPorts().front());
}

std::string WorkerMetrics::page() const { return prometheus::TextSerializer().Serialize(families->registry->Collect()); }

void WorkerMetrics::setPython(kj::StringPtr version) {
  gauges(*families->registry, "epochly_worker_info", "Always 1; its labels say which release this is and which Python its executors run.")
      .Add(Labels{{"version", SOFTWARE_VERSION}, {"python", text(version)}})
      .Set(1);
}
void WorkerMetrics::setAttempts(size_t queued, size_t running) {
  families->queued->Set(static_cast<double>(queued));
  families->running->Set(static_cast<double>(running));
}
void WorkerMetrics::setResidentBytes(uint64_t bytes) { families->residentBytes->Set(static_cast<double>(bytes)); }
void WorkerMetrics::onJoined() {
  families->connected->Set(1);
  families->joins->Increment();
}
void WorkerMetrics::onConnectionLost() { families->connected->Set(0); }
void WorkerMetrics::onSwept(uint objects, uint64_t bytes) {
  families->sweptObjects->Increment(objects);
  families->sweptBytes->Increment(static_cast<double>(bytes));
}

void WorkerMetrics::onExecutorStarted(run::Role role, bool replacement) {
  families->executors[static_cast<uint>(role)][0]->Increment();
  if (replacement) families->restarts[static_cast<uint>(role)]->Increment();
}
void WorkerMetrics::onExecutorReady(run::Role role) {
  families->executors[static_cast<uint>(role)][0]->Decrement();
  families->executors[static_cast<uint>(role)][1]->Increment();
}
void WorkerMetrics::onExecutorGone(run::Role role, bool wasReady) {
  families->executors[static_cast<uint>(role)][wasReady]->Decrement();
}
void WorkerMetrics::onAttemptTaken(Level level) { families->taken[static_cast<uint>(level)]->Increment(); }
void WorkerMetrics::onAttemptEnded(Level level, run::Outcome outcome) {
  families->ended[static_cast<uint>(level)][static_cast<uint>(outcome)]->Increment();
}
void WorkerMetrics::onAttemptRan(Level level, kj::Duration run) {
  families->runSeconds[static_cast<uint>(level)]->Observe(static_cast<double>(run / kj::NANOSECONDS) * 1e-9);
}
void WorkerMetrics::onAttemptsRecalled(uint count) { families->recalled->Increment(count); }
void WorkerMetrics::onAttemptsSuspected(uint count) { families->suspected->Increment(count); }
void WorkerMetrics::onResultDropped() { families->resultsDropped->Increment(); }

}  // namespace epochly::metrics

#include "metrics/page.h"

#include <cmath>
#include <limits>
#include <sstream>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "metrics/names.h"
#include "metrics/process.h"

namespace epochly::metrics {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using Labels = std::vector<ClientMetric::Label>;

namespace {

std::string nameOf(Level level) { return levelName(level).cStr(); }
Level levelAt(uint index) { return static_cast<Level>(index); }

prometheus::MetricType typeOf(Kind kind) {
  switch (kind) {
    case Kind::COUNTER: return prometheus::MetricType::Counter;
    case Kind::GAUGE: return prometheus::MetricType::Gauge;
    case Kind::HISTOGRAM: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

const char* poolName(uint pool) {
  constexpr const char* NAMES[core::POOL_COUNT] = {"cpu", "io", "gpu"};
  return NAMES[pool];
}

// Families in the order of the table. A family without samples is left out.
class Page {
 public:
  void add(Name name, double value, Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    (row(name).kind == Kind::COUNTER ? metric.counter.value : metric.gauge.value) = value;
    familyOf(name).metric.push_back(std::move(metric));
  }

  void add(Name name, const Histogram& histogram, Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    uint64_t cumulative = 0;
    for (size_t i = 0; i < histogram.counts.size(); i++) {
      cumulative += histogram.counts[i];
      bool isLast = i == BUCKET_BOUNDS.size();
      double bound = isLast ? std::numeric_limits<double>::infinity() : static_cast<double>(BUCKET_BOUNDS[i]) / 1e9;
      metric.histogram.bucket.push_back({cumulative, bound});
    }
    metric.histogram.sample_count = cumulative;
    metric.histogram.sample_sum = histogram.sumSeconds;
    familyOf(name).metric.push_back(std::move(metric));
  }

  // What a label has never taken is not told: most levels, errors and functions of most clusters.
  void addCount(Name name, uint64_t value, Labels labels) {
    if (value > 0) add(name, static_cast<double>(value), std::move(labels));
  }
  void addSeen(Name name, const Histogram& histogram, Labels labels) {
    if (histogram.count() > 0) add(name, histogram, std::move(labels));
  }

  template <typename T>
  void addKnown(Name name, const std::optional<T>& value) {
    if (value) add(name, static_cast<double>(*value));
  }

  std::string text() const {
    std::vector<MetricFamily> told;
    for (auto& family : families) {
      if (!family.metric.empty()) told.push_back(family);
    }
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, told);
    return out.str();
  }

 private:
  std::array<MetricFamily, NAME_COUNT> families;

  MetricFamily& familyOf(Name name) {
    auto& family = families[static_cast<size_t>(name)];
    if (family.name.empty()) {
      family.name = row(name).name;
      family.help = row(name).help;
      family.type = typeOf(row(name).kind);
    }
    return family;
  }
};

void addState(Page& page, const Snapshot& s) {
  page.add(Name::BUILD_INFO, 1, {{"version", EPOCHLY_VERSION}});
  page.add(Name::TASKS, s.queued, {{"state", "queued"}});
  page.add(Name::TASKS, s.running, {{"state", "running"}});
  page.add(Name::TASKS, s.backoff, {{"state", "backoff"}});
  page.add(Name::TASKS_PENDING, s.waitNoWorker, {{"reason", "no_worker"}});
  page.add(Name::TASKS_PENDING, s.waitNoFit, {{"reason", "no_fitting_worker"}});
  page.add(Name::TASKS_PENDING, s.waitSlot, {{"reason", "waiting_for_slot"}});
  page.add(Name::TASKS_PENDING, s.backoff, {{"reason", "backoff"}});
  page.add(Name::OLDEST_PENDING_AGE, s.oldestPendingSeconds);
  page.add(Name::CLIENTS, s.clientsConnected, {{"state", "connected"}});
  page.add(Name::CLIENTS, s.clientsAwaited, {{"state", "awaited"}});
  page.add(Name::FUNCTIONS, s.functions);
  page.add(Name::STATE_BYTES, s.argumentBytes, {{"class", "arguments"}});
  page.add(Name::STATE_BYTES, s.functionBytes, {{"class", "functions"}});
  page.add(Name::STATE_BYTES, s.resultBytes, {{"class", "results"}});
  page.add(Name::DRAINING, s.draining ? 1 : 0);
}

void addTotals(Page& page, const Snapshot& s) {
  page.add(Name::RETRIES, s.totals.retried);
  page.add(Name::SUBMISSIONS_DUPLICATE, s.totals.duplicates);
  page.add(Name::STALE_RESULTS, s.totals.staleResults);
  for (uint i = 0; i < ERROR_CODE_COUNT; i++) {
    std::string error = errorRowAt(i).name;
    page.addCount(Name::TASKS_FAILED, s.counts.failed[i], {{"error", error}});
    // The usual reason is always told, so that its rate can be asked for before it first happens.
    if (errorRowAt(i).code == ErrorCode::OVERLOADED)
      page.add(Name::SUBMISSIONS_REFUSED, s.counts.refused[i], {{"reason", error}});
    else
      page.addCount(Name::SUBMISSIONS_REFUSED, s.counts.refused[i], {{"reason", error}});
  }
}

void addFinished(Page& page, const Counts& counts, uint group) {
  std::string name = group < counts.groups.size() ? counts.groups[group] : "other";
  for (uint level = 0; level < LEVEL_COUNT; level++) {
    for (uint outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
      page.addCount(Name::TASKS_FINISHED, counts.finished[group][level][outcome],
                    {{"outcome", core::outcomeName(static_cast<core::Outcome>(outcome)).cStr()},
                     {"level", nameOf(levelAt(level))},
                     {"function_group", name}});
    }
  }
}

void addLevel(Page& page, const Counts& counts, uint index) {
  std::string level = nameOf(levelAt(index));
  page.add(Name::TASKS_SUBMITTED, counts.submitted[index], {{"level", level}});
  page.addCount(Name::LEVELS_DECLINED, counts.declined[index], {{"level", level}});
  for (uint end = 0; end < ATTEMPT_END_COUNT; end++) {
    page.addCount(Name::ATTEMPTS, counts.attempts[index][end],
                  {{"end", core::attemptEndName(static_cast<core::AttemptEnd>(end)).cStr()}, {"level", level}});
  }
  for (uint phase = 0; phase < PHASE_COUNT; phase++) {
    page.addSeen(Name::PHASE_SECONDS, counts.phases[index][phase],
                 {{"phase", phaseName(static_cast<Phase>(phase))}, {"level", level}});
  }
  page.addSeen(Name::END_TO_END_SECONDS, counts.endToEnd[index], {{"level", level}});
  if (counts.cpuSeconds[index] > 0) page.add(Name::CPU_SECONDS, counts.cpuSeconds[index], {{"level", level}});
}

void addWorkers(Page& page, const Snapshot& s) {
  page.add(Name::WORKERS, s.workersReady, {{"state", "ready"}});
  page.add(Name::WORKERS, s.workersDraining, {{"state", "draining"}});
  page.add(Name::WORKERS_JOINED, s.counts.workersJoined);
  for (uint level = 0; level < LEVEL_COUNT; level++) {
    page.add(Name::WORKERS_OFFERING, s.offering[level], {{"capability", capabilityName(levelAt(level)).cStr()}});
  }
  for (uint pool = 0; pool < core::POOL_COUNT; pool++) {
    page.add(Name::SLOTS, s.slots[pool], {{"pool", poolName(pool)}});
    page.add(Name::INFLIGHT, s.inflight[pool], {{"pool", poolName(pool)}});
  }
  for (uint gone = 0; gone < GONE_COUNT; gone++) {
    page.add(Name::WORKERS_GONE, s.counts.workersGone[gone], {{"reason", goneName(static_cast<Gone>(gone))}});
  }
}

void addOutside(Page& page, const Outside& outside) {
  page.add(Name::RPC_CONNECTIONS, outside.rpcConnections);
  page.add(Name::RPC_CONNECTIONS_FAILED, outside.rpcConnectionsRefused, {{"reason", "refused"}});
  page.add(Name::RPC_CONNECTIONS_FAILED, outside.rpcConnectionsMalformed, {{"reason", "malformed"}});
  page.add(Name::RPC_CONNECTIONS_FAILED, outside.rpcHellosRefused, {{"reason", "hello"}});
  page.add(Name::RPC_CALLS, outside.rpcCalls);
}

void addProcess(Page& page) {
  auto process = Process::look();
  page.addKnown(Name::PROCESS_RESIDENT_BYTES, process.residentBytes);
  page.addKnown(Name::PROCESS_CPU_SECONDS, process.cpuSeconds);
  page.addKnown(Name::PROCESS_OPEN_FDS, process.openFds);
  page.addKnown(Name::PROCESS_START_TIME, process.startTimeSeconds);
}

}  // namespace

std::string page(const Snapshot& snapshot) {
  Page page;
  addState(page, snapshot);
  addTotals(page, snapshot);
  for (uint group = 0; group <= FUNCTION_GROUPS_MAX; group++) addFinished(page, snapshot.counts, group);
  for (uint level = 0; level < LEVEL_COUNT; level++) addLevel(page, snapshot.counts, level);
  addWorkers(page, snapshot);
  page.add(Name::LOOP_LAG, snapshot.counts.loopLag);
  addOutside(page, snapshot.outside);
  addProcess(page);
  return page.text();
}

}  // namespace epochly::metrics

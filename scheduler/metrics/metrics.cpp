#include "metrics/metrics.h"

namespace epochly::metrics {

namespace {

constexpr uint indexOf(Level level) { return static_cast<uint>(level); }

uint64_t nanoseconds(kj::Duration duration) {
  auto value = duration / kj::NANOSECONDS;
  return value > 0 ? static_cast<uint64_t>(value) : 0;
}

void observe(Histogram& histogram, uint64_t nanoseconds) {
  if (nanoseconds != core::Timings::NONE) histogram.observe(nanoseconds);
}

Gone goneFor(kj::StringPtr why) {
  if (why == "left") return Gone::LEFT;
  if (why == "connection lost") return Gone::CONNECTION_LOST;
  if (why == "missed heartbeats") return Gone::MISSED_HEARTBEATS;
  return Gone::OTHER;
}

}  // namespace

const char* phaseName(Phase phase) {
  constexpr const char* NAMES[PHASE_COUNT] = {"queue", "transfer", "compile", "run"};
  return NAMES[static_cast<uint>(phase)];
}

const char* goneName(Gone gone) {
  constexpr const char* NAMES[GONE_COUNT] = {"left", "connection_lost", "missed_heartbeats", "other"};
  return NAMES[static_cast<uint>(gone)];
}

uint64_t Counts::finishedAt(Level level, core::Outcome outcome) const {
  uint64_t sum = 0;
  for (auto& group : finished) sum += group[indexOf(level)][static_cast<uint>(outcome)];
  return sum;
}

void Metrics::loopLag(kj::Duration lag) { all.loopLag.observe(nanoseconds(lag)); }

void Metrics::submitted(const core::Task& task) { all.submitted[indexOf(task.levelChosen)]++; }

void Metrics::refused(ErrorCode why, uint64_t tasks) { all.refused[static_cast<uint>(errorRow(why).code)] += tasks; }

void Metrics::attemptEnded(const core::Task& task, core::AttemptEnd end) {
  all.attempts[indexOf(task.level)][static_cast<uint>(end)]++;
}

void Metrics::ended(const core::Task& task, const core::Result& result, kj::Duration endToEnd) {
  auto level = indexOf(result.placement.levelRan);
  all.finished[groupIndex(*task.function)][level][static_cast<uint>(result.outcome)]++;
  if (result.outcome == core::Outcome::FAILED) all.failed[static_cast<uint>(errorRow(result.failure.code).code)]++;
  auto& phases = all.phases[level];
  auto& timings = result.timings;
  observe(phases[static_cast<uint>(Phase::QUEUE)], timings.queue);
  observe(phases[static_cast<uint>(Phase::TRANSFER)], timings.transfer);
  observe(phases[static_cast<uint>(Phase::COMPILE)], timings.compile);
  observe(phases[static_cast<uint>(Phase::RUN)], timings.run);
  if (timings.cpu != core::Timings::NONE) all.cpuSeconds[level] += static_cast<double>(timings.cpu) * 1e-9;
  all.endToEnd[level].observe(nanoseconds(endToEnd));
}

void Metrics::declined(Level level) { all.declined[indexOf(level)]++; }

void Metrics::workerJoined(const core::Worker& worker) { all.workersJoined++; }

void Metrics::workerGone(const core::Worker& worker, kj::StringPtr why) {
  all.workersGone[static_cast<uint>(goneFor(why))]++;
}

// First come, first named: a label that changed its meaning would be worse than one that says "other".
uint Metrics::groupIndex(const core::Function& function) {
  auto known = groupOf.find(function.hash);
  if (known != groupOf.end()) return known->second;
  if (groupOf.size() >= GROUP_CACHE_MAX) groupOf.clear();
  std::string name(function.name.begin(), function.name.size());
  auto named = groupByName.find(name);
  if (named == groupByName.end() && groupByName.size() < FUNCTION_GROUPS_MAX) {
    named = groupByName.emplace(name, static_cast<uint8_t>(groupByName.size())).first;
    all.groups.push_back(name);
  }
  uint8_t index = named == groupByName.end() ? FUNCTION_GROUPS_MAX : named->second;
  groupOf.emplace(function.hash, index);
  return index;
}

}  // namespace epochly::metrics

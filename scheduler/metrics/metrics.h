// What the scheduler counts. The core tells, the page reads a copy.
#pragma once

#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/core.h"
#include "core/observer.h"
#include "metrics/histogram.h"

namespace epochly::metrics {

enum class Phase : uint8_t { QUEUE, TRANSFER, COMPILE, RUN };
constexpr uint PHASE_COUNT = 4;
const char* phaseName(Phase phase);

// Why a worker is gone: the words of dispatch, or other.
enum class Gone : uint8_t { LEFT, CONNECTION_LOST, MISSED_HEARTBEATS, OTHER };
constexpr uint GONE_COUNT = 4;
const char* goneName(Gone gone);

constexpr uint OUTCOME_COUNT = 3;
constexpr uint ATTEMPT_END_COUNT = 6;
// Functions with a label of their own: 50 fill a legend. All others share the last index.
constexpr uint FUNCTION_GROUPS_MAX = 50;

// Functions whose label is remembered, so that a task costs one look-up: twice what the core keeps by default
// (Limits::functionsMax), 40 bytes each.
constexpr size_t GROUP_CACHE_MAX = 20'000;

// Plain data: a copy is a snapshot.
struct Counts {
  std::array<uint64_t, LEVEL_COUNT> submitted{};
  std::array<std::array<std::array<uint64_t, OUTCOME_COUNT>, LEVEL_COUNT>, FUNCTION_GROUPS_MAX + 1> finished{};
  std::array<uint64_t, ERROR_CODE_COUNT> failed{};
  std::array<std::array<uint64_t, ATTEMPT_END_COUNT>, LEVEL_COUNT> attempts{};
  std::array<uint64_t, ERROR_CODE_COUNT> refused{};
  std::array<uint64_t, LEVEL_COUNT> declined{};
  std::array<std::array<Histogram, PHASE_COUNT>, LEVEL_COUNT> phases{};
  std::array<Histogram, LEVEL_COUNT> endToEnd{};
  std::array<double, LEVEL_COUNT> cpuSeconds{};
  uint64_t workersJoined = 0;
  std::array<uint64_t, GONE_COUNT> workersGone{};
  Histogram loopLag;
  std::vector<std::string> groups;  // names by index

  // Tasks that ended at `level` with `outcome`, over all functions.
  uint64_t finishedAt(Level level, core::Outcome outcome) const;
};

// Lives on the scheduler's kj loop. Nothing here takes a lock, an allocation or a look-up by name on the path of a task, but
// for one hash look-up of its function.
class Metrics final : public core::Observer {
 public:
  const Counts& counts() const { return all; }
  size_t functionsCached() const { return groupOf.size(); }  // at most GROUP_CACHE_MAX
  void loopLag(kj::Duration lag);

  void submitted(const core::Task& task) override;
  void refused(ErrorCode why, uint64_t tasks) override;
  void attemptEnded(const core::Task& task, core::AttemptEnd end) override;
  void ended(const core::Task& task, const core::Result& result, kj::Duration endToEnd) override;
  void declined(Level level) override;
  void workerJoined(const core::Worker& worker) override;
  void workerGone(const core::Worker& worker, kj::StringPtr why) override;

 private:
  Counts all;
  std::unordered_map<FunctionHash, uint8_t> groupOf;     // a cache: forgotten whole past GROUP_CACHE_MAX
  std::unordered_map<std::string, uint8_t> groupByName;  // at most FUNCTION_GROUPS_MAX

  uint groupIndex(const core::Function& function);
};

}  // namespace epochly::metrics

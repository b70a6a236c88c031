#include "rpc/results_batch.h"

#include "rpc/messages.h"
#include "wire/task_spec.h"

namespace epochly::rpc {

namespace {

// Equal placements have equal keys. Workers' ids count up from 1, so nothing is lost by the shift.
uint64_t keyOf(const core::Placement& placement) {
  return placement.worker.value << 24 | uint64_t(static_cast<uint8_t>(placement.levelAsked)) << 16 |
         uint64_t(placement.levelChosen) << 12 | uint64_t(placement.levelRan) << 8 | uint64_t(placement.reason) << 4 |
         placement.declined.size();
}

bool same(const core::Placement& a, const core::Placement& b) {
  if (keyOf(a) != keyOf(b)) return false;
  for (auto i : kj::indices(a.declined)) {
    if (a.declined[i].level != b.declined[i].level || a.declined[i].reason != b.declined[i].reason) return false;
  }
  return true;
}

}  // namespace

ResultsBatch::ResultsBatch(const core::Client& client) : client(client) {
  for (size_t i = client.sent; i < client.results.size() && count() < BATCH_TASKS_MAX && bytes() < BATCH_BYTES_TARGET; i++) {
    auto& result = client.results[i];
    words += wordsOf(result);
    placementOf.add(placementIndex(result.placement));
  }
}

uint32_t ResultsBatch::placementIndex(const core::Placement& placement) {
  if (!placements.empty() && same(*placements.back(), placement)) return placements.size() - 1;
  auto known = byKey.find(keyOf(placement));
  if (known != byKey.end() && same(*placements[known->second], placement)) return known->second;
  // The same key with other reasons declined: both are written, the newer one is the one that others find.
  uint32_t index = placements.size();
  byKey[keyOf(placement)] = index;
  placements.add(&placement);
  words += wordsOf(placement);
  return index;
}

void ResultsBatch::write(schema::Results::Builder builder) const {
  auto results = builder.initResults(count());
  for (auto i : kj::indices(placementOf)) writeTaskResult(client.results[client.sent + i], placementOf[i], results[i]);
  auto list = builder.initPlacements(placements.size());
  for (auto i : kj::indices(placements)) writePlacement(*placements[i], list[i]);
}

}  // namespace epochly::rpc

#include "ext/client_inbox.h"

#include <kj/exception.h>

namespace epochly::client {

namespace {

std::shared_ptr<const Placement> readPlacement(schema::Placement::Reader from) {
  auto to = std::make_shared<Placement>();
  to->levelAsked = from.getLevelAsked();
  to->levelChosen = from.getLevelChosen();
  to->levelRan = from.getLevelRan();
  to->why = kj::str(from.getWhy());
  for (auto declined : from.getDeclined()) {
    to->declined.push_back(Declined{declined.getLevel(), kj::str(declined.getReason())});
  }
  to->worker = kj::str(from.getWorker());
  to->workerId = from.getWorkerId();
  return to;
}

Timings readTimings(schema::Timings::Reader from) {
  Timings to;
  to.queue = from.getQueue();
  to.transfer = from.getTransfer();
  to.compile = from.getCompile();
  to.run = from.getRun();
  to.cpu = from.getCpu();
  return to;
}

// A value whose shared memory is gone is a failure of the service; the others of its batch are not touched by it.
void readValue(schema::Payload::Reader from, Outcome& outcome, RegionOpener& regions) {
  outcome.ending = Ending::VALUE;
  outcome.value = Payload::read(from);
  outcome.regions.resize(outcome.value.buffers.size());
  auto problem = kj::runCatchingExceptions([&]() {
    auto& buffers = outcome.value.buffers;
    for (auto i : kj::indices(buffers)) {
      if (buffers[i].is<SharedBuffer>()) outcome.regions[i] = regions.open(buffers[i].get<SharedBuffer>());
    }
    for (auto& buffer : buffers) {
      if (buffer.is<SharedBuffer>()) regions.unlink(buffer.get<SharedBuffer>());
    }
  });
  KJ_IF_MAYBE(e, problem) {
    outcome.ending = Ending::FAILURE;
    outcome.value = Payload();
    outcome.regions.clear();
    outcome.failure = Failure::of(ErrorCode::INTERNAL, kj::str("the result's shared memory cannot be mapped (",
                                                               e->getDescription(), "): submit again"));
  }
}

Outcome readOutcome(schema::TaskResult::Reader from, RegionOpener& regions) {
  Outcome outcome;
  switch (from.which()) {
    case schema::TaskResult::VALUE: readValue(from.getValue(), outcome, regions); break;
    case schema::TaskResult::FAILURE:
      outcome.ending = Ending::FAILURE;
      outcome.failure = Failure::read(from.getFailure());
      break;
    case schema::TaskResult::CANCELLED:
      outcome.ending = Ending::CANCELLED;
      outcome.failure = Failure::of(ErrorCode::CANCELLED, kj::str("the task was cancelled"));
      break;
  }
  outcome.timings = readTimings(from.getTimings());
  outcome.attempt = from.getAttempt();
  return outcome;
}

}  // namespace

std::vector<Ledger::Arrival> readResults(schema::Results::Reader batch, RegionOpener& regions) {
  std::vector<std::shared_ptr<const Placement>> placements;
  for (auto placement : batch.getPlacements()) placements.push_back(readPlacement(placement));
  std::vector<Ledger::Arrival> arrivals;
  arrivals.reserve(batch.getResults().size());
  for (auto result : batch.getResults()) {
    auto outcome = readOutcome(result, regions);
    if (result.getPlacement() < placements.size()) outcome.placement = placements[result.getPlacement()];
    arrivals.push_back({result.getSeq(), kj::mv(outcome)});
  }
  return arrivals;
}

}  // namespace epochly::client

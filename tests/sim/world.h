// One simulated world: made from a plan, run to its end, judged.
#pragma once

#include "sim/client.h"
#include "sim/mischief.h"
#include "sim/worker.h"

namespace epochly::sim {

struct Verdict {
  kj::Maybe<kj::String> violation;  // none: every rule held
  kj::String lastLines;             // of the log, when one did not
  uint64_t logHash = 0;
  Stats stats;
};

class World {
 public:
  World(const Plan& plan, bool verbose);

  // Turmoil, then healing until nobody waits for anything, then the last check.
  Verdict run();

 private:
  Context context;
  Rng rng;
  std::vector<FunctionSpec> functions;
  Network network;
  Scheduler scheduler;
  Mischief mischief;
  kj::Vector<kj::Own<Client>> clients;
  kj::Vector<kj::Own<Worker>> workers;
  uint64_t clientsGone = 0;

  static std::vector<FunctionSpec> drawFunctions(Context& context);
  void start();
  void planStall();
  void heal();
  void runUntil(kj::TimePoint when);
  void runToTheEnd();
  void closeConnections();
  bool ended() const;
  uint64_t progress();
  // Longer than anything honest may take without a task ending, a worker being lost or a client leaving.
  kj::Duration patience() const;
  kj::String stuck() const;
};

// Of one plan, in a world of its own.
Verdict simulate(const Plan& plan, bool verbose = false);

}  // namespace epochly::sim

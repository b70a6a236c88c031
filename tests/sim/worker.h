// A fake worker process: joins, runs attempts, reports, and has its own misfortunes. It joins anew, with a new id, whenever
// its connection is gone.
#pragma once

#include "sim/network.h"
#include "sim/scheduler.h"

namespace epochly::sim {

class Worker final : public WorkerPeer {
 public:
  Worker(Context& context, Network& network, Scheduler& scheduler, const std::vector<FunctionSpec>& functions,
         uint64_t process);

  void start();
  void crash();

 private:
  enum class State : uint8_t { DOWN, JOINING, JOINED, LEAVING };
  struct Running {
    Assignment assignment;
    uint64_t run;  // tells its end on the clock from that of an earlier one
    bool cancelled = false;
  };

  Context& context;
  Network& network;
  Scheduler& scheduler;
  const std::vector<FunctionSpec>& functions;
  Rng rng;
  WorkerSketch sketch;

  State state = State::DOWN;
  Wire* wire = nullptr;      // while not DOWN
  WorkerId id;               // of this incarnation, once joined
  uint64_t incarnation = 0;  // counts connections: what the clock holds of an older one is void
  uint64_t runs = 0;
  kj::TimePoint frozenUntil = kj::origin<kj::TimePoint>();
  std::array<std::deque<Assignment>, core::POOL_COUNT> queues;
  std::array<uint32_t, core::POOL_COUNT> slots{};
  std::array<std::vector<Running>, core::POOL_COUNT> running;
  std::vector<Report> outbox;
  bool outboxLeaves = false;   // is on the clock
  std::vector<Report> ghosts;  // what attempts of the last incarnation came to, told under the new id

  void drawSketch(uint64_t process);
  // As Clock::after, but not while the process hangs, and only in this incarnation.
  void later(kj::Duration delay, kj::Function<void()> action);
  void connect();
  void down();
  void startAgain();
  void keepGhosts();
  void onLost();
  void beat();

  void begin(uint pool);
  void run(const Assignment& assignment, uint pool);
  Report draw(const Assignment& assignment, double& runSeconds);
  void finish(uint pool, uint64_t run, Report report);
  void giveBack(const Assignment& assignment);
  Report reportOn(const Assignment& assignment) const;
  void put(Report report);
  void sendOutbox();
  void leaveIfDone();
  bool busy() const;

  void planMisfortunes();
  void freeze();
  void leave();

  // ---- WorkerPeer ----
  void onJoined(Wire& wire, WorkerId id) override;
  void onTurnedAway(Wire& wire, ErrorCode why) override;
  void onRun(Wire& wire, const std::vector<Assignment>& assignments) override;
  void onCancel(Wire& wire, const std::vector<AttemptName>& attempts) override;
  void onRecall(Wire& wire, const std::vector<AttemptName>& attempts) override;
};

}  // namespace epochly::sim

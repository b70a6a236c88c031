// A fake client: speaks the protocol as the SDK does, and has its own misfortunes.
#pragma once

#include <map>

#include "sim/network.h"
#include "sim/scheduler.h"

namespace epochly::sim {

class Client final : public ClientPeer {
 public:
  Client(Context& context, Network& network, Scheduler& scheduler, const std::vector<FunctionSpec>& functions, uint index);

  void start();
  // Faults have stopped: no new tasks, and leave when the last has ended.
  void settleDown();
  // It has left on purpose or for ever, and expects nothing any more.
  bool gone() const { return state == State::GONE; }
  kj::String describe() const;

 private:
  enum class State : uint8_t {
    AWAY,     // no connection; a reconnection is on the clock
    OPENING,  // asked for its space, no answer yet
    OPEN,
    GONE,
  };
  struct Pending {
    bool sent = false;  // the scheduler may have it
  };
  struct Queued {
    TaskSpec spec;
    bool sent = false;  // before, without a receipt
  };

  Context& context;
  Network& network;
  Scheduler& scheduler;
  const std::vector<FunctionSpec>& functions;
  const uint index;
  Rng rng;

  State state = State::AWAY;
  Wire* wire = nullptr;  // while OPENING or OPEN
  SpaceId space;
  uint64_t lastSeq = 0;
  uint64_t quota;                       // tasks it is still going to make
  std::map<uint64_t, Pending> pending;  // made and not ended, by seq
  std::deque<Queued> queue;             // without a receipt, in order
  std::vector<ClientResult> seen;       // of this space, by seq; to compare repeats with
  std::map<uint64_t, size_t> seenAt;
  uint64_t submissionNumber = 0;
  size_t submitted = 0;  // tasks in the submission under way, 0: none is
  kj::TimePoint submitAfter = kj::origin<kj::TimePoint>();
  std::array<int64_t, FUNCTION_IDS> ids;  // function told under each id on this connection, -1: none
  uint idsNext = 0;

  void connect();
  void disconnect();
  void reconnectAfter(double meanSeconds);
  void onLost();
  void makeTasks();
  TaskSpec draw();
  void breakLimit(TaskSpec& spec);
  void pump();
  void forgetCancelled();
  Submission plan();
  bool nameFunction(Submission& submission, uint function, uint& usedIds);
  void sendSubmission(const Submission& submission);
  void submitLater(kj::Duration delay);
  void cancel(uint64_t seq);
  void goAway();
  void vanish();
  void closeEarly();
  void finishIfDone();
  void forgotten();
  void take(const ClientResult& result);

  // ---- ClientPeer ----
  void onWelcome(Wire& wire, SpaceId space) override;
  void onTurnedAway(Wire& wire, ErrorCode why) override;
  void onReceipt(Wire& wire, uint64_t number, size_t accepted, kj::Maybe<kj::Duration> retryAfter) override;
  void onRefused(Wire& wire, uint64_t number, ErrorCode why) override;
  void onResults(Wire& wire, const std::vector<ClientResult>& results) override;
};

}  // namespace epochly::sim

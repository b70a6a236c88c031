// One simulated connection between a peer and the scheduler, with the faults of a network.
#pragma once

#include <deque>

#include "sim/context.h"

namespace epochly::sim {

enum class End : uint8_t { PEER, SCHEDULER };
constexpr End otherEnd(End end) { return end == End::PEER ? End::SCHEDULER : End::PEER; }

// As TCP does: messages arrive in order or not at all, and what is lost is the rest of what was sent. The ends learn of a
// loss at different times, the second perhaps many seconds after the first.
//
// Lives until the world ends: actions of the clock refer to it.
class Wire {
 public:
  Wire(Context& context, Rng& rng, uint64_t id);
  KJ_DISALLOW_COPY(Wire);

  const uint64_t id;

  // Runs `deliver` at the end `to`, unless it is lost on the way. What is sent over a closed end goes nowhere.
  void send(End to, kj::Function<void()> deliver);
  // The end's owner closes: nothing arrives there any more, and the other end learns of it after what was sent before.
  void close(End by);
  // The network fails: part of what is under way is lost, both ends learn of it sooner or later.
  void cut();

  bool isOpen(End end) const { return !side(end).closed; }
  // Called when the end learns that the connection is gone; not when it closed itself.
  void onClosed(End end, kj::Function<void()> handler) { side(end).handler = kj::mv(handler); }
  // A process that hangs takes nothing from its sockets before this time.
  void pauseUntil(End end, kj::TimePoint when) { side(end).pausedUntil = std::max(side(end).pausedUntil, when); }

 private:
  struct Message {
    kj::TimePoint arrives;
    kj::Maybe<kj::Function<void()>> deliver;  // none: the news that the connection is gone
  };
  struct Side {
    bool closed = false;
    kj::TimePoint lastArrival = kj::origin<kj::TimePoint>();
    kj::Maybe<kj::TimePoint> lostFrom;  // what arrives later than this is lost
    kj::TimePoint pausedUntil = kj::origin<kj::TimePoint>();
    std::deque<Message> underWay;  // to this end
    kj::Maybe<kj::Function<void()>> handler;
  };

  Context& context;
  Rng& rng;
  const double delayMean;  // seconds; connections differ
  Side sides[2];

  Side& side(End end) { return sides[static_cast<uint>(end)]; }
  const Side& side(End end) const { return sides[static_cast<uint>(end)]; }
  kj::Duration delay() { return seconds(rng.exponential(delayMean)); }
  void put(End to, kj::TimePoint arrives, kj::Maybe<kj::Function<void()>> deliver);
  void arrive(End end);
  void learnClosed(End end);
};

}  // namespace epochly::sim

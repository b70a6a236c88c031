#include "sim/wire.h"

namespace epochly::sim {

Wire::Wire(Context& context, Rng& rng, uint64_t id)
    : id(id), context(context), rng(rng), delayMean(context.plan.delayMs * 1e-3 * rng.logUniform(0.2, 5)) {}

void Wire::send(End to, kj::Function<void()> deliver) {
  if (side(otherEnd(to)).closed) return;
  put(to, context.now() + delay(), kj::mv(deliver));
}

void Wire::put(End to, kj::TimePoint arrives, kj::Maybe<kj::Function<void()>> deliver) {
  auto& target = side(to);
  target.lastArrival = std::max(target.lastArrival, arrives);
  target.underWay.push_back(Message{target.lastArrival, kj::mv(deliver)});
  context.clock.at(target.lastArrival, [this, to] { arrive(to); });
}

// One message per call. A process that hangs makes the call come back later; the queue keeps the order.
void Wire::arrive(End end) {
  auto& target = side(end);
  auto paused = end == End::SCHEDULER ? std::max(target.pausedUntil, context.stalledUntil) : target.pausedUntil;
  if (context.now() < paused) {
    context.clock.at(paused, [this, end] { arrive(end); });
    return;
  }
  auto message = kj::mv(target.underWay.front());
  target.underWay.pop_front();
  if (target.closed) return;
  KJ_IF_MAYBE(deliver, message.deliver) {
    KJ_IF_MAYBE(from, target.lostFrom) {
      if (message.arrives > *from) {
        context.stats[Fault::MESSAGE_LOST]++;
        context.note(What::MESSAGE_LOST, id);
        return;
      }
    }
    (*deliver)();
  } else {
    learnClosed(end);
  }
}

void Wire::close(End by) {
  if (side(by).closed) return;
  side(by).closed = true;
  put(otherEnd(by), context.now() + delay(), nullptr);
}

void Wire::cut() {
  context.stats[Fault::CONNECTION_CUT]++;
  context.note(What::WIRE_CUT, id);
  for (auto end : {End::PEER, End::SCHEDULER}) {
    auto& target = side(end);
    auto from = context.now() + seconds(rng.exponential(delayMean) * rng.unit());
    if (target.lostFrom == nullptr) target.lostFrom = from;
    put(end, from + seconds(rng.exponential(context.plan.noticeSeconds)), nullptr);
  }
}

void Wire::learnClosed(End end) {
  auto& target = side(end);
  target.closed = true;
  context.noteWord(What::WIRE_CLOSED, end == End::PEER ? "peer" : "scheduler", id);
  put(otherEnd(end), context.now() + delay(), nullptr);
  KJ_IF_MAYBE(handler, target.handler) {
    (*handler)();
  }
}

}  // namespace epochly::sim

// Makes connections and lets them fail.
#pragma once

#include "sim/wire.h"

namespace epochly::sim {

class Network {
 public:
  explicit Network(Context& context) : context(context), rng(context.rng(Stream::NETWORK)) {}

  // Lives until the world ends.
  Wire& connect() {
    auto& wire = *wires.add(kj::heap<Wire>(context, rng, wires.size() + 1));
    if (context.plan.cutSeconds > 0) {
      context.clock.after(seconds(rng.exponential(context.plan.cutSeconds)), [this, &wire] {
        bool open = wire.isOpen(End::PEER) || wire.isOpen(End::SCHEDULER);
        if (context.turmoil && open) wire.cut();
      });
    }
    return wire;
  }

 private:
  Context& context;
  Rng rng;
  kj::Vector<kj::Own<Wire>> wires;
};

}  // namespace epochly::sim

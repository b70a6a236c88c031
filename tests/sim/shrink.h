// From a plan whose world breaks a rule to a smaller one that still does.
#pragma once

#include "sim/world.h"

namespace epochly::sim {

struct Shrunk {
  Plan plan;
  Verdict verdict;
  uint worlds = 0;  // that were tried
};

// Sets knobs back to calm, or nearer to it, one by one, as long as the same rule is broken. worldsMax bounds the time.
Shrunk shrink(const Plan& plan, Verdict verdict, uint worldsMax = 500);

}  // namespace epochly::sim

#include "sim/shrink.h"

#include <cmath>
#include <sstream>
#include <string>

namespace epochly::sim {

namespace {

// A violation's text without what differs from world to world: every word that holds a digit.
std::string ruleOf(const kj::String& violation) {
  std::istringstream words(violation.cStr());
  std::string rule, word;
  while (words >> word) {
    if (word.find_first_of("0123456789") == std::string::npos) rule += word + ' ';
  }
  return rule;
}

class Shrinker {
 public:
  Shrinker(Shrunk& best, uint worldsMax)
      : best(best), worldsMax(worldsMax), rule(ruleOf(KJ_ASSERT_NONNULL(best.verdict.violation))) {}

  void run() {
    bool better = true;
    while (better) {
      better = false;
      for (auto& knob : knobs()) better |= shrinkKnob(knob);
    }
  }

 private:
  Shrunk& best;
  const uint worldsMax;
  const std::string rule;
  const Plan calm;

  static bool isTime(const Knob& knob) {
    kj::StringPtr name = knob.name;
    return name.endsWith("Seconds") || name.endsWith("At");
  }

  bool shrinkKnob(const Knob& knob) {
    double value = best.plan.*knob.value;
    double target = calm.*knob.value;
    if (value == target) return false;
    if (fails(knob, target)) return true;
    if (target == 0 && value > 0 && isTime(knob)) return false;  // shorter is more often
    // Sizes and chances: half way, in whole numbers where they were whole.
    double middle = (value + target) / 2;
    if (value == std::floor(value)) middle = std::floor(middle);
    bool coarse = std::abs(middle - value) > 0.05 * std::abs(value);
    return value > target && coarse && middle != value && fails(knob, middle);
  }

  bool fails(const Knob& knob, double value) {
    if (best.worlds >= worldsMax) return false;
    best.worlds++;
    Plan plan = best.plan;
    plan.*knob.value = value;
    plan.makeViable();
    if (plan.*knob.value != value) return false;
    auto verdict = simulate(plan);
    KJ_IF_MAYBE(violation, verdict.violation) {
      if (ruleOf(*violation) != rule) return false;
    } else {
      return false;
    }
    best.plan = plan;
    best.verdict = kj::mv(verdict);
    return true;
  }
};

}  // namespace

Shrunk shrink(const Plan& plan, Verdict verdict, uint worldsMax) {
  Shrunk best{plan, kj::mv(verdict)};
  Shrinker(best, worldsMax).run();
  return best;
}

}  // namespace epochly::sim

#include "sim/plan.h"

#include <kj/vector.h>

#include "sim/rng.h"

namespace epochly::sim {

namespace {

constexpr Knob KNOBS[] = {
    {"mischiefSeconds", &Plan::mischiefSeconds},
    {"stallSeconds", &Plan::stallSeconds},
    {"drainAt", &Plan::drainAt},
    {"crashAllAt", &Plan::crashAllAt},
    {"crashSeconds", &Plan::crashSeconds},
    {"freezeSeconds", &Plan::freezeSeconds},
    {"leaveSeconds", &Plan::leaveSeconds},
    {"vanishing", &Plan::vanishing},
    {"closing", &Plan::closing},
    {"awayLong", &Plan::awayLong},
    {"awaySeconds", &Plan::awaySeconds},
    {"cutSeconds", &Plan::cutSeconds},
    {"late", &Plan::late},
    {"doubledReports", &Plan::doubledReports},
    {"doubledSubmissions", &Plan::doubledSubmissions},
    {"poison", &Plan::poison},
    {"dying", &Plan::dying},
    {"failing", &Plan::failing},
    {"broken", &Plan::broken},
    {"notRun", &Plan::notRun},
    {"declining", &Plan::declining},
    {"stragglers", &Plan::stragglers},
    {"timeouts", &Plan::timeouts},
    {"cancels", &Plan::cancels},
    {"invalid", &Plan::invalid},
    {"explicitLevels", &Plan::explicitLevels},
    {"sharedArguments", &Plan::sharedArguments},
    {"retries", &Plan::retries},
    {"clients", &Plan::clients},
    {"workers", &Plan::workers},
    {"tasks", &Plan::tasks},
    {"burst", &Plan::burst},
    {"functions", &Plan::functions},
    {"pythons", &Plan::pythons},
    {"hosts", &Plan::hosts},
    {"turmoilSeconds", &Plan::turmoilSeconds},
    {"runMs", &Plan::runMs},
    {"argumentBytes", &Plan::argumentBytes},
    {"resultBytes", &Plan::resultBytes},
    {"delayMs", &Plan::delayMs},
    {"noticeSeconds", &Plan::noticeSeconds},
    {"downSeconds", &Plan::downSeconds},
    {"turnMicros", &Plan::turnMicros},
    {"timerLateMs", &Plan::timerLateMs},
    {"tasksMax", &Plan::tasksMax},
    {"argumentBytesMax", &Plan::argumentBytesMax},
    {"resultBytesMax", &Plan::resultBytesMax},
    {"functionsMax", &Plan::functionsMax},
    {"functionBytesMax", &Plan::functionBytesMax},
    {"workersMax", &Plan::workersMax},
    {"clientsMax", &Plan::clientsMax},
    {"endedMax", &Plan::endedMax},
    {"clientGraceMs", &Plan::clientGraceMs},
    {"unfitGraceMs", &Plan::unfitGraceMs},
    {"heartbeatMs", &Plan::heartbeatMs},
    {"retryDelayMs", &Plan::retryDelayMs},
    {"retryDelayMaxMs", &Plan::retryDelayMaxMs},
    {"prefetchMs", &Plan::prefetchMs},
    {"prefetchMax", &Plan::prefetchMax},
    {"inflightMax", &Plan::inflightMax},
};

kj::Duration milliseconds(double count) { return seconds(count * 1e-3); }

// Draws one plan; each part sets the knobs of its heading.
class Draw {
 public:
  explicit Draw(uint64_t seed) : rng(seed, 1) { plan.seed = seed; }

  Plan all() {
    size();
    work();
    network();
    clients();
    workers();
    scheduler();
    limits();
    plan.makeViable();
    return plan;
  }

 private:
  Rng rng;
  Plan plan;

  // Which faults a world has is as telling as how strong they are: most worlds have a few.
  void sometimes(double& knob, double least, double most, double chance = 0.35) {
    if (rng.chance(chance)) knob = rng.logUniform(least, most);
  }
  void whole(double& knob, uint64_t least, uint64_t most) { knob = static_cast<double>(rng.logBetween(least, most)); }
  void sometimesWhole(double& knob, uint64_t least, uint64_t most, double chance = 0.35) {
    if (rng.chance(chance)) whole(knob, least, most);
  }

  // Small worlds show most bugs and many fit into a second; a few large ones show the rest.
  void size() {
    double kind = rng.unit();
    if (kind < 0.75) {
      whole(plan.workers, 1, 8);
      whole(plan.clients, 1, 4);
      whole(plan.tasks, 1, 60);
    } else if (kind < 0.97) {
      whole(plan.workers, 4, 60);
      whole(plan.clients, 1, 12);
      whole(plan.tasks, 10, 300);
    } else {
      whole(plan.workers, 100, 400);
      whole(plan.clients, 1, 30);
      whole(plan.tasks, 50, 500);
    }
    whole(plan.burst, 1, 200);
    whole(plan.functions, 1, 80);
    plan.turmoilSeconds = rng.logUniform(1, 30);
  }

  void work() {
    plan.runMs = rng.logUniform(0.05, 300);
    sometimes(plan.stragglers, 0.005, 0.1, 0.2);
    sometimes(plan.failing, 0.02, 1);
    sometimes(plan.broken, 0.01, 0.5, 0.2);
    sometimes(plan.dying, 0.01, 0.5, 0.25);
    sometimes(plan.notRun, 0.01, 0.5, 0.2);
    sometimes(plan.declining, 0.05, 1);
    sometimes(plan.poison, 0.05, 0.3, 0.1);
    sometimes(plan.timeouts, 0.1, 1, 0.25);
    sometimes(plan.cancels, 0.02, 1);
    sometimes(plan.invalid, 0.01, 0.2, 0.2);
    sometimesWhole(plan.retries, 1, 6, 0.6);
    if (rng.chance(0.03)) plan.retries = 40;
    sometimes(plan.explicitLevels, 0.1, 1, 0.6);
    plan.argumentBytes = rng.logUniform(1, 2000);
    plan.resultBytes = rng.logUniform(1, 2000);
    sometimesWhole(plan.pythons, 2, 4);
    sometimesWhole(plan.hosts, 2, 4);
    sometimes(plan.sharedArguments, 0.1, 1, 0.3);
  }

  void network() {
    plan.delayMs = rng.logUniform(0.02, 50);
    sometimes(plan.cutSeconds, 0.3, 30);
    sometimes(plan.noticeSeconds, 0.1, 20, 0.5);
    sometimes(plan.doubledReports, 0.05, 1);
    sometimes(plan.doubledSubmissions, 0.05, 1);
    sometimes(plan.late, 0.1, 1);
  }

  void clients() {
    sometimes(plan.awaySeconds, 0.5, 20);
    sometimes(plan.awayLong, 0.05, 0.7, 0.5);
    sometimes(plan.vanishing, 0.05, 0.6, 0.2);
    sometimes(plan.closing, 0.05, 0.6, 0.2);
  }

  void workers() {
    sometimes(plan.crashSeconds, 0.3, 60);
    sometimes(plan.freezeSeconds, 1, 60);
    sometimes(plan.leaveSeconds, 0.5, 60);
    plan.downSeconds = rng.logUniform(0.05, 10);
    sometimes(plan.crashAllAt, 0.5, 10, 0.1);
  }

  void scheduler() {
    sometimes(plan.stallSeconds, 1, 30, 0.15);
    sometimes(plan.drainAt, 0.2, 20, 0.08);
    plan.turnMicros = rng.logUniform(1, 5000);
    sometimes(plan.timerLateMs, 0.1, 50);
    sometimes(plan.mischiefSeconds, 0.01, 2);
  }

  // Tiny bounds are met in every run; the defaults never would be.
  void limits() {
    sometimesWhole(plan.tasksMax, 1, 200, 0.25);
    sometimesWhole(plan.argumentBytesMax, 100, 20'000, 0.15);
    sometimesWhole(plan.resultBytesMax, 1, 20'000, 0.15);
    sometimesWhole(plan.functionsMax, 1, 40, 0.35);
    sometimesWhole(plan.functionBytesMax, 100, 40'000, 0.15);
    sometimesWhole(plan.workersMax, 1, 50, 0.1);
    sometimesWhole(plan.clientsMax, 1, 8, 0.15);
    sometimesWhole(plan.endedMax, 1, 100, 0.3);
    plan.clientGraceMs = rng.logUniform(200, 30'000);
    plan.unfitGraceMs = rng.logUniform(100, 10'000);
    plan.heartbeatMs = rng.logUniform(200, 2000);
    plan.retryDelayMs = rng.logUniform(1, 200);
    plan.retryDelayMaxMs = rng.logUniform(10, 10'000);
    plan.prefetchMs = rng.logUniform(0.5, 50);
    sometimesWhole(plan.prefetchMax, 1, 64, 0.4);
    if (rng.chance(0.15)) plan.prefetchMax = 0;
    sometimesWhole(plan.inflightMax, 1, 64, 0.25);
  }
};

}  // namespace

Plan Plan::draw(uint64_t seed) { return Draw(seed).all(); }

void Plan::makeViable() {
  // Every client may pin as many functions as it has ids; one more must fit, or all of them wait for each other.
  double pinnable = clients * FUNCTION_IDS + 1;
  functionsMax = std::max(functionsMax, pinnable);
  functionBytesMax = std::max(functionBytesMax, pinnable * FUNCTION_CODE_BYTES_MAX);
  argumentBytesMax = std::max(argumentBytesMax, argumentBytes + 1 + sizeof(SharedBuffer));
  retryDelayMaxMs = std::max(retryDelayMaxMs, retryDelayMs);
  for (auto member : {&Plan::clients, &Plan::workers, &Plan::functions, &Plan::burst, &Plan::pythons, &Plan::hosts}) {
    this->*member = std::max(this->*member, 1.0);
  }
}

core::Limits Plan::limits() const {
  core::Limits limits;
  limits.tasksMax = static_cast<uint64_t>(tasksMax);
  limits.argumentBytesMax = static_cast<uint64_t>(argumentBytesMax);
  limits.resultBytesMax = static_cast<uint64_t>(resultBytesMax);
  limits.functionsMax = static_cast<uint64_t>(functionsMax);
  limits.functionBytesMax = static_cast<uint64_t>(functionBytesMax);
  limits.workersMax = static_cast<uint64_t>(workersMax);
  limits.clientsMax = static_cast<uint64_t>(clientsMax);
  limits.endedMax = static_cast<uint64_t>(endedMax);
  limits.clientGrace = milliseconds(clientGraceMs);
  limits.unfitGrace = milliseconds(unfitGraceMs);
  limits.heartbeat = milliseconds(heartbeatMs);
  limits.retryDelay = milliseconds(retryDelayMs);
  limits.retryDelayMax = milliseconds(retryDelayMaxMs);
  limits.prefetch = milliseconds(prefetchMs);
  limits.prefetchMax = static_cast<uint32_t>(prefetchMax);
  limits.inflightMax = static_cast<uint32_t>(inflightMax);
  return limits;
}

kj::String Plan::describe() const {
  const Plan calm;
  kj::Vector<kj::String> settings;
  for (auto& knob : KNOBS) {
    double value = this->*knob.value;
    if (value != calm.*knob.value) settings.add(kj::str("--set ", knob.name, "=", value));
  }
  return kj::strArray(settings, " ");
}

kj::ArrayPtr<const Knob> knobs() { return KNOBS; }

kj::Maybe<const Knob&> findKnob(kj::StringPtr name) {
  for (auto& knob : KNOBS) {
    if (name == knob.name) return knob;
  }
  return nullptr;
}

}  // namespace epochly::sim

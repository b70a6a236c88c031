#include "sim/world.h"

namespace epochly::sim {

namespace {

// Lines of the log that go with a violation.
constexpr size_t LINES_SHOWN = 60;
// The last words of clients that have gone may still be under way, and ask for a space that nobody will use.
constexpr int STRAY_SECONDS = 5;

}  // namespace

World::World(const Plan& plan, bool verbose)
    : context(plan, verbose),
      rng(context.rng(Stream::WORLD)),
      functions(drawFunctions(context)),
      network(context),
      scheduler(context, functions),
      mischief(context, scheduler, functions) {
  for (uint i = 0; i < plan.clients; i++) clients.add(kj::heap<Client>(context, network, scheduler, functions, i));
  for (uint i = 0; i < plan.workers; i++) workers.add(kj::heap<Worker>(context, network, scheduler, functions, i));
}

std::vector<FunctionSpec> World::drawFunctions(Context& context) {
  auto rng = context.rng(Stream::FUNCTIONS);
  auto& plan = context.plan;
  std::vector<FunctionSpec> functions(static_cast<size_t>(plan.functions));
  for (size_t i = 0; i < functions.size(); i++) {
    auto& function = functions[i];
    function.hash = FunctionHash{rng.next(), i + 1};
    function.codeBytes = static_cast<uint>(rng.logBetween(1, FUNCTION_CODE_BYTES_MAX));
    if (rng.chance(0.5))
      function.python = PythonVersion{static_cast<uint16_t>(0x30a + rng.below(static_cast<uint64_t>(plan.pythons)))};
    function.hints = core::Hints{rng.chance(0.5), rng.chance(0.1), rng.chance(0.3)};
    function.runSeconds = plan.runMs * 1e-3 * rng.logUniform(0.1, 5);
    function.cpuShare = rng.unit();
    function.poison = rng.chance(plan.poison);
  }
  return functions;
}

void World::start() {
  auto& plan = context.plan;
  for (auto& worker : workers) worker->start();
  for (auto& client : clients) client->start();
  mischief.start();
  planStall();
  if (plan.drainAt > 0) context.clock.after(seconds(plan.drainAt), [this] { scheduler.drain(); });
  if (plan.crashAllAt > 0) {
    context.clock.after(seconds(plan.crashAllAt), [this] {
      for (auto& worker : workers) worker->crash();
    });
  }
}

void World::planStall() {
  if (context.plan.stallSeconds <= 0) return;
  context.clock.after(seconds(rng.exponential(context.plan.stallSeconds)), [this] {
    if (!context.turmoil) return;
    scheduler.stall(seconds(rng.logUniform(0.01, 10)));
    planStall();
  });
}

void World::heal() {
  context.turmoil = false;
  context.note(What::FAULTS_STOP);
  for (auto& client : clients) client->settleDown();
}

void World::runUntil(kj::TimePoint when) {
  while (context.now() < when && context.clock.step()) continue;
}

bool World::ended() const {
  auto& core = scheduler.tables();
  return clientsGone == clients.size() && core.clients.empty() && core.tasks.empty();
}

uint64_t World::progress() {
  clientsGone = 0;
  for (auto& client : clients) clientsGone += client->gone();
  return scheduler.books().progress() + clientsGone + (1000 - scheduler.tables().clients.size());
}

kj::Duration World::patience() const {
  auto& plan = context.plan;
  auto milliseconds = plan.clientGraceMs * 2 + plan.unfitGraceMs * 2 + plan.retryDelayMaxMs * 2 + plan.heartbeatMs * 10;
  return seconds(milliseconds * 1e-3 + plan.noticeSeconds * 30 + plan.downSeconds * 20) + 120 * kj::SECONDS;
}

void World::runToTheEnd() {
  uint64_t last = progress();
  auto since = context.now();
  while (!ended()) {
    context.clock.step();
    uint64_t now = progress();
    if (now != last) {
      last = now;
      since = context.now();
    }
    SIM_RULE(context.now() - since < patience(), "nothing has ended for ", inSeconds(patience()),
             " s since faults stopped. ", stuck());
  }
}

// The last clients' connections, and the functions that they pin.
void World::closeConnections() {
  auto until = context.now() + patience();
  while (scheduler.hasClientConnections() && context.now() < until) context.clock.step();
  SIM_RULE(!scheduler.hasClientConnections(), "a connection of a client that has left is still there");
}

kj::String World::stuck() const {
  auto& core = scheduler.tables();
  for (auto& client : clients) {
    if (!client->gone()) return kj::str(client->describe(), "; the core holds ", core.tasks.size(), " tasks");
  }
  return kj::str("Every client has left; the core holds ", core.tasks.size(), " tasks and ", core.clients.size(),
                 " clients");
}

Verdict World::run() {
  Verdict verdict;
  try {
    start();
    runUntil(context.now() + seconds(context.plan.turmoilSeconds));
    heal();
    do {
      runToTheEnd();
      closeConnections();
      runUntil(std::max(context.now(), context.stalledUntil) + STRAY_SECONDS * kj::SECONDS);
    } while (!ended());
    scheduler.books().atTheEnd();
  } catch (const Violation& violation) {
    verdict.violation = kj::str(violation.what());
  } catch (const kj::Exception& error) {
    verdict.violation =
        kj::str("the core contradicts itself: ", error.getDescription(), " at ", error.getFile(), ":", error.getLine());
  }
  if (verdict.violation != nullptr) verdict.lastLines = context.log.tail(LINES_SHOWN);
  verdict.logHash = context.log.hash();
  verdict.stats = context.stats;
  verdict.stats.steps = context.clock.steps();
  return verdict;
}

Verdict simulate(const Plan& plan, bool verbose) {
  auto world = kj::heap<World>(plan, verbose);
  return world->run();
}

}  // namespace epochly::sim

#include "sim/worker.h"

#include <algorithm>
#include <utility>

namespace epochly::sim {

using core::poolOf;

namespace {

constexpr double RUN_SECONDS_MAX = 20;
constexpr double STRAGGLER_FACTOR = 100;
// From the end of an attempt until its result is sent with those that ended meanwhile.
constexpr double OUTBOX_SECONDS = 0.2e-3;
// From a kill until its executor is gone.
constexpr double KILL_SECONDS = 5e-3;

uint indexOf(Level level) { return static_cast<uint>(poolOf(level)); }

}  // namespace

Worker::Worker(Context& context, Network& network, Scheduler& scheduler, const std::vector<FunctionSpec>& functions,
               uint64_t process)
    : context(context),
      network(network),
      scheduler(scheduler),
      functions(functions),
      rng(context.rng(Stream::WORKERS, process)) {
  drawSketch(process);
}

// The first worker offers every level, so that there is always one that fits; others offer what they happen to.
void Worker::drawSketch(uint64_t process) {
  auto& plan = context.plan;
  constexpr double OFFERED[LEVEL_COUNT] = {0.9, 0.6, 0.5, 0.4, 0.15};
  sketch.process = process;
  sketch.host = HostId(rng.between(1, static_cast<uint64_t>(plan.hosts)));
  sketch.python = PythonVersion{static_cast<uint16_t>(0x30a + rng.below(static_cast<uint64_t>(plan.pythons)))};
  for (uint level = 0; level < LEVEL_COUNT; level++) {
    if (process == 0 || rng.chance(OFFERED[level])) sketch.slots[level] = static_cast<uint32_t>(rng.logBetween(1, 8));
    auto& pool = slots[indexOf(static_cast<Level>(level))];
    pool = std::max(pool, sketch.slots[level]);
  }
}

void Worker::start() {
  context.clock.after(seconds(rng.unit()), [this] { connect(); });
}

void Worker::later(kj::Duration delay, kj::Function<void()> action) {
  context.clock.after(delay, [this, mine = incarnation, action = kj::mv(action)]() mutable {
    if (mine != incarnation) return;
    if (context.now() < frozenUntil) return later(frozenUntil - context.now(), kj::mv(action));
    action();
  });
}

// ---- its connection ------------------------------------------------------------------------------------------------

void Worker::connect() {
  state = State::JOINING;
  wire = &network.connect();
  wire->onClosed(End::PEER, [this, mine = incarnation] {
    if (mine == incarnation) onLost();
  });
  context.note(What::WORKER_CONNECTS, sketch.process);
  wire->send(End::SCHEDULER, [this, opened = wire] { scheduler.onJoin(*opened, *this, sketch); });
}

// Whatever it held is gone with this incarnation.
void Worker::down() {
  incarnation++;
  state = State::DOWN;
  wire = nullptr;
  id = WorkerId();
  for (auto& queue : queues) queue.clear();
  for (auto& pool : running) pool.clear();
  outbox.clear();
  outboxLeaves = false;
  frozenUntil = kj::origin<kj::TimePoint>();
}

void Worker::startAgain() {
  auto patience = context.turmoil ? rng.exponential(context.plan.downSeconds) : 0.1 * rng.unit();
  later(seconds(patience), [this] { connect(); });
}

void Worker::onLost() {
  wire->close(End::PEER);
  keepGhosts();
  down();
  startAgain();
}

// Executors may outlive the connection.
void Worker::keepGhosts() {
  ghosts.clear();
  for (auto& pool : running) {
    for (auto& each : pool) {
      if (rng.chance(context.plan.late)) ghosts.push_back(reportOn(each.assignment));
    }
  }
}

void Worker::onTurnedAway(Wire& from, ErrorCode why) {
  if (&from != wire) return;
  wire->close(End::PEER);
  down();
  later(seconds(rng.exponential(2)), [this] { connect(); });
}

void Worker::onJoined(Wire& from, WorkerId given) {
  if (&from != wire) return;
  context.note(What::WORKER_JOINED, sketch.process, given.value);
  id = given;
  state = State::JOINED;
  beat();
  planMisfortunes();
  for (auto& ghost : std::exchange(ghosts, {})) {
    context.stats[Fault::LATE_MESSAGE]++;
    later(seconds(rng.exponential(0.1)), [this, ghost] { put(ghost); });
  }
}

void Worker::beat() {
  core::Load load;
  for (auto& queue : queues) load.queued += static_cast<uint32_t>(queue.size());
  for (auto& pool : running) load.running += static_cast<uint32_t>(pool.size());
  wire->send(End::SCHEDULER, [this, opened = wire, load] { scheduler.onHeartbeat(*opened, load); });
  later(seconds(context.plan.heartbeatMs * 1e-3), [this] { beat(); });
}

// ---- attempts ------------------------------------------------------------------------------------------------------

void Worker::onRun(Wire& from, const std::vector<Assignment>& assignments) {
  if (&from != wire) return;
  for (auto& assignment : assignments) {
    context.noteTask(What::WORKER_GETS, assignment.task, id.value, assignment.attempt.value);
    scheduler.books().received(sketch, assignment);
    if (state == State::LEAVING)
      giveBack(assignment);
    else
      queues[indexOf(assignment.level)].push_back(assignment);
  }
  for (uint pool = 0; pool < core::POOL_COUNT && state == State::JOINED; pool++) begin(pool);
}

void Worker::onCancel(Wire& from, const std::vector<AttemptName>& attempts) {
  if (&from != wire) return;
  for (auto& name : attempts) {
    auto same = [&](const Assignment& assignment) {
      return assignment.task == name.task && assignment.attempt == name.attempt;
    };
    for (uint pool = 0; pool < core::POOL_COUNT; pool++) {
      auto& queue = queues[pool];
      auto queued = std::find_if(queue.begin(), queue.end(), same);
      if (queued != queue.end()) {
        auto report = reportOn(*queued);
        report.failure = ErrorCode::CANCELLED;
        queue.erase(queued);
        put(report);
      }
      for (auto& each : running[pool]) {
        if (!same(each.assignment) || std::exchange(each.cancelled, true)) continue;
        auto report = reportOn(each.assignment);
        report.failure = ErrorCode::CANCELLED;
        later(seconds(KILL_SECONDS * rng.unit()), [this, pool, run = each.run, report] { finish(pool, run, report); });
      }
    }
  }
  leaveIfDone();
}

// What has begun runs on.
void Worker::onRecall(Wire& from, const std::vector<AttemptName>& attempts) {
  if (&from != wire) return;
  for (auto& name : attempts) {
    for (auto& queue : queues) {
      auto queued = std::find_if(queue.begin(), queue.end(), [&](auto& assignment) {
        return assignment.task == name.task && assignment.attempt == name.attempt;
      });
      if (queued == queue.end()) continue;
      auto report = reportOn(*queued);
      report.notRun = true;
      queue.erase(queued);
      put(report);
      context.stats[Fault::ATTEMPT_RECALLED]++;
    }
  }
}

void Worker::begin(uint pool) {
  while (!queues[pool].empty() && running[pool].size() < slots[pool]) {
    auto assignment = queues[pool].front();
    queues[pool].pop_front();
    if (context.turmoil && rng.chance(context.plan.notRun))
      giveBack(assignment);
    else
      run(assignment, pool);
  }
}

void Worker::run(const Assignment& assignment, uint pool) {
  context.noteTask(What::WORKER_STARTS, assignment.task, id.value, assignment.attempt.value);
  double runSeconds = 0;
  auto report = draw(assignment, runSeconds);
  running[pool].push_back(Running{assignment, ++runs});
  if (functions[assignment.function].poison) {
    later(seconds(runSeconds), [this] { crash(); });
  } else {
    later(seconds(runSeconds), [this, pool, run = runs, report] { finish(pool, run, report); });
  }
}

// What the attempt will come to, and after how long.
Report Worker::draw(const Assignment& assignment, double& runSeconds) {
  auto& plan = context.plan;
  auto& function = functions[assignment.function];
  constexpr ErrorCode OTHER_FAILURES[] = {ErrorCode::FUNCTION_UNAVAILABLE, ErrorCode::ARGUMENTS_UNPICKLABLE,
                                          ErrorCode::RESULT_UNPICKLABLE, ErrorCode::PAYLOAD_TOO_LARGE};
  auto report = reportOn(assignment);
  runSeconds = rng.exponential(function.runSeconds) * (rng.chance(plan.stragglers) ? STRAGGLER_FACTOR : 1);
  runSeconds = std::min(runSeconds, RUN_SECONDS_MAX);
  if (assignment.timeoutMs > 0 && runSeconds * 1e3 > assignment.timeoutMs) {
    runSeconds = assignment.timeoutMs * 1e-3;
    report.failure = ErrorCode::TIMEOUT;
  } else if (rng.chance(plan.dying)) {
    report.failure = ErrorCode::EXECUTOR_DIED;
  } else if (rng.chance(plan.failing)) {
    report.failure = ErrorCode::USER_EXCEPTION;
  } else if (rng.chance(plan.broken)) {
    report.failure = OTHER_FAILURES[rng.below(4)];
  }
  if (assignment.level != Level::MONITOR && rng.chance(plan.declining)) {
    report.declined = static_cast<int8_t>(assignment.level);
    report.levelRan = Level::MONITOR;
  }
  report.runSeconds = runSeconds;
  report.cpuSeconds = runSeconds * function.cpuShare;
  if (rng.chance(0.1)) report.loopIterations = rng.logUniform(1, 1e6);
  if (rng.chance(0.1)) report.dataSize = rng.logUniform(1, 1e8);
  report.bytes = static_cast<uint>(rng.below(static_cast<uint64_t>(plan.resultBytes) + 1));
  return report;
}

void Worker::finish(uint pool, uint64_t run, Report report) {
  auto& pooled = running[pool];
  auto found = std::find_if(pooled.begin(), pooled.end(), [&](auto& each) { return each.run == run; });
  if (found == pooled.end()) return;  // it ended another way: killed, or before the kill
  pooled.erase(found);
  auto& stats = context.stats;
  stats[Fault::EXECUTOR_DIED] += report.failure == ErrorCode::EXECUTOR_DIED;
  stats[Fault::ATTEMPT_FAILED] += report.failure == ErrorCode::USER_EXCEPTION;
  stats[Fault::ATTEMPT_TIMED_OUT] += report.failure == ErrorCode::TIMEOUT;
  stats[Fault::LEVEL_DECLINED] += report.declined >= 0;
  put(report);
  begin(pool);
  leaveIfDone();
}

void Worker::giveBack(const Assignment& assignment) {
  context.stats[Fault::ATTEMPT_NOT_RUN]++;
  auto report = reportOn(assignment);
  report.notRun = true;
  put(report);
}

Report Worker::reportOn(const Assignment& assignment) const {
  Report report;
  report.stamp = Stamp{assignment.task, assignment.attempt, id};
  report.levelRan = assignment.level;
  return report;
}

void Worker::put(Report report) {
  outbox.push_back(report);
  if (std::exchange(outboxLeaves, true)) return;
  later(seconds(OUTBOX_SECONDS * rng.unit()), [this] { sendOutbox(); });
}

void Worker::sendOutbox() {
  outboxLeaves = false;
  auto reports = std::exchange(outbox, {});
  context.note(What::WORKER_REPORTS, id.value, reports.size());
  auto send = [&] { wire->send(End::SCHEDULER, [this, opened = wire, reports] { scheduler.onReports(*opened, reports); }); };
  if (rng.chance(context.plan.doubledReports)) {
    context.stats[Fault::REPORT_DOUBLED]++;
    if (rng.chance(0.5))
      send();
    else
      reports.insert(reports.end(), reports.begin(), reports.end());
  }
  send();
  leaveIfDone();
}

// ---- its misfortunes -----------------------------------------------------------------------------------------------

void Worker::planMisfortunes() {
  auto& plan = context.plan;
  auto within = [&](double meanSeconds) { return seconds(rng.exponential(meanSeconds)); };
  if (plan.crashSeconds > 0) {
    later(within(plan.crashSeconds), [this] {
      if (context.turmoil) crash();
    });
  }
  if (plan.freezeSeconds > 0) later(within(plan.freezeSeconds), [this] { freeze(); });
  if (plan.leaveSeconds > 0) later(within(plan.leaveSeconds), [this] { leave(); });
}

void Worker::crash() {
  if (state == State::DOWN) return;
  size_t held = 0;
  for (uint pool = 0; pool < core::POOL_COUNT; pool++) held += queues[pool].size() + running[pool].size();
  context.stats[Fault::WORKER_CRASHED]++;
  context.note(What::WORKER_CRASHES, sketch.process, held);
  if (rng.chance(0.5)) wire->cut();  // its machine went, too
  wire->close(End::PEER);
  down();
  startAgain();
}

void Worker::freeze() {
  if (!context.turmoil) return;
  double beats = context.plan.heartbeatMs * 1e-3;
  auto duration = seconds(rng.logUniform(beats / 4, beats * 12));
  context.stats[Fault::WORKER_FROZEN]++;
  context.note(What::WORKER_FREEZES, sketch.process, duration / kj::MILLISECONDS);
  frozenUntil = context.now() + duration;
  wire->pauseUntil(End::PEER, frozenUntil);
  later(duration + seconds(rng.exponential(context.plan.freezeSeconds)), [this] { freeze(); });
}

// Gives back what has not started, finishes what has, then goes.
void Worker::leave() {
  if (!context.turmoil || state != State::JOINED) return;
  context.stats[Fault::WORKER_LEFT]++;
  context.note(What::WORKER_LEAVES, id.value);
  state = State::LEAVING;
  wire->send(End::SCHEDULER, [this, opened = wire] { scheduler.onLeave(*opened); });
  for (auto& queue : queues) {
    for (auto& assignment : queue) giveBack(assignment);
    queue.clear();
  }
  leaveIfDone();
}

bool Worker::busy() const {
  return outboxLeaves || std::any_of(running.begin(), running.end(), [](auto& pool) { return !pool.empty(); });
}

void Worker::leaveIfDone() {
  if (state != State::LEAVING || busy()) return;
  onLost();
}

}  // namespace epochly::sim

#include "sim/scheduler.h"

#include <utility>

namespace epochly::sim {

namespace {

// Result batches under way to one client, and results in each.
constexpr size_t BATCHES_UNDER_WAY_MAX = 4;
constexpr size_t RESULTS_PER_BATCH_MAX = 64;
// Ticks at one moment of time, at which nothing can have become due any more.
constexpr uint TICKS_AT_ONCE_MAX = 1000;

}  // namespace

Scheduler::Scheduler(Context& context, const std::vector<FunctionSpec>& functions)
    : context(context),
      functions(functions),
      rng(context.rng(Stream::SCHEDULER)),
      coreRandom(context.rng(Stream::CORE)),
      history(context, core, functions),
      events(core, core::Ports{*this, *this, history, *this, coreRandom}, history, thresholds) {
  core.limits = context.plan.limits();
  for (uint i = 0; i < functions.size(); i++) indexOf[functions[i].hash] = i;
}

ErrorCode Scheduler::happen(kj::Function<void()> event) {
  auto code = ErrorCode::NONE;
  try {
    event();
  } catch (const kj::Exception& error) {
    code = codeOf(error);
    SIM_RULE(code != ErrorCode::INTERNAL, "the core failed: ", error.getDescription(), " at ", error.getFile(), ":",
             error.getLine());
  }
  history.afterEvent(armed);
  return code;
}

// ---- clients -------------------------------------------------------------------------------------------------------

void Scheduler::onOpen(Wire& wire, ClientPeer& peer, SpaceId wanted) {
  SpaceId space;
  auto refused = happen([&] {
    space = events.onClientOpen(wanted, HostId(), context.now());
    history.clientOpened(space);
  });
  if (refused != ErrorCode::NONE) {
    context.stats[Fault::CLIENT_REFUSED]++;
    wire.send(End::PEER, [&wire, &peer, refused] { peer.onTurnedAway(wire, refused); });
    return;
  }
  auto old = presentOf.find(space);
  if (old != presentOf.end()) replace(clients.at(old->second));
  presentOf[space] = wire.id;
  clients.emplace(wire.id, ClientSession{wire, peer, space});
  wire.onClosed(End::SCHEDULER, [this, &wire] { endClient(wire); });
  wire.send(End::PEER, [&wire, &peer, space] { peer.onWelcome(wire, space); });
}

// Another connection has resumed its space. This one is closed: now, or a little later with what it says meanwhile still
// heard.
void Scheduler::replace(ClientSession& session) {
  session.present = false;
  auto hangUp = [this, &wire = session.wire] {
    wire.close(End::SCHEDULER);
    endClient(wire);
  };
  if (rng.chance(context.plan.late))
    later(seconds(rng.exponential(2)), kj::mv(hangUp));
  else
    hangUp();
}

kj::Maybe<Scheduler::ClientSession&> Scheduler::clientOn(Wire& wire) {
  auto found = clients.find(wire.id);
  if (found == clients.end()) return nullptr;
  return found->second;
}

// Makes the submission's functions known, each pinned by its id.
ErrorCode Scheduler::tell(ClientSession& session, const Submission& submission) {
  for (auto& [id, index] : submission.functions) {
    auto& spec = functions[index];
    size_t before = core.functions.size();
    bool isNew = core.functions.count(spec.hash) == 0;
    auto refused = happen([&] { events.onFunction(spec.told()); });
    if (refused != ErrorCode::NONE) return refused;
    if (isNew) context.stats[Fault::FUNCTION_EVICTED] += before + 1 - core.functions.size();
    auto known = session.ids.find(id);
    if (known != session.ids.end()) happen([&] { events.releaseFunction(known->second); });
    session.ids[id] = spec.hash;
  }
  return ErrorCode::NONE;
}

void Scheduler::submit(SpaceId space, const std::vector<TaskSpec>& tasks, events::Receipt& receipt) {
  std::vector<events::NewTask> told;
  told.reserve(tasks.size());
  for (auto& spec : tasks) told.push_back(spec.told(functions[spec.function]));
  history.offering(space, tasks);
  receipt = events.onSubmit(space, kj::arrayPtr(told.data(), told.size()), context.now());
  history.receipted(space, tasks, receipt);
}

void Scheduler::onSubmit(Wire& wire, const Submission& submission) {
  KJ_IF_MAYBE(session, clientOn(wire)) {
    context.stats[Fault::LATE_MESSAGE] += !session->present;
    auto& peer = session->peer;
    auto number = submission.number;
    auto refused = tell(*session, submission);
    events::Receipt receipt;
    if (refused == ErrorCode::NONE) {
      refused = happen([&] { submit(session->space, submission.tasks, receipt); });
      if (refused != ErrorCode::NONE) history.refusedWhole(session->space, submission.tasks, refused);
    } else {
      context.stats[Fault::FUNCTION_OVERLOADED]++;
    }
    if (refused != ErrorCode::NONE) {
      wire.send(End::PEER, [&wire, &peer, number, refused] { peer.onRefused(wire, number, refused); });
    } else {
      wire.send(End::PEER,
                [&wire, &peer, number, receipt] { peer.onReceipt(wire, number, receipt.accepted, receipt.retryAfter); });
    }
  }
}

void Scheduler::onCancel(Wire& wire, const std::vector<uint64_t>& seqs) {
  KJ_IF_MAYBE(session, clientOn(wire)) {
    auto space = session->space;
    history.cancelling(space, seqs);
    happen([&] { events.onCancel(space, kj::arrayPtr(seqs.data(), seqs.size()), context.now()); });
    history.cancelled(space, seqs);
  }
}

void Scheduler::onResultsReturned(Wire& wire) {
  KJ_IF_MAYBE(session, clientOn(wire)) {
    size_t count = session->unanswered.front();
    session->unanswered.pop_front();
    if (!session->present) return;  // the newer connection sends them again
    happen([&] { events.onAcknowledged(session->space, count); });
    sendResults(session->space);
  }
}

void Scheduler::onClose(Wire& wire) {
  KJ_IF_MAYBE(session, clientOn(wire)) {
    if (!session->present) return;
    auto space = session->space;
    history.clientClosed(space);
    happen([&] { events.onClientClosed(space, context.now()); });
  }
}

void Scheduler::endClient(Wire& wire) {
  auto found = clients.find(wire.id);
  if (found == clients.end()) return;
  auto session = kj::mv(found->second);
  clients.erase(found);
  for (auto& [id, hash] : session.ids) happen([&, hash = hash] { events.releaseFunction(hash); });
  if (!session.present) return;
  presentOf.erase(session.space);
  history.clientLost(session.space);
  happen([&] { events.onClientLost(session.space, context.now()); });
}

// ---- workers -------------------------------------------------------------------------------------------------------

void Scheduler::onJoin(Wire& wire, WorkerPeer& peer, const WorkerSketch& sketch) {
  WorkerId id;
  auto refused = happen([&] { id = events.onJoin(sketch.told(), context.now()); });
  if (refused != ErrorCode::NONE) {
    context.stats[Fault::WORKER_REFUSED]++;
    wire.send(End::PEER, [&wire, &peer, refused] { peer.onTurnedAway(wire, refused); });
    return;
  }
  workers.emplace(wire.id, WorkerSession{wire, peer, id});
  connectionOf[id] = wire.id;
  wire.onClosed(End::SCHEDULER, [this, &wire] { endWorker(wire); });
  wire.send(End::PEER, [&wire, &peer, id] { peer.onJoined(wire, id); });
}

kj::Maybe<Scheduler::WorkerSession&> Scheduler::workerOn(Wire& wire) {
  auto found = workers.find(wire.id);
  if (found == workers.end()) return nullptr;
  return found->second;
}

void Scheduler::report(WorkerId worker, const std::vector<Report>& reports) {
  std::vector<events::AttemptReport> told;
  told.reserve(reports.size());
  for (auto& report : reports) told.push_back(report.told());
  history.reporting(worker, reports);
  events.onResults(worker, kj::arrayPtr(told.data(), told.size()), context.now());
  history.reported();
}

void Scheduler::onReports(Wire& wire, const std::vector<Report>& reports) {
  KJ_IF_MAYBE(session, workerOn(wire)) {
    if (core.workers.count(session->id) == 0) context.stats[Fault::LATE_MESSAGE]++;
    happen([&] { report(session->id, reports); });
  }
}

void Scheduler::onHeartbeat(Wire& wire, const core::Load& load) {
  KJ_IF_MAYBE(session, workerOn(wire)) {
    history.heard(session->id);
    happen([&] { events.onHeartbeat(session->id, load, context.now()); });
  }
}

void Scheduler::onLeave(Wire& wire) {
  KJ_IF_MAYBE(session, workerOn(wire)) {
    happen([&] { events.onWorkerLeaving(session->id, context.now()); });
  }
}

void Scheduler::endWorker(Wire& wire) {
  auto found = workers.find(wire.id);
  if (found == workers.end()) return;
  auto id = found->second.id;
  connectionOf.erase(id);
  workers.erase(found);
  happen([&] { events.onLost(id, "connection lost", context.now()); });
}

// ---- the process ---------------------------------------------------------------------------------------------------

void Scheduler::stall(kj::Duration duration) {
  context.stats[Fault::SCHEDULER_STALLED]++;
  context.note(What::SCHEDULER_STALLS, duration / kj::MILLISECONDS);
  auto from = std::max(context.stalledUntil, context.now());
  context.stalledUntil = std::max(context.stalledUntil, context.now() + duration);
  history.stalled(from, context.stalledUntil);
}

void Scheduler::drain() {
  context.stats[Fault::SCHEDULER_DRAINED]++;
  context.note(What::SCHEDULER_DRAINS);
  happen([&] { events.onDrain(context.now()); });
}

void Scheduler::wakeAt(kj::TimePoint when) {
  armed = when;
  auto late = seconds(context.plan.timerLateMs * 1e-3 * rng.unit());
  later(std::max(when, context.now()) + late - context.now(), [this, count = ++armedCount] { fireTimer(count); });
}

void Scheduler::fireTimer(uint64_t count) {
  if (count != armedCount) return;  // replaced by a later call
  armed = nullptr;
  tick();
}

void Scheduler::tick() {
  ticksAtOnce = context.now() == lastTick ? ticksAtOnce + 1 : 0;
  lastTick = context.now();
  SIM_RULE(ticksAtOnce <= TICKS_AT_ONCE_MAX, "the core asks to be woken at once, again and again");
  context.note(What::SCHEDULER_TICK);
  happen([&] { events.onTick(context.now()); });
  history.afterTick();
}

// ---- notes, and the end of a turn ----------------------------------------------------------------------------------

void Scheduler::send(WorkerId worker, TaskId task, Attempt attempt) {
  notes[worker].runs.push_back(Assignment{task, attempt});
  noteTurn();
}

void Scheduler::cancel(WorkerId worker, TaskId task, Attempt attempt) {
  notes[worker].cancels.push_back(AttemptName{task, attempt});
  noteTurn();
}

void Scheduler::recall(WorkerId worker, TaskId task, Attempt attempt) {
  notes[worker].recalls.push_back(AttemptName{task, attempt});
  noteTurn();
}

void Scheduler::drop(WorkerId worker, kj::StringPtr) {
  dropped.push_back(worker);
  noteTurn();
}

void Scheduler::resultsReady(SpaceId space) {
  ready.insert(space);
  noteTurn();
}

void Scheduler::later(kj::Duration delay, kj::Function<void()> action) {
  context.clock.after(delay, [this, action = kj::mv(action)]() mutable {
    if (context.now() < context.stalledUntil) return later(context.stalledUntil - context.now(), kj::mv(action));
    action();
  });
}

void Scheduler::noteTurn() {
  if (turnEnds) return;
  turnEnds = true;
  later(seconds(context.plan.turnMicros * 1e-6 * rng.unit()), [this] { endTurn(); });
}

void Scheduler::endTurn() {
  turnEnds = false;
  for (auto& [worker, batch] : std::exchange(notes, {})) sendBatch(worker, batch);
  for (auto worker : std::exchange(dropped, {})) hangUp(worker);
  for (auto space : std::exchange(ready, {})) sendResults(space);
}

// The task as it is now; none if the attempt is not current any more.
kj::Maybe<Assignment> Scheduler::read(WorkerId worker, const Assignment& note) const {
  auto found = core.tasks.find(note.task);
  if (found == core.tasks.end()) return nullptr;
  auto& task = found->second;
  if (task.state != core::TaskState::ASSIGNED || task.worker != worker || task.attempt != note.attempt) return nullptr;
  return Assignment{note.task, note.attempt, indexOf.at(task.function->hash), task.level, task.timeoutMs};
}

void Scheduler::sendBatch(WorkerId id, const Batch& batch) {
  auto connection = connectionOf.find(id);
  if (connection == connectionOf.end()) return;  // it went during the turn: its tasks were taken back
  auto& session = workers.at(connection->second);
  auto& wire = session.wire;
  auto& peer = session.peer;
  std::vector<Assignment> runs;
  for (auto& note : batch.runs) {
    KJ_IF_MAYBE(assignment, read(id, note)) {
      auto hash = functions[assignment->function].hash;
      if (session.functionsSent.insert(hash).second) happen([&] { events.onFunctionSent(id, hash); });
      runs.push_back(*assignment);
    }
  }
  if (!runs.empty()) wire.send(End::PEER, [&wire, &peer, runs] { peer.onRun(wire, runs); });
  if (!batch.cancels.empty())
    wire.send(End::PEER, [&wire, &peer, cancels = batch.cancels] { peer.onCancel(wire, cancels); });
  if (!batch.recalls.empty())
    wire.send(End::PEER, [&wire, &peer, recalls = batch.recalls] { peer.onRecall(wire, recalls); });
}

// The core has given the worker up. Its connection is closed now, or a little later with what it says meanwhile still heard.
void Scheduler::hangUp(WorkerId worker) {
  auto connection = connectionOf.find(worker);
  if (connection == connectionOf.end()) return;
  auto number = connection->second;
  auto& wire = workers.at(number).wire;
  auto close = [this, &wire, worker, number] {
    wire.close(End::SCHEDULER);
    workers.erase(number);
    connectionOf.erase(worker);
  };
  if (!rng.chance(context.plan.late)) return close();
  later(seconds(rng.exponential(2)), [this, close, worker, number]() mutable {
    auto still = connectionOf.find(worker);
    if (still != connectionOf.end() && still->second == number) close();
  });
}

void Scheduler::sendResults(SpaceId space) {
  auto present = presentOf.find(space);
  if (present == presentOf.end()) return;
  auto& session = clients.at(present->second);
  auto& wire = session.wire;
  auto& peer = session.peer;
  while (session.unanswered.size() < BATCHES_UNDER_WAY_MAX) {
    auto found = core.clients.find(space);
    if (found == core.clients.end() || found->second.sent == found->second.results.size()) return;
    auto& results = found->second.results;
    std::vector<ClientResult> batch;
    for (size_t i = found->second.sent; i < results.size() && batch.size() < RESULTS_PER_BATCH_MAX; i++) {
      batch.push_back(ClientResult::copy(results[i]));
    }
    happen([&] { events.onResultsSent(space, batch.size()); });
    session.unanswered.push_back(batch.size());
    wire.send(End::PEER, [&wire, &peer, batch] { peer.onResults(wire, batch); });
  }
}

}  // namespace epochly::sim

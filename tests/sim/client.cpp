#include "sim/client.h"

#include <utility>

#include "wire/task_spec.h"

namespace epochly::sim {

namespace {

// Tasks in one submission: small, so that worlds of a few hundred tasks have many.
constexpr size_t SUBMISSION_TASKS_MAX = 64;
constexpr double RECONNECT_SECONDS = 0.1;

}  // namespace

Client::Client(Context& context, Network& network, Scheduler& scheduler, const std::vector<FunctionSpec>& functions,
               uint index)
    : context(context),
      network(network),
      scheduler(scheduler),
      functions(functions),
      index(index),
      rng(context.rng(Stream::CLIENTS, index)),
      quota(rng.logBetween(1, static_cast<uint64_t>(std::max(context.plan.tasks, 1.0)))) {
  ids.fill(-1);
}

void Client::start() {
  auto& plan = context.plan;
  context.clock.after(seconds(rng.unit() * 0.5), [this] { connect(); });
  context.clock.after(seconds(rng.unit() * 0.5), [this] { makeTasks(); });
  if (plan.awaySeconds > 0) context.clock.after(seconds(rng.exponential(plan.awaySeconds)), [this] { goAway(); });
  auto within = [&] { return seconds(rng.unit() * plan.turmoilSeconds); };
  if (rng.chance(plan.vanishing)) context.clock.after(within(), [this] { vanish(); });
  if (rng.chance(plan.closing)) context.clock.after(within(), [this] { closeEarly(); });
}

void Client::settleDown() {
  quota = 0;
  finishIfDone();
}

kj::String Client::describe() const {
  return kj::str("client ", index, " in state ", static_cast<uint>(state), ", space ", kj::hex(space.value), ", ",
                 pending.size(), " tasks pending, ", queue.size(), " without a receipt",
                 pending.empty() ? kj::str() : kj::str(", the first is ", pending.begin()->first));
}

// ---- its connection ------------------------------------------------------------------------------------------------

void Client::connect() {
  if (state != State::AWAY) return;
  state = State::OPENING;
  wire = &network.connect();
  submitted = 0;
  ids.fill(-1);
  wire->onClosed(End::PEER, [this, opened = wire] {
    if (opened == wire) onLost();
  });
  context.noteTask(What::CLIENT_CONNECTS, TaskId{space}, index);
  wire->send(End::SCHEDULER, [this, opened = wire, wanted = space] { scheduler.onOpen(*opened, *this, wanted); });
}

void Client::disconnect() {
  if (wire != nullptr) wire->close(End::PEER);
  wire = nullptr;
  submitted = 0;
}

void Client::reconnectAfter(double meanSeconds) {
  state = State::AWAY;
  context.clock.after(seconds(rng.exponential(meanSeconds)), [this] { connect(); });
}

void Client::onLost() {
  disconnect();
  reconnectAfter(RECONNECT_SECONDS);
}

void Client::onWelcome(Wire& from, SpaceId given) {
  if (&from != wire) return;
  context.noteTask(What::CLIENT_WELCOME, TaskId{given}, index);
  if (space.value != 0 && given != space) forgotten();
  space = given;
  state = State::OPEN;
  pump();
}

// Nobody will answer for what the scheduler had accepted. What it never saw is still ours to send.
void Client::forgotten() {
  context.stats[Fault::CLIENT_FORGOTTEN]++;
  context.note(What::CLIENT_FORGOTTEN, index, pending.size());
  std::erase_if(pending, [](auto& entry) { return entry.second.sent; });
  std::erase_if(queue, [](auto& entry) { return entry.sent; });
  seen.clear();
  seenAt.clear();
}

void Client::onTurnedAway(Wire& from, ErrorCode why) {
  if (&from != wire) return;
  context.noteWord(What::CLIENT_TURNED_AWAY, errorRow(why).name, index);
  disconnect();
  if (why != ErrorCode::SHUTTING_DOWN) return reconnectAfter(1);
  state = State::GONE;  // it is not known there any more
}

// ---- submitting ----------------------------------------------------------------------------------------------------

void Client::makeTasks() {
  auto& plan = context.plan;
  if (quota == 0 || !context.turmoil || gone()) return finishIfDone();
  uint64_t count = std::min<uint64_t>(quota, rng.between(1, static_cast<uint64_t>(plan.burst)));
  quota -= count;
  for (; count > 0; count--) {
    auto spec = draw();
    pending[spec.seq];
    queue.push_back(Queued{spec});
    if (!rng.chance(plan.cancels)) continue;
    auto when = seconds(rng.exponential((plan.runMs * 4 + plan.delayMs * 4) * 1e-3));
    context.clock.after(when, [this, seq = spec.seq] { cancel(seq); });
  }
  pump();
  double gap = plan.turmoilSeconds * plan.burst / std::max(plan.tasks, 1.0) / 2;
  context.clock.after(seconds(rng.exponential(std::min(gap, plan.turmoilSeconds / 2))), [this] { makeTasks(); });
}

TaskSpec Client::draw() {
  auto& plan = context.plan;
  TaskSpec spec;
  spec.seq = ++lastSeq;
  spec.function = static_cast<uint>(rng.below(functions.size()));
  if (rng.chance(plan.explicitLevels)) spec.level = static_cast<int8_t>(rng.below(LEVEL_COUNT));
  if (plan.retries > 0) spec.retriesMax = static_cast<uint32_t>(rng.below(static_cast<uint64_t>(plan.retries) + 1));
  if (rng.chance(plan.timeouts)) spec.timeoutMs = static_cast<uint32_t>(rng.logUniform(1, plan.runMs * 4 + 2));
  if (rng.chance(0.3)) spec.dataSize = rng.logUniform(10, 1e8);
  spec.argumentBytes = static_cast<uint>(rng.below(static_cast<uint64_t>(plan.argumentBytes) + 1));
  if (rng.chance(plan.sharedArguments)) spec.host = HostId(rng.between(1, static_cast<uint64_t>(plan.hosts)));
  if (rng.chance(plan.invalid)) breakLimit(spec);
  return spec;
}

void Client::breakLimit(TaskSpec& spec) {
  switch (rng.below(4)) {
    case 0: spec.level = 5; break;
    case 1: spec.level = -2; break;
    case 2: spec.retriesMax = RETRIES_MAX + 1; break;
    default: spec.timeoutMs = TIMEOUT_MS_MAX + 1;
  }
}

// One submission is under way at a time: what follows a refused task must not overtake it.
void Client::pump() {
  if (state != State::OPEN || submitted > 0) return;
  if (context.now() < submitAfter) return;  // pump() is on the clock
  forgetCancelled();
  if (queue.empty()) return finishIfDone();
  sendSubmission(plan());
}

// Tasks that were cancelled before they were sent anywhere.
void Client::forgetCancelled() {
  std::erase_if(queue, [&](auto& entry) { return !entry.sent && pending.count(entry.spec.seq) == 0; });
}

// As many tasks as fit: a message may need no more functions than there are ids.
Submission Client::plan() {
  Submission submission;
  submission.number = ++submissionNumber;
  size_t most = rng.between(1, SUBMISSION_TASKS_MAX);
  uint usedIds = 0;
  for (auto& entry : queue) {
    if (submission.tasks.size() == most || !nameFunction(submission, entry.spec.function, usedIds)) break;
    submission.tasks.push_back(entry.spec);
    entry.sent = true;
    auto found = pending.find(entry.spec.seq);
    if (found != pending.end()) found->second.sent = true;
  }
  return submission;
}

// Finds or gives the function an id; given ones are told in the submission. usedIds: a bit per id that its tasks name.
// False: every id is named by the tasks before this one.
bool Client::nameFunction(Submission& submission, uint function, uint& usedIds) {
  for (uint id = 0; id < FUNCTION_IDS; id++) {
    if (ids[id] != function) continue;
    usedIds |= 1u << id;
    return true;
  }
  for (uint tried = 0; tried < FUNCTION_IDS; tried++) {
    uint id = idsNext++ % FUNCTION_IDS;
    if ((usedIds & 1u << id) != 0) continue;
    ids[id] = function;
    usedIds |= 1u << id;
    submission.functions.push_back(Submission::Function{id, function});
    return true;
  }
  return false;
}

void Client::sendSubmission(const Submission& submission) {
  submitted = submission.tasks.size();
  context.noteTask(What::CLIENT_SUBMITS, TaskId{space, submission.tasks.front().seq}, index, submitted);
  auto send = [&] {
    wire->send(End::SCHEDULER, [this, opened = wire, submission] { scheduler.onSubmit(*opened, submission); });
  };
  send();
  if (!rng.chance(context.plan.doubledSubmissions)) return;
  context.stats[Fault::SUBMISSION_DOUBLED]++;
  send();
}

void Client::onReceipt(Wire& from, uint64_t number, size_t accepted, kj::Maybe<kj::Duration> retryAfter) {
  if (&from != wire || number != submissionNumber || submitted == 0) return;
  context.note(What::CLIENT_RECEIPT, index, accepted);
  submitted = 0;
  queue.erase(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(accepted));
  KJ_IF_MAYBE(delay, retryAfter)
    submitLater(*delay);
  else
    pump();
}

void Client::onRefused(Wire& from, uint64_t number, ErrorCode why) {
  if (&from != wire || number != submissionNumber || submitted == 0) return;
  context.noteWord(What::CLIENT_REFUSED, errorRow(why).name, index);
  auto refused = std::exchange(submitted, 0);
  ids.fill(-1);
  switch (why) {
    case ErrorCode::OVERLOADED: return submitLater(50 * kj::MILLISECONDS);
    case ErrorCode::NOT_FOUND: return onLost();
    case ErrorCode::SHUTTING_DOWN:
      for (size_t i = 0; i < refused; i++) pending.erase(queue[i].spec.seq);
      queue.erase(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(refused));
      return pump();
    default: SIM_RULE(false, "an honest submission was refused with ", errorRow(why).name);
  }
}

void Client::submitLater(kj::Duration delay) {
  submitAfter = context.now() + delay + delay * static_cast<int64_t>(rng.below(1000)) / 1000;
  context.clock.at(submitAfter, [this] { pump(); });
}

// ---- results -------------------------------------------------------------------------------------------------------

void Client::onResults(Wire& from, const std::vector<ClientResult>& results) {
  if (&from != wire) return;
  for (auto& result : results) take(result);
  wire->send(End::SCHEDULER, [this, opened = wire] { scheduler.onResultsReturned(*opened); });
  finishIfDone();
}

void Client::take(const ClientResult& result) {
  context.noteWord(What::CLIENT_RESULT, core::outcomeName(result.outcome).cStr(), index, TaskId{space, result.seq});
  auto repeat = seenAt.find(result.seq);
  if (repeat != seenAt.end()) {
    SIM_RULE(seen[repeat->second] == result, "client ", index, " was told two different ends of its task ", result.seq);
    context.stats[Fault::RESULT_REPEATED]++;
    return;
  }
  scheduler.books().delivered(space, result);
  seenAt[result.seq] = seen.size();
  seen.push_back(result);
  pending.erase(result.seq);
}

void Client::cancel(uint64_t seq) {
  auto found = pending.find(seq);
  if (found == pending.end() || gone()) return;
  if (!found->second.sent) {
    pending.erase(found);  // forgetCancelled() takes it out of the queue
    return finishIfDone();
  }
  if (state != State::OPEN) return;  // the news is lost: the task runs to its end
  context.noteTask(What::CLIENT_CANCELS, TaskId{space, seq}, index);
  std::vector<uint64_t> seqs{seq};
  if (rng.chance(0.1)) seqs.push_back(seq);
  wire->send(End::SCHEDULER, [this, opened = wire, seqs] { scheduler.onCancel(*opened, seqs); });
}

// ---- its misfortunes -----------------------------------------------------------------------------------------------

void Client::goAway() {
  if (!context.turmoil || gone()) return;
  auto& plan = context.plan;
  double grace = plan.clientGraceMs * 1e-3;
  double away = rng.chance(plan.awayLong) ? grace * (1 + rng.unit()) : grace * rng.unit() * 0.5;
  if (state == State::OPEN || state == State::OPENING) {
    context.stats[Fault::CLIENT_AWAY]++;
    context.note(What::CLIENT_AWAY, index, static_cast<uint64_t>(away * 1e3));
    disconnect();
    state = State::AWAY;
    context.clock.after(seconds(away), [this] { connect(); });
  }
  context.clock.after(seconds(away + rng.exponential(plan.awaySeconds)), [this] { goAway(); });
}

void Client::vanish() {
  if (gone() || !context.turmoil) return;
  context.stats[Fault::CLIENT_VANISHED]++;
  context.note(What::CLIENT_VANISHES, index);
  if (wire != nullptr && rng.chance(0.5)) wire->cut();  // its machine went, too
  disconnect();
  state = State::GONE;
}

void Client::closeEarly() {
  if (state != State::OPEN || !context.turmoil) return;
  context.stats[Fault::CLIENT_CLOSED_EARLY]++;
  context.note(What::CLIENT_CLOSES, index, pending.size());
  wire->send(End::SCHEDULER, [this, opened = wire] { scheduler.onClose(*opened); });
  disconnect();
  state = State::GONE;
}

void Client::finishIfDone() {
  bool done = (quota == 0 || !context.turmoil) && pending.empty() && submitted == 0;
  if (!done || state != State::OPEN) return;
  context.note(What::CLIENT_DONE, index);
  wire->send(End::SCHEDULER, [this, opened = wire] { scheduler.onClose(*opened); });
  disconnect();
  state = State::GONE;
}

}  // namespace epochly::sim

#include "sim/mischief.h"

#include "wire/task_spec.h"

namespace epochly::sim {

namespace {

// Never given to anyone: the core counts workers up from 1, and spaces and functions are drawn from all of 64 bits.
constexpr WorkerId UNKNOWN_WORKER{1ull << 40};
constexpr SpaceId UNKNOWN_SPACE{0xdead};
constexpr FunctionHash UNKNOWN_FUNCTION{0xdead, 0xdead};

}  // namespace

Mischief::Mischief(Context& context, Scheduler& scheduler, const std::vector<FunctionSpec>& functions)
    : context(context), scheduler(scheduler), functions(functions), rng(context.rng(Stream::MISCHIEF)) {}

void Mischief::start() {
  if (context.plan.mischiefSeconds > 0) next();
}

void Mischief::next() {
  context.clock.after(seconds(rng.exponential(context.plan.mischiefSeconds)), [this] {
    if (!context.turmoil) return;
    act();
    next();
  });
}

void Mischief::act() {
  if (context.now() < context.stalledUntil) return;
  struct Act {
    const char* name;
    void (Mischief::*act)();
  };
  static constexpr Act ACTS[] = {
      {"report of another worker", &Mischief::reportOfAnotherWorker},
      {"report of another attempt", &Mischief::reportOfAnotherAttempt},
      {"report of an unknown worker", &Mischief::reportOfAnUnknownWorker},
      {"report of an unknown task", &Mischief::reportOfAnUnknownTask},
      {"unknown worker acts", &Mischief::unknownWorkerActs},
      {"cancel what is not there", &Mischief::cancelWhatIsNotThere},
      {"cancel what has ended", &Mischief::cancelWhatHasEnded},
      {"acknowledge too much", &Mischief::acknowledgeTooMuch},
      {"submit unknown function", &Mischief::submitUnknownFunction},
      {"submit to unknown space", &Mischief::submitToUnknownSpace},
      {"submit again", &Mischief::submitAgain},
      {"tick out of turn", &Mischief::tickOutOfTurn},
      {"unknown client acts", &Mischief::unknownClientActs},
      {"tell another function under a hash", &Mischief::tellAnotherFunctionUnderAHash},
      {"tell too large a function", &Mischief::tellTooLargeAFunction},
      {"tell of unknown functions", &Mischief::tellOfUnknownFunctions},
      {"nothing at all", &Mischief::nothingAtAll},
  };
  auto& drawn = ACTS[rng.below(std::size(ACTS))];
  context.stats[Fault::MISCHIEF]++;
  context.noteWord(What::MISCHIEF, drawn.name);
  (this->*drawn.act)();
}

// ---- whom it concerns ----------------------------------------------------------------------------------------------

kj::Maybe<TaskId> Mischief::anyTask() {
  auto& all = scheduler.books().acceptedTasks();
  if (all.empty()) return nullptr;
  size_t recent = std::min<size_t>(all.size(), 50);  // most of the others ended long ago
  return all[all.size() - 1 - rng.below(recent)];
}

WorkerId Mischief::anyWorker() {
  auto& workers = scheduler.tables().workers;
  if (workers.empty()) return UNKNOWN_WORKER;
  auto it = workers.begin();
  std::advance(it, rng.below(workers.size()));
  return it->first;
}

kj::Maybe<SpaceId> Mischief::anySpace() {
  KJ_IF_MAYBE(task, anyTask()) {
    if (scheduler.tables().clients.count(task->space) > 0) return task->space;
  }
  return nullptr;
}

Report Mischief::forge(TaskId task, Attempt attempt, WorkerId worker) {
  Report report;
  report.stamp = Stamp{task, attempt, worker};
  switch (rng.below(4)) {
    case 0: report.notRun = true; break;
    case 1: report.failure = ErrorCode::USER_EXCEPTION; break;
    case 2: report.failure = ErrorCode::CANCELLED; break;
    default: break;
  }
  return report;
}

void Mischief::expectRefused(ErrorCode expected, kj::StringPtr what, kj::Function<void()> event) {
  auto code = scheduler.happen(kj::mv(event));
  SIM_RULE(code == expected, what, " was answered with ", errorRow(code).name, " instead of ", errorRow(expected).name);
}

// ---- reports -------------------------------------------------------------------------------------------------------

void Mischief::reportOfAnotherWorker() {
  auto worker = anyWorker();
  KJ_IF_MAYBE(task, anyTask()) {
    if (scheduler.books().holderOf(*task) == worker) return;
    auto report = forge(*task, scheduler.books().attemptOf(*task), worker);
    scheduler.happen([&] { scheduler.report(worker, {report}); });
  }
}

void Mischief::reportOfAnotherAttempt() {
  KJ_IF_MAYBE(task, anyTask()) {
    auto worker = scheduler.books().holderOf(*task);
    auto current = scheduler.books().attemptOf(*task).value;
    uint32_t others[] = {current - 1, current + 1, 0, UINT32_MAX};
    auto attempt = others[rng.below(4)];
    if (attempt == current) return;
    auto report = forge(*task, Attempt(attempt), worker);
    scheduler.happen([&] { scheduler.report(worker, {report}); });
  }
}

void Mischief::reportOfAnUnknownWorker() {
  KJ_IF_MAYBE(task, anyTask()) {
    auto report = forge(*task, scheduler.books().attemptOf(*task), UNKNOWN_WORKER);
    scheduler.happen([&] { scheduler.report(UNKNOWN_WORKER, {report}); });
  }
}

void Mischief::reportOfAnUnknownTask() {
  auto worker = anyWorker();
  auto report = forge(TaskId{UNKNOWN_SPACE, rng.next()}, Attempt(1), worker);
  scheduler.happen([&] { scheduler.report(worker, {report, report}); });
}

// ---- workers and clients that are not there ------------------------------------------------------------------------

void Mischief::unknownWorkerActs() {
  auto& events = scheduler.rawEvents();
  auto now = context.now();
  switch (rng.below(4)) {
    case 0: scheduler.happen([&] { events.onHeartbeat(UNKNOWN_WORKER, core::Load(), now); }); break;
    case 1: scheduler.happen([&] { events.onWorkerLeaving(UNKNOWN_WORKER, now); }); break;
    case 2: scheduler.happen([&] { events.onLost(UNKNOWN_WORKER, "connection lost", now); }); break;
    default: scheduler.happen([&] { events.onFunctionSent(UNKNOWN_WORKER, functions[0].hash); });
  }
}

void Mischief::unknownClientActs() {
  auto& events = scheduler.rawEvents();
  auto now = context.now();
  switch (rng.below(4)) {
    case 0: scheduler.happen([&] { events.onClientLost(UNKNOWN_SPACE, now); }); break;
    case 1: scheduler.happen([&] { events.onClientClosed(UNKNOWN_SPACE, now); }); break;
    case 2: scheduler.happen([&] { events.onAcknowledged(UNKNOWN_SPACE, 3); }); break;
    default: scheduler.happen([&] { events.onResultsSent(UNKNOWN_SPACE, 3); });
  }
}

void Mischief::cancelWhatIsNotThere() {
  uint64_t seqs[] = {0, UINT64_MAX, 1};
  scheduler.happen([&] { scheduler.rawEvents().onCancel(UNKNOWN_SPACE, seqs, context.now()); });
}

void Mischief::cancelWhatHasEnded() {
  KJ_IF_MAYBE(task, anyTask()) {
    if (!scheduler.books().hasEnded(*task)) return;
    uint64_t seqs[] = {task->seq, task->seq};
    scheduler.happen([&] { scheduler.rawEvents().onCancel(task->space, seqs, context.now()); });
  }
}

// ---- submissions ---------------------------------------------------------------------------------------------------

void Mischief::acknowledgeTooMuch() {
  KJ_IF_MAYBE(space, anySpace()) {
    size_t count = scheduler.tables().clients.at(*space).sent + 1 + rng.below(3);
    scheduler.happen([&] {
      auto refused = kj::runCatchingExceptions([&] { scheduler.rawEvents().onAcknowledged(*space, count); });
      SIM_RULE(refused != nullptr, "results that were not sent could be acknowledged");
    });
  }
}

void Mischief::submitUnknownFunction() {
  KJ_IF_MAYBE(space, anySpace()) {
    events::NewTask task;
    task.seq = 1ull << 50;
    task.function = UNKNOWN_FUNCTION;
    auto expected = scheduler.tables().draining ? ErrorCode::SHUTTING_DOWN : ErrorCode::INVALID_ARGUMENT;
    expectRefused(expected, "a task of an unknown function",
                  [&] { scheduler.rawEvents().onSubmit(*space, kj::arrayPtr(&task, 1), context.now()); });
  }
}

void Mischief::submitToUnknownSpace() {
  expectRefused(ErrorCode::NOT_FOUND, "a submission to an unknown space",
                [&] { scheduler.rawEvents().onSubmit(UNKNOWN_SPACE, nullptr, context.now()); });
}

// A seq that was accepted, with other content: still the same submission.
void Mischief::submitAgain() {
  KJ_IF_MAYBE(task, anyTask()) {
    auto spec = scheduler.books().specOf(*task);
    auto& core = scheduler.tables();
    if (core.clients.count(task->space) == 0 || core.functions.count(functions[spec.function].hash) == 0) return;
    spec.level = 0;
    spec.argumentBytes++;
    events::Receipt receipt;
    scheduler.happen([&] { scheduler.submit(task->space, {spec}, receipt); });
    SIM_RULE(receipt.accepted == 1, "a repeated submission of task ", toString(*task), " has no receipt");
  }
}

void Mischief::nothingAtAll() {
  auto& events = scheduler.rawEvents();
  auto worker = anyWorker();
  scheduler.happen([&] { scheduler.report(worker, {}); });
  KJ_IF_MAYBE(space, anySpace()) {
    scheduler.happen([&] { events.onCancel(*space, nullptr, context.now()); });
    scheduler.happen([&] { events.onAcknowledged(*space, 0); });
    scheduler.happen([&] { events.onResultsSent(*space, 0); });
    if (!scheduler.tables().draining) scheduler.happen([&] { events.onSubmit(*space, nullptr, context.now()); });
  }
}

void Mischief::tickOutOfTurn() { scheduler.tick(); }

// ---- functions -----------------------------------------------------------------------------------------------------

void Mischief::tellAnotherFunctionUnderAHash() {
  auto& functionTable = scheduler.tables().functions;
  auto& spec = functions[rng.below(functions.size())];
  if (functionTable.count(spec.hash) == 0) return;
  expectRefused(ErrorCode::INVALID_ARGUMENT, "another function under a known hash", [&] {
    auto told = spec.told();
    told.code = kj::heapArray<byte>(spec.codeBytes + 1);
    scheduler.rawEvents().onFunction(kj::mv(told));
  });
}

void Mischief::tellTooLargeAFunction() {
  expectRefused(ErrorCode::PAYLOAD_TOO_LARGE, "a function over the limit", [&] {
    auto told = functions[0].told();
    told.hash = UNKNOWN_FUNCTION;
    told.code = kj::heapArray<byte>(FUNCTION_BYTES_MAX + 1);
    scheduler.rawEvents().onFunction(kj::mv(told));
  });
}

void Mischief::tellOfUnknownFunctions() {
  auto& events = scheduler.rawEvents();
  scheduler.happen([&] { events.releaseFunction(UNKNOWN_FUNCTION); });
  scheduler.happen([&] { events.onWorkload(UNKNOWN_FUNCTION, core::Workload()); });
  core::Workload told{rng.unit() * 2, rng.logUniform(1, 1e6), rng.logUniform(1, 1e9), static_cast<uint32_t>(rng.below(100))};
  scheduler.happen([&] { events.onWorkload(functions[rng.below(functions.size())].hash, told); });
}

}  // namespace epochly::sim

#include "run/supervisor.h"

#include <fstream>

#include <unistd.h>

#include <kj/debug.h>

#include "rt/log.h"
#include "run/fd.h"

namespace epochly::run {

namespace {

// After something was read or given out, the rings are looked at once more this much later if an executor has attempts in hand
// beside the one it runs: it may have put off its signal (Wake::LATER). It does so only within 0.4 ms of its last signal, so
// one look is enough: what ends later is signalled.
constexpr kj::Duration SWEEP = 1 * kj::MILLISECONDS;
// Rounds over the rings before the loop's other work has its turn, and frames read of one ring in a round: 2,048 frames take
// some milliseconds, so heartbeats go out and other executors are served however fast one writes.
constexpr uint DRAIN_ROUNDS_MAX = 8;
constexpr uint ROUND_FRAMES_MAX = 256;
// Rounds that read all an executor can have left in its ring. A process that it has started may still be writing there, so this
// ends too.
constexpr uint LAST_ROUNDS_MAX = RING_BYTES / ROUND_FRAMES_MAX;

// What an executor writes may be anything: a time beyond this is nonsense, and sums of it would overflow.
constexpr uint64_t RUN_TIME_NS_MAX = 7ull * 24 * 3600 * 1'000'000'000;

kj::Maybe<kj::Duration> runTime(schema::Timings::Reader timings) {
  uint64_t ns = timings.getRun();
  if (ns > RUN_TIME_NS_MAX) return nullptr;  // or not measured
  return static_cast<int64_t>(ns) * kj::NANOSECONDS;
}

kj::TimePoint earlier(kj::Maybe<kj::TimePoint> a, kj::TimePoint b) {
  KJ_IF_MAYBE(at, a) return kj::min(*at, b);
  return b;
}

void fulfill(kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>>& waiter) {
  KJ_IF_MAYBE(fulfiller, waiter) (*fulfiller)->fulfill();
  waiter = nullptr;
}

}  // namespace

Supervisor::Supervisor(kj::UnixEventPort& port, const DispatchLimits& limits, ExecutorCommand command,
                       ResultObjects& objects, Observer& observer)
    : port(port),
      command(kj::mv(command)),
      objects(objects),
      observer(observer),
      wakeFd(newEventFd()),
      wakeObserver(port, wakeFd, kj::UnixEventPort::FdObserver::OBSERVE_READ),
      dispatcher(limits, *this, *this, observer),
      tasks(*this) {}

Supervisor::~Supervisor() noexcept {}

kj::TimePoint Supervisor::now() const { return kj::systemPreciseMonotonicClock().now(); }

kj::Promise<void> Supervisor::start() {
  auto paf = kj::newPromiseAndFulfiller<void>();
  startWaiter = kj::mv(paf.fulfiller);
  tasks.add(readLoop());
  scheduleTurn();
  return kj::mv(paf.promise);
}

kj::Promise<void> Supervisor::onFatal() {
  auto paf = kj::newPromiseAndFulfiller<void>();
  fatalWaiter = kj::mv(paf.fulfiller);
  return kj::mv(paf.promise);
}

// ---- from the link -------------------------------------------------------------------------------------------------

void Supervisor::setSink(kj::Maybe<ResultSink&> newSink) { sink = newSink; }

void Supervisor::assign(schema::Assignments::Reader batch) {
  for (auto function : batch.getFunctions()) dispatcher.onFunction(function);
  for (auto assignment : batch.getAssignments()) {
    if (dispatcher.onAssigned(assignment)) continue;
    rt::log::error("the scheduler sent task ", toString(readTaskId(assignment.getTask())), " attempt ",
                   assignment.getAttempt(), " twice; it is answered once");
  }
  scheduleTurn();
}

void Supervisor::cancel(const AttemptName& name) {
  drainRings();  // it may have ended
  dispatcher.onCancel(name, now());
  scheduleTurn();
}

void Supervisor::recall(const AttemptName& name) {
  drainRings();  // it may have ended
  dispatcher.onRecall(name);
  scheduleTurn();
}

void Supervisor::discard(const AttemptName& name) { objects.remove(name); }

void Supervisor::drain() {
  draining = true;
  dispatcher.onDrain();
  scheduleTurn();
}

kj::Promise<void> Supervisor::onDrained() {
  auto paf = kj::newPromiseAndFulfiller<void>();
  drainWaiter = kj::mv(paf.fulfiller);
  scheduleTurn();
  return kj::mv(paf.promise);
}

void Supervisor::resume() {
  draining = false;
  dispatcher.onResume();
  scheduleTurn();
}

void Supervisor::resultsTaken() {
  if (draining) scheduleTurn();
}

void Supervisor::connectionLost() {
  drainRings();
  dispatcher.onConnectionLost(now());
  for (auto& result : outbox_.takeAll()) objects.remove(result.reader);
  scheduleTurn();
}

LoadReport Supervisor::load() const {
  return {static_cast<uint32_t>(dispatcher.queuedCount()), static_cast<uint32_t>(dispatcher.runningCount()), residentBytes(),
          dispatcher.restartCount()};
}

kj::Promise<void> Supervisor::shutdown() {
  auto paf = kj::newPromiseAndFulfiller<void>();
  goneWaiter = kj::mv(paf.fulfiller);
  draining = true;
  dispatcher.onShutdown(now());
  scheduleTurn();
  return kj::mv(paf.promise);
}

bool Supervisor::isExecutor(pid_t pid) const {
  for (auto& [id, entry] : entries) {
    if (entry.process->pid() == pid) return true;
  }
  return false;
}

uint64_t Supervisor::residentBytes() const {
  uint64_t sum = 0;
  for (auto& [id, entry] : entries) sum += entry.process->residentBytes();
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return sum + resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// ---- from executors ------------------------------------------------------------------------------------------------

kj::Promise<void> Supervisor::readLoop() {
  return wakeObserver.whenBecomesReadable().then([this]() {
    clearFd(wakeFd);
    drainRings();
    return readLoop();
  });
}

// Reads until every ring was found empty with its sleep flag up.
void Supervisor::drainRings() {
  bool again = true;
  for (uint round = 0; again; round++) {
    if (round == DRAIN_ROUNDS_MAX) {
      signalFd(wakeFd);  // the rest after the loop's other work
      break;
    }
    again = false;
    for (auto& [id, entry] : entries) {
      entry.process->flush();  // it may have made room
      if (drainRing(id, entry)) again = true;
    }
  }
  if (framesCame) scheduleTurn();
}

// True if there may be more already.
bool Supervisor::drainRing(ExecutorId id, Entry& entry) {
  if (entry.broken) return false;
  try {
    for (uint frames = 0; frames < ROUND_FRAMES_MAX; frames++) {
      KJ_IF_MAYBE(frame, entry.process->receive()) {
        onFrame(id, entry, kj::mv(*frame));
      } else {
        return !entry.process->prepareToSleep();
      }
    }
    return true;
  } catch (const kj::Exception& e) {
    rt::log::error("an executor (", roleName(entry.process->role), ") damaged its ring and is killed: ", e.getDescription());
    entry.broken = true;
    entry.process->kill("it had damaged the memory it shares with the worker");
    return false;
  }
}

void Supervisor::onFrame(ExecutorId id, Entry& entry, kj::Array<capnp::word> words) {
  framesCame = true;
  auto frame = kj::refcounted<ResultFrame>(kj::mv(words));
  auto message = frame->message();
  if (message.isReady()) {
    entry.process->onReady();
    dispatcher.onReady(id, now());
    return;
  }
  auto list = message.getResults().getResults();
  auto at = now();
  for (auto result : list) {
    AttemptName name{readTaskId(result.getTask()), Attempt(result.getAttempt())};
    if (!dispatcher.onResult(id, name, result.isFailure(), runTime(result.getTimings()), at)) {
      objects.remove(result);
      continue;
    }
    outbox_.add({kj::addRef(*frame), result, frame->bytes() / list.size()});
    resultsAdded = true;
  }
}

void Supervisor::onExit(ExecutorId id) {
  auto found = entries.find(id);
  KJ_ASSERT(found != entries.end());
  for (uint round = 0; round < LAST_ROUNDS_MAX; round++) {  // what it wrote before it died counts
    if (!drainRing(id, found->second)) break;
  }
  auto how = found->second.process->reap();
  bool asked = dispatcher.onGone(id, how, now());
  objects.onGone(found->second.process->pid(), now());
  bool clean = how == "exited with status 0" || how.startsWith("was killed by the worker");
  if (!asked || !clean) rt::log::warning("executor ", id.value, " (", roleName(found->second.process->role), ") ", how);
  auto gone = kj::mv(found->second);  // its watch is what we are running in
  entries.erase(found);
  tasks.add(kj::evalLater([gone = kj::mv(gone)]() {}));
  scheduleTurn();
}

// ---- the turn ------------------------------------------------------------------------------------------------------

void Supervisor::scheduleTurn() {
  if (turnScheduled) return;
  turnScheduled = true;
  tasks.add(kj::evalLast([this]() { turn(); }));
}

void Supervisor::turn() {
  turnScheduled = false;
  auto wake = dispatcher.settle(now());
  for (auto& [id, entry] : entries) sendDeliveries(entry);
  if ((framesCame || framesSent) && dispatcher.anyAhead()) wake = earlier(wake, now() + SWEEP);
  framesCame = framesSent = false;
  arm(wake);
  if (resultsAdded) {
    resultsAdded = false;
    KJ_IF_MAYBE(s, sink) s->resultsReady();
  }
  tellWaiters();
}

void Supervisor::arm(kj::Maybe<kj::TimePoint> at) {
  KJ_IF_MAYBE(when, at) {
    KJ_IF_MAYBE(armed, armedAt) {
      if (*armed <= *when) return;  // it will come, and settle() will name the next
    }
    armedAt = *when;
    alarm = port.getTimer()
                .atTime(*when)
                .then([this]() {
                  armedAt = nullptr;
                  drainRings();
                  scheduleTurn();
                })
                .eagerlyEvaluate([this](kj::Exception&& e) { taskFailed(kj::mv(e)); });
  }
}

void Supervisor::tellWaiters() {
  KJ_IF_MAYBE(reason, dispatcher.fatal()) {
    for (auto waiter : {&startWaiter, &fatalWaiter}) {
      KJ_IF_MAYBE(fulfiller, *waiter)
        (*fulfiller)->reject(kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::str(*reason)));
      *waiter = nullptr;
    }
  }
  if (dispatcher.readyCount(Role::CPU) > 0 && dispatcher.readyCount(Role::IO) > 0) fulfill(startWaiter);
  if (draining && dispatcher.idle() && outbox_.size() == 0) fulfill(drainWaiter);
  if (entries.empty() && !dispatcher.anyExecutors()) fulfill(goneWaiter);
}

void Supervisor::sendDeliveries(Entry& entry) {
  if (entry.deliveries.empty()) return;
  writeFrames(entry.deliveries, [&](capnp::MessageBuilder& message) { entry.process->send(message); });
  entry.deliveries.resize(0);
  entry.process->flush();
  framesSent = true;
}

// ---- what the dispatcher asks --------------------------------------------------------------------------------------

void Supervisor::start(ExecutorId id, Role role) {
  kj::Own<ExecutorProcess> process;
  try {
    process = kj::heap<ExecutorProcess>(id, role, command, wakeFd);
  } catch (const kj::Exception& e) {
    // Told later: the dispatcher is in the middle of its turn.
    tasks.add(kj::evalLater(
        [this, id, why = kj::str("could not be started: ", messageOf(e))]() mutable { onNotStarted(id, kj::mv(why)); }));
    return;
  }
  auto exit = kj::heap<kj::UnixEventPort::FdObserver>(port, process->pidFd(), kj::UnixEventPort::FdObserver::OBSERVE_READ);
  auto watching = exit->whenBecomesReadable().then([this, id]() { onExit(id); }).eagerlyEvaluate([this](kj::Exception&& e) {
    taskFailed(kj::mv(e));
  });
  objects.onStarted(process->pid());
  entries.emplace(id, Entry{kj::mv(process), kj::mv(exit), kj::mv(watching)});
}

void Supervisor::onNotStarted(ExecutorId id, kj::String why) {
  dispatcher.onGone(id, why, now());
  rt::log::error("executor ", id.value, " ", why);
  scheduleTurn();
}

ExecutorProcess& Supervisor::process(ExecutorId id) { return *entries.at(id).process; }

void Supervisor::deliver(ExecutorId id, const Assignment& assignment, bool withFunction) {
  entries.at(id).deliveries.add(Delivery{&assignment, withFunction});
}

uint32_t Supervisor::recall(ExecutorId id, uint32_t delivered) { return process(id).progress().recall(delivered); }

Progress::Last Supervisor::last(ExecutorId id) { return process(id).progress().last(); }

kj::Vector<Progress::Begun> Supervisor::entered(ExecutorId id) { return process(id).progress().entered(); }

void Supervisor::stop(ExecutorId id) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ToExecutor>().setStop();
  process(id).send(message);
  process(id).flush();
}

void Supervisor::kill(ExecutorId id) {
  if (entries.count(id) > 0)
    process(id).kill("it was told to end");  // else it could not be started, which the dispatcher is about to learn
}

void Supervisor::discard(ExecutorId id, const AttemptName& attempt) {
  if (entries.count(id) > 0) objects.remove(process(id).pid(), attempt);  // else it never was
}

void Supervisor::fail(const AttemptName& name, Level level, Failure failure) {
  outbox_.addFailure(name, level, failure);
  resultsAdded = true;
}

void Supervisor::notRun(const AttemptName& name, Level level) {
  outbox_.addNotRun(name, level);
  resultsAdded = true;
}

void Supervisor::taskFailed(kj::Exception&& exception) {
  rt::log::error("supervising executors failed: ", exception.getDescription());
  KJ_IF_MAYBE(fulfiller, fatalWaiter) (*fulfiller)->reject(kj::cp(exception));
  fatalWaiter = nullptr;
  KJ_IF_MAYBE(fulfiller, startWaiter) (*fulfiller)->reject(kj::mv(exception));
  startWaiter = nullptr;
}

}  // namespace epochly::run

#include "link/connection.h"

#include <kj/debug.h>

#include "rt/log.h"
#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::link {

namespace {

// Words that a batch of results takes, so that its message is built in one piece.
capnp::MessageSize sizeOf(kj::ArrayPtr<const run::PendingResult> batch) {
  uint64_t words = 64;
  for (auto& result : batch) words += result.bytes / sizeof(capnp::word) + 1;
  return {words, 0};
}

}  // namespace

// The scheduler's capability. It may outlive the connection's own objects: then calls are refused.
class Connection::Sink final : public schema::WorkerSink::Server {
 public:
  explicit Sink(Connection& connection) : connection(connection) {}
  ~Sink() noexcept(false) {
    KJ_IF_MAYBE(c, connection) c->sink = nullptr;
  }
  void detach() { connection = nullptr; }

 protected:
  kj::Promise<void> run(RunContext context) override {
    auto& supervisor = owner().supervisor;
    supervisor.assign(context.getParams().getBatch());
    if (supervisor.functionTableFull()) owner().drainCause.fulfiller->fulfill(DrainCause::FUNCTION_TABLE_FULL);
    return kj::READY_NOW;
  }

  kj::Promise<void> cancel(CancelContext context) override {
    auto& supervisor = owner().supervisor;
    for (auto name : context.getParams().getAttempts()) {
      supervisor.cancel({readTaskId(name.getTask()), Attempt(name.getAttempt())});
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> recall(RecallContext context) override {
    auto& supervisor = owner().supervisor;
    for (auto name : context.getParams().getAttempts()) {
      supervisor.recall({readTaskId(name.getTask()), Attempt(name.getAttempt())});
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> discard(DiscardContext context) override {
    auto& supervisor = owner().supervisor;
    for (auto name : context.getParams().getAttempts()) {
      supervisor.discard({readTaskId(name.getTask()), Attempt(name.getAttempt())});
    }
    return kj::READY_NOW;
  }

  kj::Promise<void> drain(DrainContext context) override {
    owner().drainCause.fulfiller->fulfill(DrainCause::SCHEDULER_ASKED);
    return kj::READY_NOW;
  }

 private:
  kj::Maybe<Connection&> connection;

  Connection& owner() {
    KJ_IF_MAYBE(c, connection) return *c;
    kj::throwFatalException(makeError(ErrorCode::DISCONNECTED, "this worker has left"));
  }
};

Connection::Connection(kj::Own<Route> routeParam, run::Supervisor& supervisor, kj::Timer& timer)
    : supervisor(supervisor), timer(timer), route(kj::mv(routeParam)), tasks(*this) {}

Connection::~Connection() noexcept {
  KJ_IF_MAYBE(s, sink) s->detach();
  supervisor.setSink(nullptr);
}

kj::Promise<Joined> Connection::join(Introduction& introduction) {
  auto request = route->gateway().joinWorkerRequest();
  auto hello = request.initHello();
  hello.setProtocolMin(PROTOCOL_MIN);
  hello.setProtocolMax(PROTOCOL_MAX);
  hello.setToken(introduction.token);
  hello.setSoftware(kj::str("epochly-worker/", SOFTWARE_VERSION));
  auto info = introduction.info.getRoot<schema::WorkerInfo>().asReader();
  hello.setHost(info.getHost());
  request.setInfo(info);
  auto own = kj::heap<Sink>(*this);
  sink = *own;
  request.setSink(kj::mv(own));
  tasks.add(route->onClosed().then([this]() { lose(kj::str("the scheduler closed the connection")); }));
  return request.send().then([this](auto&& response) {
    session = response.getSession();
    auto interval = kj::max(response.getWelcome().getHeartbeatMs(), 1u) * kj::MILLISECONDS;
    supervisor.setSink(*this);
    tasks.add(beatLoop(interval));
    resultsReady();
    return Joined{WorkerId(response.getWorkerId()), interval};
  });
}

kj::Promise<kj::String> Connection::onLost() { return kj::mv(lost.promise); }

kj::Promise<DrainCause> Connection::onDrainCause() { return kj::mv(drainCause.promise); }

kj::Promise<void> Connection::leave() {
  KJ_IF_MAYBE(s, session) return s->leaveRequest().send().ignoreResult();
  return kj::READY_NOW;
}

kj::Promise<void> Connection::onQuiet() {
  if (callsInFlight == 0) return kj::READY_NOW;
  auto paf = kj::newPromiseAndFulfiller<void>();
  quietWaiter = kj::mv(paf.fulfiller);
  return kj::mv(paf.promise);
}

// ---- results -------------------------------------------------------------------------------------------------------

void Connection::resultsReady() {
  auto& outbox = supervisor.outbox();
  while (session != nullptr && callsInFlight < RESULT_CALLS_MAX && outbox.size() > 0) {
    callsInFlight++;
    sendResults(outbox.takeBatch());
  }
}

// The batch is kept until the scheduler has it.
void Connection::sendResults(kj::Array<run::PendingResult> batch) {
  auto request = KJ_ASSERT_NONNULL(session).resultsRequest(sizeOf(batch));
  auto list = request.initBatch().initResults(batch.size());
  for (auto i : kj::indices(batch)) list.setWithCaveats(i, batch[i].reader);
  tasks.add(request.send().then(
      [this](auto&&) { onResultsAnswered(); },
      [this, batch = kj::mv(batch)](kj::Exception&& e) mutable {
        if (e.getType() == kj::Exception::Type::DISCONNECTED) {
          lose(messageOf(e));
          return;
        }
        rt::log::warning("the scheduler did not take ", batch.size(), " results: ", messageOf(e), "; they are sent again");
        tasks.add(
            timer.afterDelay(RESULTS_RETRY).then([this, batch = kj::mv(batch)]() mutable { sendResults(kj::mv(batch)); }));
      }));
}

void Connection::onResultsAnswered() {
  callsInFlight--;
  resultsReady();
  supervisor.resultsTaken();
  if (callsInFlight > 0) return;
  KJ_IF_MAYBE(waiter, quietWaiter) (*waiter)->fulfill();
  quietWaiter = nullptr;
}

// ---- liveness ------------------------------------------------------------------------------------------------------

kj::Promise<void> Connection::beatLoop(kj::Duration interval) {
  return timer.afterDelay(interval).then([this, interval]() -> kj::Promise<void> {
    if (beatsUnanswered >= MISSED_BEATS_MAX) {
      lose(kj::str("the scheduler has not answered ", beatsUnanswered, " heartbeats"));
      return kj::READY_NOW;
    }
    beat();
    return beatLoop(interval);
  });
}

void Connection::beat() {
  auto request = KJ_ASSERT_NONNULL(session).heartbeatRequest();
  auto report = supervisor.load();
  auto load = request.initLoad();
  load.setQueued(report.queued);
  load.setRunning(report.running);
  load.setResidentBytes(report.residentBytes);
  load.setExecutorRestarts(report.executorRestarts);
  beatsUnanswered++;
  tasks.add(request.send().then([this](auto&&) { beatsUnanswered = 0; }));
}

void Connection::lose(kj::String why) { lost.fulfiller->fulfill(kj::mv(why)); }

void Connection::taskFailed(kj::Exception&& exception) { lose(messageOf(exception)); }

}  // namespace epochly::link

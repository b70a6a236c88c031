// A scheduler that does what a test tells it, on a thread and a unix socket of its own.
#pragma once

#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include "rt/mailbox.h"
#include "scheduler.capnp.h"
#include "unit/client/client_env.h"
#include "wire/task_spec.h"

namespace epochly::client {

// Everything is guarded by one mutex; the hooks are called on the scheduler's thread without it.
class FakeScheduler {
 public:
  struct Taken {
    uint64_t seq;
    uint32_t function;
  };
  // What a submission gets: how many of it are accepted (the rest is refused), or an exception.
  using Admit = std::function<uint32_t(uint32_t tasks)>;

  FakeScheduler() : path(kj::str("/tmp/epochly-fake-", getpid(), "-", ++counter, ".sock")) { start(); }
  ~FakeScheduler() noexcept {
    stop();
    unlink(path.cStr());
  }

  kj::String address() const { return kj::str("unix:", path); }
  void start() {
    std::unique_lock lock(mutex);
    running = false;
    thread = std::thread([this] { main(); });
    changed.wait(lock, [this] { return running; });
  }
  // Closes every connection; the tasks it knew are forgotten unless it is only a drop().
  void stop() {
    if (!thread.joinable()) return;
    post([this] { finish->fulfill(); });
    thread.join();
    std::lock_guard lock(mutex);
    spaces.clear();
  }
  // Closes the connections; the listener and what it knows stay.
  void drop() {
    post([this] { connections->clear(); });
  }

  void admit(Admit hook) {
    std::lock_guard lock(mutex);
    admission = kj::mv(hook);
  }
  // Accepted tasks are answered with their own seq as value, at once, unless held.
  void hold(bool on) {
    std::lock_guard lock(mutex);
    holding = on;
  }
  void release() {
    hold(false);
    post([this] { answerAll(); });
  }
  void refuseClients(kj::Maybe<ErrorCode> code) {
    std::lock_guard lock(mutex);
    refusal = code;
  }
  // The connections that are open now are not answered any more, as those of a stopped process.
  void stall() {
    std::lock_guard lock(mutex);
    stalledUntil = opened;
  }

  std::vector<Taken> taken() {
    std::lock_guard lock(mutex);
    return accepted;
  }
  std::vector<std::string> functionNames() {
    std::lock_guard lock(mutex);
    return functions;
  }
  std::vector<uint64_t> cancellations() {
    std::lock_guard lock(mutex);
    return cancelled;
  }
  uint connectionsSeen() {
    std::lock_guard lock(mutex);
    return opened;
  }
  bool awaitTaken(size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_until(lock, soon(), [&] { return accepted.size() >= count; });
  }
  bool awaitCancelled(size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_until(lock, soon(), [&] { return cancelled.size() >= count; });
  }

 private:
  struct Space {
    uint64_t seqMax = 0;
    std::vector<uint64_t> unanswered;
  };
  class GatewayImpl;
  class SessionImpl;
  class Connections : public kj::TaskSet::ErrorHandler {
   public:
    Connections() { clear(); }
    void clear() { tasks = kj::heap<kj::TaskSet>(*this); }
    void add(kj::Promise<void> promise) { tasks->add(kj::mv(promise)); }
    void taskFailed(kj::Exception&&) override {}

   private:
    kj::Own<kj::TaskSet> tasks;
  };

  static inline int counter = 0;
  const kj::String path;
  std::mutex mutex;
  std::condition_variable changed;
  std::thread thread;
  bool running = false;
  bool holding = false;
  uint stalledUntil = 0;  // number of the last connection that is not answered
  kj::Maybe<ErrorCode> refusal;
  Admit admission = [](uint32_t tasks) { return tasks; };
  std::vector<Taken> accepted;
  std::vector<std::string> functions;
  std::vector<uint64_t> cancelled;
  std::map<uint64_t, Space> spaces;
  uint opened = 0;
  uint64_t lastSpace = 1000;

  // The scheduler's thread only.
  rt::Mailbox* mailbox = nullptr;
  kj::Own<kj::PromiseFulfiller<void>> finish;
  kj::Own<Connections> connections;
  std::map<uint64_t, schema::ClientSink::Client> sinks;

  // Returns when it has run there.
  void post(kj::Function<void()> fn) {
    bool done = false;
    mailbox->post([&]() {
      fn();
      std::lock_guard lock(mutex);
      done = true;
      changed.notify_all();
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done; });
  }

  void main() {
    auto io = kj::setupAsyncIo();
    auto finished = kj::newPromiseAndFulfiller<void>();
    finish = kj::mv(finished.fulfiller);
    connections = kj::heap<Connections>();
    unlink(path.cStr());
    auto listener = io.provider->getNetwork().parseAddress(kj::str("unix:", path)).wait(io.waitScope)->listen();
    auto accepting = acceptLoop(*listener);
    rt::Mailbox box(io.unixEventPort, 16);
    {
      std::lock_guard lock(mutex);
      mailbox = &box;
      running = true;
      changed.notify_all();
    }
    finished.promise.exclusiveJoin(kj::mv(accepting)).exclusiveJoin(box.run()).wait(io.waitScope);
    sinks.clear();
    connections = nullptr;
  }

  struct Served {
    Served(kj::Own<kj::AsyncIoStream> from, capnp::Capability::Client bootstrap)
        : stream(kj::mv(from)),
          network(*stream, capnp::rpc::twoparty::Side::SERVER),
          rpc(capnp::makeRpcServer(network, kj::mv(bootstrap))) {}
    kj::Own<kj::AsyncIoStream> stream;
    capnp::TwoPartyVatNetwork network;
    capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
  };

  kj::Promise<void> acceptLoop(kj::ConnectionReceiver& listener);
  void answer(uint64_t space, const std::vector<uint64_t>& seqs);
  void answerAll();
};

class FakeScheduler::SessionImpl final : public schema::ClientSession::Server {
 public:
  SessionImpl(FakeScheduler& scheduler, uint64_t space, uint connection)
      : scheduler(scheduler), space(space), connection(connection) {}

  kj::Promise<void> submit(SubmitContext context) override {
    auto batch = context.getParams().getBatch();
    auto tasks = batch.getTasks();
    Admit admit;
    {
      std::lock_guard lock(scheduler.mutex);
      if (connection <= scheduler.stalledUntil) return kj::NEVER_DONE;
      admit = scheduler.admission;
    }
    uint32_t count = admit(tasks.size());
    std::vector<uint64_t> toAnswer;
    {
      std::lock_guard lock(scheduler.mutex);
      for (auto function : batch.getFunctions()) scheduler.functions.push_back(function.getName().cStr());
      auto& known = scheduler.spaces[space];
      for (uint32_t i = 0; i < count; i++) {
        auto seq = tasks[i].getSeq();
        if (seq <= known.seqMax) continue;  // a repeat
        known.seqMax = seq;
        scheduler.accepted.push_back({seq, tasks[i].getFunction()});
        known.unanswered.push_back(seq);
        toAnswer.push_back(seq);
      }
      if (scheduler.holding) toAnswer.clear();
      scheduler.changed.notify_all();
    }
    auto receipt = context.getResults().initReceipt();
    receipt.setAccepted(count);
    receipt.setRetryAfterMs(count < tasks.size() ? 1 : 0);
    scheduler.answer(space, toAnswer);
    return kj::READY_NOW;
  }

  kj::Promise<void> cancel(CancelContext context) override {
    std::lock_guard lock(scheduler.mutex);
    for (auto seq : context.getParams().getSeqs()) scheduler.cancelled.push_back(seq);
    scheduler.changed.notify_all();
    return kj::READY_NOW;
  }

  kj::Promise<void> totals(TotalsContext context) override {
    std::lock_guard lock(scheduler.mutex);
    if (connection <= scheduler.stalledUntil) return kj::NEVER_DONE;
    context.getResults().initTotals().setQueued(7);
    return kj::READY_NOW;
  }

 private:
  FakeScheduler& scheduler;
  const uint64_t space;
  const uint connection;
};

class FakeScheduler::GatewayImpl final : public schema::Gateway::Server {
 public:
  explicit GatewayImpl(FakeScheduler& scheduler) : scheduler(scheduler) {}

  kj::Promise<void> openClient(OpenClientContext context) override {
    auto params = context.getParams();
    uint64_t space = params.getSpace();
    uint connection;
    {
      std::lock_guard lock(scheduler.mutex);
      connection = ++scheduler.opened;
      KJ_IF_MAYBE(code, scheduler.refusal) return makeError(*code, "refused by the test");
      if (scheduler.spaces.count(space) == 0) space = ++scheduler.lastSpace;
      scheduler.spaces[space];
    }
    scheduler.sinks.erase(space);
    scheduler.sinks.emplace(space, params.getSink());
    auto results = context.getResults();
    results.initWelcome().setHttpUrl("http://test");
    results.setSpace(space);
    results.setSession(kj::heap<SessionImpl>(scheduler, space, connection));
    std::vector<uint64_t> again;
    {
      std::lock_guard lock(scheduler.mutex);
      if (!scheduler.holding) again = scheduler.spaces[space].unanswered;
    }
    scheduler.answer(space, again);
    return kj::READY_NOW;
  }

 private:
  FakeScheduler& scheduler;
};

inline kj::Promise<void> FakeScheduler::acceptLoop(kj::ConnectionReceiver& listener) {
  return listener.accept().then([this, &listener](kj::Own<kj::AsyncIoStream>&& stream) {
    auto served = kj::heap<Served>(kj::mv(stream), kj::heap<GatewayImpl>(*this));
    auto done = served->network.onDisconnect();
    connections->add(done.attach(kj::mv(served)));
    return acceptLoop(listener);
  });
}

// Each is answered with its seq as text. Once the client has them they are forgotten.
inline void FakeScheduler::answer(uint64_t space, const std::vector<uint64_t>& seqs) {
  auto found = sinks.find(space);
  if (seqs.empty() || found == sinks.end()) return;
  auto request = found->second.resultsRequest();
  auto results = request.initBatch().initResults(seqs.size());
  request.getBatch().initPlacements(1)[0].setWhy("test");
  for (size_t i = 0; i < seqs.size(); i++) {
    results[i].setSeq(seqs[i]);
    results[i].setAttempt(1);
    results[i].initValue().setPickle(kj::str(seqs[i]).asBytes());
  }
  connections->add(request.send().ignoreResult().then([this, space, seqs = seqs]() {
    std::lock_guard lock(mutex);
    auto& unanswered = spaces[space].unanswered;
    for (auto seq : seqs) std::erase(unanswered, seq);
  }));
}

inline void FakeScheduler::answerAll() {
  for (auto& [space, sink] : sinks) {
    std::vector<uint64_t> seqs;
    {
      std::lock_guard lock(mutex);
      seqs = spaces[space].unanswered;
    }
    answer(space, seqs);
  }
}

}  // namespace epochly::client

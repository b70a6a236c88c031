#include "ext/client_link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <capnp/serialize.h>
#include <kj/debug.h>

#include "transport/framed_stream.h"
#include "transport/socket_stream.h"
#include "wire/task_spec.h"

namespace epochly::client {

namespace {

capnp::ReaderOptions readerOptions() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = TRAVERSAL_WORDS_MAX;
  return options;
}

// A peer whose machine vanished is noticed by the kernel in about 11 s: idle 5 s, then three probes 2 s apart.
void keepAlive(kj::AsyncIoStream& stream) {
  const int on = 1, idle = 5, interval = 2, probes = 3;
  stream.setsockopt(SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  stream.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
  stream.setsockopt(IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
  stream.setsockopt(IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
  stream.setsockopt(IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// The scheduler's mind will not change: no use in trying again.
bool isFinal(ErrorCode code) {
  return code == ErrorCode::UNAUTHENTICATED || code == ErrorCode::PROTOCOL_MISMATCH || code == ErrorCode::INVALID_ARGUMENT;
}

template <typename Results>
kj::Array<capnp::word> flatten(const Results& results) {
  capnp::MallocMessageBuilder message;
  message.setRoot(results);
  return capnp::messageToFlatArray(message);
}

}  // namespace

class Link::Sink final : public schema::ClientSink::Server {
 public:
  explicit Sink(Link& link) : link(link) {}

  kj::Promise<void> results(ResultsContext context) override {
    link.lastHeard = link.timer.now();
    link.ledger.end(readResults(context.getParams().getBatch(), link.regions));
    return kj::READY_NOW;
  }

 private:
  Link& link;  // outlives the connection, which owns the RPC system, which owns this
};

// One TCP or unix connection and what is known on it.
struct Link::Connection {
  Connection(kj::Own<kj::AsyncIoStream> from, kj::Timer& timer)
      : stream(kj::mv(from)),
        messages(*stream, timer, owner),
        network(messages, capnp::rpc::twoparty::Side::CLIENT, readerOptions()),
        rpc(capnp::makeRpcClient(network)),
        gateway(bootstrap(rpc)) {}

  static schema::Gateway::Client bootstrap(capnp::RpcSystem<capnp::rpc::twoparty::VatId>& rpc) {
    capnp::MallocMessageBuilder message(4);
    auto server = message.initRoot<capnp::rpc::twoparty::VatId>();
    server.setSide(capnp::rpc::twoparty::Side::SERVER);
    return rpc.bootstrap(server).castAs<schema::Gateway>();
  }

  kj::Own<kj::AsyncIoStream> stream;
  transport::TrustingOwner owner;
  transport::FramedStream messages;
  capnp::TwoPartyVatNetwork network;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
  schema::Gateway::Client gateway;
  kj::Maybe<schema::ClientSession::Client> session;  // once open
  FunctionTable functions;

  schema::ClientSession::Client& open() { return KJ_ASSERT_NONNULL(session); }
};

Link::Link(kj::AsyncIoContext& io, Ledger& ledger, LinkStatus& status, RegionOpener& regions, const LinkOptions& options)
    : io(io),
      timer(io.provider->getTimer()),
      ledger(ledger),
      status(status),
      regions(regions),
      options(options),
      random(std::random_device()()),
      tasks(kj::heap<kj::TaskSet>(*this)) {}

Link::~Link() noexcept(false) = default;

void Link::taskFailed(kj::Exception&& exception) { KJ_LOG(ERROR, "client task failed", exception); }

// ---- connecting ----------------------------------------------------------------------------------------------------

kj::Promise<void> Link::run() {
  return connectUntil(timer.now() + options.patience.connect, 0, true).then([this]() { return stayConnected(); });
}

kj::Promise<void> Link::connectUntil(kj::TimePoint deadline, uint attempt, bool first) {
  return connectOnce().catch_([this, deadline, attempt, first](kj::Exception&& why) {
    return onCannotConnect(kj::mv(why), deadline, attempt, first);
  });
}

kj::Promise<void> Link::connectOnce() {
  auto attempt = io.provider->getNetwork()
                     .parseAddress(options.address.forKj())
                     .then([](kj::Own<kj::NetworkAddress>&& address) {
                       auto promise = address->connect();
                       return promise.attach(kj::mv(address));
                     })
                     .then([this](kj::Own<kj::AsyncIoStream>&& stream) {
                       if (options.address.reach != rt::Reach::UNIX_SOCKET) keepAlive(*stream);
                       auto& opening = *connection.emplace(
                           kj::heap<Connection>(transport::SocketStream::takeOver(io.unixEventPort, kj::mv(stream)), timer));
                       auto request = opening.gateway.openClientRequest();
                       auto hello = request.initHello();
                       hello.setProtocolMin(PROTOCOL_MIN);
                       hello.setProtocolMax(PROTOCOL_MAX);
                       hello.setToken(options.token);
                       hello.setSoftware(options.software);
                       hello.setHost(thisHost().value);
                       request.setSpace(space);
                       request.setSink(kj::heap<Sink>(*this));
                       return request.send();
                     })
                     .then([this](capnp::Response<schema::Gateway::OpenClientResults>&& results) { onConnected(results); });
  return timer.timeoutAfter(options.patience.handshake, kj::mv(attempt));
}

void Link::onConnected(schema::Gateway::OpenClientResults::Reader results) {
  auto welcome = results.getWelcome();
  KJ_ASSERT_NONNULL(connection)->session = results.getSession();
  bool fresh = results.getSpace() != space;
  if (fresh && space != 0) onFreshSpace();
  bool again = space != 0;
  space = results.getSpace();
  lastHeard = timer.now();
  status.sharedMemory = welcome.getSharedMemory();
  status.update([&](LinkStatus::Facts& facts) {
    facts.connected = true;
    facts.software = kj::str(welcome.getSoftware());
    facts.httpUrl = kj::str(welcome.getHttpUrl());
    facts.space = space;
    facts.reconnects += again;
  });
  ledger.reopen();
  pump();
}

// The scheduler does not know us (any more): nobody will answer for what it had accepted. What it never saw is still ours to
// send.
void Link::onFreshSpace() {
  ledger.endAll(
      Failure::of(ErrorCode::DISCONNECTED,
                  kj::str("the scheduler no longer knows this client: it was restarted, or the connection was away for "
                          "longer than it waits. The task may or may not have run: submit it again if that is safe")),
      true);
  size_t bytes = 0;
  for (auto& spec : batch) bytes += spec.bytes();
  dropFirst(batch.size(), bytes);
}

kj::Promise<void> Link::onCannotConnect(kj::Exception why, kj::TimePoint deadline, uint attempt, bool first) {
  connection = nullptr;
  if (isFinal(codeOf(why))) return refusedForGood(why);
  if (timer.now() >= deadline) {
    auto failure = Failure::of(ErrorCode::DISCONNECTED,
                               kj::str("cannot reach the scheduler at ", options.address.toString(), ": ", messageOf(why)));
    ledger.close(failure.clone());
    ledger.endAll(failure, false);
    batch.clear();
    space = 0;
    if (first) {
      status.update([&](LinkStatus::Facts& facts) {
        facts.failed = true;
        facts.failure = kj::mv(failure);
      });
      return kj::Promise<void>(kj::NEVER_DONE);
    }
  }
  return timer.afterDelay(jittered(RECONNECT_DELAY, attempt, RECONNECT_DELAY_MAX)).then([this, deadline, attempt, first]() {
    return connectUntil(deadline, attempt + 1, first);
  });
}

kj::Promise<void> Link::refusedForGood(const kj::Exception& why) {
  auto failure = Failure::of(codeOf(why), messageOf(why));
  ledger.close(failure.clone());
  ledger.endAll(failure, false);
  batch.clear();
  status.update([&](LinkStatus::Facts& facts) {
    facts.failed = true;
    facts.failure = kj::mv(failure);
  });
  return kj::Promise<void>(kj::NEVER_DONE);
}

kj::Promise<void> Link::stayConnected() {
  auto& current = *KJ_ASSERT_NONNULL(connection);
  return current.network.onDisconnect()
      .exclusiveJoin(watchSilence())
      .catch_([](kj::Exception&&) {})
      .then([this]() {
        onLost();
        return connectUntil(timer.now() + options.patience.reconnect, 0, false);
      })
      .then([this]() { return stayConnected(); });
}

// Resolves when the scheduler has given no sign of life for too long: a stopped process keeps its connections open.
kj::Promise<void> Link::watchSilence() {
  return timer.afterDelay(options.patience.silence).then([this]() -> kj::Promise<void> {
    bool silent = timer.now() - lastHeard >= options.patience.silence;
    if (!silent || ledger.pending() == 0) return watchSilence();
    auto sign = KJ_ASSERT_NONNULL(connection)->open().totalsRequest().send().ignoreResult();
    return timer.timeoutAfter(options.patience.signOfLife, kj::mv(sign)).then([this]() {
      lastHeard = timer.now();
      return watchSilence();
    });
  });
}

void Link::onLost() {
  status.update([](LinkStatus::Facts& facts) { facts.connected = false; });
  tasks = kj::heap<kj::TaskSet>(*this);
  connection = nullptr;
  submitting = false;
  waitingToSubmit = false;
}

kj::Duration Link::jittered(kj::Duration delay, uint doublings, kj::Duration max) {
  for (uint i = 0; i < doublings && delay < max; i++) delay = delay * 2;
  delay = kj::min(delay, max);
  return delay / 2 + delay * static_cast<int64_t>(random() % 1000) / 1000;
}

// ---- submitting ----------------------------------------------------------------------------------------------------

void Link::pump() {
  KJ_IF_MAYBE(current, connection) {
    if ((*current)->session == nullptr || submitting || waitingToSubmit) return;
    tellCancelled();
    ledger.takeQueued(batch, BATCH_TASKS_MAX, BATCH_BYTES_TARGET);
    if (batch.empty()) return;
    submitting = true;
    auto tasksMax = singles > 0 ? 1 : BATCH_TASKS_MAX;
    tasks->add(submit(planSubmission(batch, tasksMax, (*current)->functions)));
  }
}

kj::Promise<void> Link::submit(Plan plan) {
  auto& current = *KJ_ASSERT_NONNULL(connection);
  auto request = current.open().submitRequest(capnp::MessageSize{plan.bytes / sizeof(capnp::word) + 64, 0});
  writeSubmission(batch, plan, request.initBatch());
  auto shared = kj::heap<Plan>(kj::mv(plan));
  auto& sent = *shared;
  return request.send()
      .then([this, &sent](
                capnp::Response<schema::ClientSession::SubmitResults>&& results) { onReceipt(sent, results.getReceipt()); },
            [this, &sent](kj::Exception&& why) { onRefused(sent, why); })
      .attach(kj::mv(shared));
}

void Link::onReceipt(const Plan& plan, schema::Receipt::Reader receipt) {
  lastHeard = timer.now();
  status.sharedMemory = receipt.getSharedMemory();
  submitting = false;
  size_t accepted = kj::min(static_cast<size_t>(receipt.getAccepted()), plan.tasks());
  size_t bytes = 0;
  for (size_t i = 0; i < accepted; i++) bytes += batch[i].bytes();
  dropFirst(accepted, bytes);
  if (accepted > 0 || plan.tasks() == 0) refusedInARow = 0;
  if (accepted == plan.tasks()) return pump();
  submitLater(receipt.getRetryAfterMs() * kj::MILLISECONDS);
}

void Link::onRefused(const Plan& plan, const kj::Exception& why) {
  if (connection == nullptr) return;
  submitting = false;
  KJ_ASSERT_NONNULL(connection)->functions.forgetMessage();
  auto code = codeOf(why);
  if (code == ErrorCode::DISCONNECTED) return;  // stayConnected() sees it too; the batch goes again on the next connection
  if (code == ErrorCode::OVERLOADED || code == ErrorCode::SHUTTING_DOWN) return submitLater(RECONNECT_DELAY);
  if (plan.tasks() > 1 || (plan.tasks() == 0 && batch.size() > 1 && singles == 0)) {
    singles = kj::max(plan.tasks(), size_t(1));  // one of these is at fault: find out which
  } else {
    ledger.endOne(batch.front().entry->seq, Failure::of(code, messageOf(why)));
    dropFirst(1, batch.front().bytes());
  }
  pump();
}

void Link::dropFirst(size_t count, size_t bytes) {
  batch.erase(batch.begin(), batch.begin() + count);
  singles -= kj::min(singles, count);
  ledger.accepted(count, bytes);
}

void Link::submitLater(kj::Duration delay) {
  waitingToSubmit = true;
  status.update([](LinkStatus::Facts& facts) { facts.refusals++; });
  delay = jittered(kj::max(delay, 1 * kj::MILLISECONDS), refusedInARow++, REFUSED_DELAY_MAX);
  tasks->add(timer.afterDelay(delay).then([this]() {
    waitingToSubmit = false;
    pump();
  }));
}

void Link::tellCancelled() {
  auto seqs = ledger.takeCancelled();
  if (seqs.empty()) return;
  auto request = KJ_ASSERT_NONNULL(connection)->open().cancelRequest();
  auto list = request.initSeqs(seqs.size());
  for (auto i : kj::indices(seqs)) list.set(i, seqs[i]);
  // Lost with the connection, it is not sent again: the task runs to its end and nobody looks at its result.
  tasks->add(request.send().ignoreResult().catch_([](kj::Exception&&) {}));
}

// ---- questions -----------------------------------------------------------------------------------------------------

void Link::ask(std::shared_ptr<Question> question) {
  auto current = connection.map([](auto& c) { return c.get(); }).orDefault(nullptr);
  if (current == nullptr || current->session == nullptr) {
    return question->fail(Failure::of(ErrorCode::DISCONNECTED, kj::str("the scheduler at ", options.address.toString(),
                                                                       " cannot be reached now; trying again")));
  }
  auto& session = current->open();
  kj::Promise<kj::Array<capnp::word>> answer = nullptr;
  switch (question->about) {
    case Question::About::WORKERS:
      answer = session.workersRequest().send().then([](auto&& results) { return flatten(results); });
      break;
    case Question::About::FUNCTIONS:
      answer = session.functionsRequest().send().then([](auto&& results) { return flatten(results); });
      break;
    case Question::About::TOTALS:
      answer = session.totalsRequest().send().then([](auto&& results) { return flatten(results); });
      break;
    case Question::About::EXPLAIN: {
      auto request = session.explainRequest();
      request.setSeq(question->seq);
      answer = request.send().then([](auto&& results) { return flatten(results); });
      break;
    }
  }
  // Not among `tasks`: those go when the connection does, and this must answer then too.
  auto asked = answer.then(
      [this, question](kj::Array<capnp::word>&& words) {
        lastHeard = timer.now();
        question->answer(kj::mv(words));
      },
      [question](kj::Exception&& why) { question->fail(Failure::of(codeOf(why), messageOf(why))); });
  asked.detach([](kj::Exception&&) {});
}

kj::Promise<void> Link::close() {
  KJ_IF_MAYBE(current, connection) {
    if ((*current)->session == nullptr) return kj::READY_NOW;
    auto closing = (*current)->open().closeRequest().send().ignoreResult();
    return timer.timeoutAfter(options.patience.close, kj::mv(closing)).catch_([](kj::Exception&&) {});
  }
  return kj::READY_NOW;
}

}  // namespace epochly::client

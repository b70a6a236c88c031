// A scheduler that does what a test says, on a real unix socket.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/io.h>
#include <stdlib.h>
#include <unistd.h>

#include "scheduler.capnp.h"
#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::link {

struct FakeGateway final : public kj::TaskSet::ErrorHandler {
  struct Result {
    uint64_t seq;
    bool notRun;
    uint16_t failure;
    std::string value;
  };

  std::string directory;
  std::string path;
  kj::Maybe<kj::Exception> refusal;         // of the next joins
  kj::Maybe<kj::Exception> resultsRefusal;  // of the next calls with results
  bool holdResults = false;                 // results calls do not return
  bool holdHeartbeats = false;
  uint32_t heartbeatMs = 20;

  uint joins = 0;
  std::string token, name;
  uint16_t protocolMax = 0;
  uint cpuSlots = 0, ioSlots = 0;
  uint heartbeats = 0;
  uint resultCalls = 0, resultCallsAtOnce = 0, resultCallsAtOnceMax = 0;
  bool left = false;
  std::vector<Result> results;
  kj::Maybe<schema::WorkerSink::Client> sink;  // of the worker that joined last

  explicit FakeGateway(kj::AsyncIoContext& io) : io(io), tasks(*this) {
    char made[] = "/tmp/epochly-gateway-XXXXXX";
    directory = mkdtemp(made);
    path = directory + "/s";
  }
  ~FakeGateway() noexcept {
    connections.clear();
    ::unlink(path.c_str());
    rmdir(directory.c_str());
  }

  void listen() {
    auto address = io.provider->getNetwork().parseAddress(kj::str("unix:", path.c_str())).wait(io.waitScope);
    receiver = address->listen();
    tasks.add(acceptLoop());
  }
  // Nobody answers at the path any more; those who are connected stay.
  void stopListening() {
    receiver = nullptr;
    ::unlink(path.c_str());
  }
  // As if the scheduler died.
  void dropConnections() {
    sink = nullptr;
    connections.clear();
  }

  kj::Promise<void> run(uint64_t seq, const std::string& command, Level level = Level::MONITOR, uint32_t functionId = 1) {
    auto request = KJ_ASSERT_NONNULL(sink).runRequest();
    auto batch = request.initBatch();
    auto function = batch.initFunctions(1)[0];
    function.setId(functionId);
    function.setHashHigh(functionId);
    auto assignment = batch.initAssignments(1)[0];
    assignment.initTask().setSeq(seq);
    assignment.setAttempt(1);
    assignment.setFunction(functionId);
    assignment.setLevel(static_cast<uint8_t>(level));
    assignment.initArguments().setPickle(
        capnp::Data::Reader(reinterpret_cast<const kj::byte*>(command.data()), command.size()));
    return request.send().ignoreResult();
  }
  kj::Promise<void> cancel(uint64_t seq) { return tell(KJ_ASSERT_NONNULL(sink).cancelRequest(), seq); }
  kj::Promise<void> recall(uint64_t seq) { return tell(KJ_ASSERT_NONNULL(sink).recallRequest(), seq); }
  kj::Promise<void> discard(uint64_t seq) { return tell(KJ_ASSERT_NONNULL(sink).discardRequest(), seq); }
  kj::Promise<void> drain() { return KJ_ASSERT_NONNULL(sink).drainRequest().send().ignoreResult(); }

 private:
  template <typename Request>
  static kj::Promise<void> tell(Request request, uint64_t seq) {
    auto name = request.initAttempts(1)[0];
    name.initTask().setSeq(seq);
    name.setAttempt(1);
    return request.send().ignoreResult();
  }

  class Session final : public schema::WorkerSession::Server {
   public:
    explicit Session(FakeGateway& gateway) : gateway(gateway) {}

   protected:
    kj::Promise<void> results(ResultsContext context) override {
      KJ_IF_MAYBE(error, gateway.resultsRefusal) return kj::cp(*error);
      gateway.resultCalls++;
      gateway.resultCallsAtOnceMax = kj::max(gateway.resultCallsAtOnceMax, ++gateway.resultCallsAtOnce);
      for (auto result : context.getParams().getBatch().getResults()) {
        auto pickle = result.isValue() ? result.getValue().getPickle() : capnp::Data::Reader();
        gateway.results.push_back({result.getTask().getSeq(), result.getNotRun(),
                                   result.isFailure() ? result.getFailure().getCode() : uint16_t(0),
                                   std::string(reinterpret_cast<const char*>(pickle.begin()), pickle.size())});
      }
      if (gateway.holdResults) return kj::NEVER_DONE;
      gateway.resultCallsAtOnce--;
      return kj::READY_NOW;
    }
    kj::Promise<void> heartbeat(HeartbeatContext) override {
      gateway.heartbeats++;
      if (gateway.holdHeartbeats) return kj::NEVER_DONE;
      return kj::READY_NOW;
    }
    kj::Promise<void> leave(LeaveContext) override {
      gateway.left = true;
      return kj::READY_NOW;
    }

   private:
    FakeGateway& gateway;
  };

  class Gateway final : public schema::Gateway::Server {
   public:
    explicit Gateway(FakeGateway& gateway) : gateway(gateway) {}

   protected:
    kj::Promise<void> joinWorker(JoinWorkerContext context) override {
      auto params = context.getParams();
      gateway.token = std::string(reinterpret_cast<const char*>(params.getHello().getToken().begin()),
                                  params.getHello().getToken().size());
      gateway.protocolMax = params.getHello().getProtocolMax();
      gateway.name = params.getInfo().getName().cStr();
      gateway.joins++;
      KJ_IF_MAYBE(error, gateway.refusal) return kj::cp(*error);
      gateway.sink = params.getSink();
      gateway.resultCallsAtOnce = 0;
      auto results = context.getResults();
      results.setWorkerId(gateway.joins);
      results.initWelcome().setHeartbeatMs(gateway.heartbeatMs);
      results.setSession(kj::heap<Session>(gateway));
      return kj::READY_NOW;
    }

   private:
    FakeGateway& gateway;
  };

  struct Connection {
    kj::Own<kj::AsyncIoStream> stream;
    capnp::TwoPartyVatNetwork network;
    capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;

    Connection(kj::Own<kj::AsyncIoStream> streamParam, FakeGateway& gateway)
        : stream(kj::mv(streamParam)),
          network(*stream, capnp::rpc::twoparty::Side::SERVER, capnp::ReaderOptions{TRAVERSAL_WORDS_MAX, 64}),
          rpc(capnp::makeRpcServer(network, kj::heap<Gateway>(gateway))) {}
  };

  kj::AsyncIoContext& io;
  kj::Maybe<kj::Own<kj::ConnectionReceiver>> receiver;
  std::vector<kj::Own<Connection>> connections;
  kj::TaskSet tasks;

  kj::Promise<void> acceptLoop() {
    KJ_IF_MAYBE(r, receiver) {
      return (*r)->accept().then([this](kj::Own<kj::AsyncIoStream>&& stream) {
        connections.push_back(kj::heap<Connection>(kj::mv(stream), *this));
        return acceptLoop();
      });
    }
    return kj::READY_NOW;
  }
  void taskFailed(kj::Exception&&) override {}  // the receiver was closed
};

}  // namespace epochly::link

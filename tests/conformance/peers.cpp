#include "conformance/peers.h"

#include <chrono>

namespace epochly::conformance {

namespace {

std::string text(kj::ArrayPtr<const byte> bytes) { return std::string(bytes.asChars().begin(), bytes.size()); }
std::string text(kj::StringPtr chars) { return std::string(chars.begin(), chars.size()); }
kj::ArrayPtr<const byte> bytes(const std::string& text) {
  return kj::arrayPtr(reinterpret_cast<const byte*>(text.data()), text.size());
}

}  // namespace

bool Loop::until(kj::Function<bool()> condition) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
  }
  return true;
}

kj::Own<kj::AsyncIoStream> Loop::connect(const std::string& address) {
  auto text = address.starts_with("tcp://") ? address.substr(6) : address;
  auto parsed = io.provider->getNetwork().parseAddress(text.c_str()).wait(io.waitScope);
  return wait(parsed->connect());
}

void write(const HelloFields& fields, schema::Hello::Builder builder) {
  builder.setProtocolMin(fields.protocolMin);
  builder.setProtocolMax(fields.protocolMax);
  builder.setToken(bytes(fields.token));
  builder.setSoftware("conformance/0");
  builder.setHost(fields.host);
}

// ---- client --------------------------------------------------------------------------------------------------------

class Client::Sink final : public schema::ClientSink::Server {
 public:
  explicit Sink(Client& client) : client(client) {}

 protected:
  kj::Promise<void> results(ResultsContext context) override {
    auto batch = context.getParams().getBatch();
    client.batches++;
    for (auto result : batch.getResults()) client.results.push_back(read(result, batch.getPlacements()));
    if (!client.answersResults) return kj::NEVER_DONE;
    return kj::READY_NOW;
  }

 private:
  Client& client;

  static ReceivedResult read(schema::TaskResult::Reader result, capnp::List<schema::Placement>::Reader placements) {
    ReceivedResult received{.kind = ReceivedResult::Kind::CANCELLED, .seq = result.getSeq(), .attempt = result.getAttempt()};
    if (result.isValue()) {
      received.kind = ReceivedResult::Kind::VALUE;
      received.value = text(result.getValue().getPickle());
    } else if (result.isFailure()) {
      received.kind = ReceivedResult::Kind::FAILURE;
      received.code = static_cast<ErrorCode>(result.getFailure().getCode());
      received.message = text(result.getFailure().getMessage());
    }
    auto placement = placements[result.getPlacement()];
    received.levelRan = placement.getLevelRan();
    received.worker = text(placement.getWorker());
    for (auto declined : placement.getDeclined())
      received.declined.emplace_back(declined.getLevel(), text(declined.getReason()));
    return received;
  }
};

Client::Client(Loop& loop, const std::string& address, HelloFields hello, uint64_t wanted) : loop(loop) {
  auto& connection = wire.emplace(kj::heap<Wire>(loop, address));
  auto request = connection->gateway.openClientRequest();
  write(hello, request.initHello());
  request.setSpace(wanted);
  request.setSink(kj::heap<Sink>(*this));
  auto answer = loop.wait(request.send());
  space = answer.getSpace();
  opened = answer.getSession();
  sharedMemory = answer.getWelcome().getSharedMemory();
  httpUrl = text(answer.getWelcome().getHttpUrl());
}

kj::Promise<uint32_t> Client::submit(std::vector<TaskFields> tasks) {
  auto request = session().submitRequest();
  auto batch = request.initBatch();
  if (!isFunctionTold) {
    isFunctionTold = true;
    auto function = batch.initFunctions(1)[0];
    function.setId(1);
    function.setHashHigh(1);
    function.setHashLow(1);
    function.setName("tests.identity");
    function.setCode(bytes("code"));
  }
  auto list = batch.initTasks(tasks.size());
  for (size_t i = 0; i < tasks.size(); i++) {
    list[i].setSeq(tasks[i].seq);
    list[i].setFunction(tasks[i].function);
    list[i].setLevel(tasks[i].level);
    list[i].setRetriesMax(tasks[i].retries);
    list[i].initArguments().setPickle(bytes(tasks[i].pickle));
  }
  return request.send().then([](auto&& answer) { return answer.getReceipt().getAccepted(); });
}

kj::Promise<uint32_t> Client::submit(uint64_t firstSeq, uint count) {
  std::vector<TaskFields> tasks;
  for (uint i = 0; i < count; i++) {
    tasks.push_back(TaskFields{.seq = firstSeq + i, .pickle = "args " + std::to_string(firstSeq + i)});
  }
  return submit(std::move(tasks));
}

std::vector<uint64_t> Client::seqs() const {
  std::vector<uint64_t> seqs;
  for (auto& result : results) seqs.push_back(result.seq);
  return seqs;
}

// ---- worker --------------------------------------------------------------------------------------------------------

class Worker::Sink final : public schema::WorkerSink::Server {
 public:
  explicit Sink(Worker& worker) : worker(worker) {}

 protected:
  kj::Promise<void> run(RunContext context) override {
    auto batch = context.getParams().getBatch();
    worker.runCalls++;
    for (auto function : batch.getFunctions()) worker.functionNames.push_back(text(function.getName()));
    std::vector<Assigned> attempts;
    for (auto assignment : batch.getAssignments()) {
      attempts.push_back({readTaskId(assignment.getTask()), assignment.getAttempt(), assignment.getLevel(),
                          text(assignment.getArguments().getPickle())});
    }
    if (!worker.holds) return worker.answer(attempts);
    worker.held.insert(worker.held.end(), attempts.begin(), attempts.end());
    return kj::READY_NOW;
  }

  kj::Promise<void> cancel(CancelContext context) override {
    for (auto name : context.getParams().getAttempts()) {
      worker.cancelled.emplace_back(readTaskId(name.getTask()), name.getAttempt());
    }
    return kj::READY_NOW;
  }

 private:
  Worker& worker;
};

Worker::Worker(Loop& loop, const std::string& address, Fields fields) : loop(loop) {
  auto& connection = wire.emplace(kj::heap<Wire>(loop, address));
  auto request = connection->gateway.joinWorkerRequest();
  write(fields.hello, request.initHello());
  auto info = request.initInfo();
  info.setName(fields.name);
  info.setHost(fields.host);
  info.setPythonVersion(fields.python);
  auto capabilities = info.initCapabilities(fields.slots.size());
  uint i = 0;
  for (auto [level, slots] : fields.slots) {
    capabilities[i].setLevel(level);
    capabilities[i++].setSlots(slots);
  }
  request.setSink(kj::heap<Sink>(*this));
  auto answer = loop.wait(request.send());
  id = answer.getWorkerId();
  joined = answer.getSession();
  heartbeat = answer.getWelcome().getHeartbeatMs() * kj::MILLISECONDS;
  if (fields.beats) beating = beatForEver().eagerlyEvaluate([](kj::Exception&&) {});
}

kj::Promise<void> Worker::answer(const std::vector<Assigned>& attempts) {
  if (attempts.empty()) return kj::READY_NOW;
  auto request = session().resultsRequest();
  auto results = request.initBatch().initResults(attempts.size());
  for (size_t i = 0; i < attempts.size(); i++) {
    writeTaskId(attempts[i].task, results[i].initTask());
    results[i].setAttempt(attempts[i].attempt);
    results[i].setLevelRan(attempts[i].level);
    results[i].initValue().setPickle(bytes(attempts[i].pickle));
    auto timings = results[i].initTimings();
    timings.setRun(5'000);
    timings.setCpu(4'000);
  }
  return request.send().ignoreResult();
}

kj::Promise<void> Worker::fail(const Assigned& attempt, ErrorCode code, const std::string& message, bool notRun) {
  auto request = session().resultsRequest();
  auto result = request.initBatch().initResults(1)[0];
  writeTaskId(attempt.task, result.initTask());
  result.setAttempt(attempt.attempt);
  result.setLevelRan(attempt.level);
  result.setNotRun(notRun);
  auto failure = result.initFailure();
  failure.setCode(static_cast<uint16_t>(code));
  failure.setMessage(message);
  return request.send().ignoreResult();
}

kj::Promise<void> Worker::beat() {
  auto request = session().heartbeatRequest();
  request.initLoad();
  return request.send().ignoreResult();
}

kj::Promise<void> Worker::beatForEver() {
  return beat().then([this]() { return loop.io.provider->getTimer().afterDelay(heartbeat / 2); }).then([this]() {
    return beatForEver();
  });
}

}  // namespace epochly::conformance

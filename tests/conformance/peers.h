// A client and a worker that speak the real protocol, without Python.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include "scheduler.capnp.h"
#include "wire/errors.h"
#include "wire/task_spec.h"

namespace epochly::conformance {

// The test's side of everything: one loop, which has to be run for anything to happen.
struct Loop {
  kj::AsyncIoContext io = kj::setupAsyncIo();

  // Throws if `promise` takes more than 10 s.
  template <typename T>
  T wait(kj::Promise<T>&& promise) {
    return io.provider->getTimer().timeoutAfter(10 * kj::SECONDS, kj::mv(promise)).wait(io.waitScope);
  }
  // Runs the loop until `condition` holds; false after 10 s.
  bool until(kj::Function<bool()> condition);
  kj::Own<kj::AsyncIoStream> connect(const std::string& address);
};

struct HelloFields {
  uint16_t protocolMin = PROTOCOL_MIN;
  uint16_t protocolMax = PROTOCOL_MAX;
  std::string token;
  uint64_t host = 0;
};
void write(const HelloFields& fields, schema::Hello::Builder builder);

// A connection to a scheduler with its bootstrap interface.
struct Wire {
  kj::Own<kj::AsyncIoStream> stream;
  capnp::TwoPartyClient rpc;
  schema::Gateway::Client gateway;

  Wire(Loop& loop, const std::string& address)
      : stream(loop.connect(address)), rpc(*stream), gateway(rpc.bootstrap().castAs<schema::Gateway>()) {}
};

struct ReceivedResult {
  enum class Kind { VALUE, FAILURE, CANCELLED } kind;
  uint64_t seq;
  std::string value;  // the pickle
  ErrorCode code = ErrorCode::NONE;
  std::string message;
  uint attempt;
  uint levelRan;
  std::string worker;
  std::vector<std::pair<uint, std::string>> declined;
};

struct TaskFields {
  uint64_t seq = 0;
  uint32_t function = 1;
  int8_t level = 0;
  uint16_t retries = 0;
  std::string pickle = "x";
};

// Owned by the test; ends its connection with itself.
class Client {
 public:
  Client(Loop& loop, const std::string& address, HelloFields hello = {}, uint64_t space = 0);

  uint64_t space = 0;
  std::vector<ReceivedResult> results;  // in the order of their arrival
  size_t batches = 0;
  bool answersResults = true;  // false: takes results and acknowledges none
  bool sharedMemory = false;   // as Welcome said
  std::string httpUrl;

  // Function 1 is told along with the first submission.
  kj::Promise<uint32_t> submit(std::vector<TaskFields> tasks);
  kj::Promise<uint32_t> submit(uint64_t firstSeq, uint count);
  schema::ClientSession::Client& session() { return KJ_ASSERT_NONNULL(opened); }
  // Cuts the connection without a word.
  void disconnect() {
    opened = nullptr;
    wire = nullptr;
  }
  std::vector<uint64_t> seqs() const;

 private:
  class Sink;
  Loop& loop;
  kj::Maybe<kj::Own<Wire>> wire;
  kj::Maybe<schema::ClientSession::Client> opened;
  bool isFunctionTold = false;
};

struct Assigned {
  TaskId task;
  uint32_t attempt;
  uint level;
  std::string pickle;
};

// Answers what it is given with its arguments, or holds it until told.
class Worker {
 public:
  struct Fields {
    std::string name = "fake";
    std::map<uint, uint> slots{{0, 2}};  // by level
    uint64_t host = 0;
    uint16_t python = 0x30b;
    bool beats = true;  // while the loop runs
    HelloFields hello;
  };

  Worker(Loop& loop, const std::string& address) : Worker(loop, address, Fields()) {}
  Worker(Loop& loop, const std::string& address, Fields fields);

  uint64_t id = 0;
  bool holds = false;
  std::deque<Assigned> held;
  std::vector<std::pair<TaskId, uint32_t>> cancelled;
  std::vector<std::string> functionNames;
  size_t runCalls = 0;

  kj::Promise<void> answer(const std::vector<Assigned>& attempts);
  kj::Promise<void> fail(const Assigned& attempt, ErrorCode code, const std::string& message, bool notRun = false);
  kj::Promise<void> beat();
  schema::WorkerSession::Client& session() { return KJ_ASSERT_NONNULL(joined); }
  void disconnect() {
    joined = nullptr;
    wire = nullptr;
  }

 private:
  class Sink;
  Loop& loop;
  kj::Maybe<kj::Own<Wire>> wire;
  kj::Maybe<schema::WorkerSession::Client> joined;
  kj::Duration heartbeat;
  kj::Promise<void> beating = kj::READY_NOW;

  kj::Promise<void> beatForEver();
};

// What `act` throws; its code is NONE if it throws nothing.
template <typename Act>
kj::Exception errorOf(Act&& act) {
  KJ_IF_MAYBE(thrown, kj::runCatchingExceptions([&]() { act(); })) {
    return kj::mv(*thrown);
  }
  return kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::str("[none] it succeeded"));
}

}  // namespace epochly::conformance

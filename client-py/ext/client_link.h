// The client's connection: submits, receives, reconnects.
#pragma once

#include <condition_variable>
#include <mutex>
#include <random>

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include "ext/client_batch.h"
#include "ext/client_inbox.h"
#include "ext/client_ledger.h"
#include "rt/address.h"

namespace epochly::client {

// Durations that end a wait. Configurable for the tests.
struct Patience {
  // One attempt to connect and shake hands: three retransmitted packets.
  kj::Duration handshake = 10 * kj::SECONDS;
  // The first connection, all attempts together; 0: one attempt.
  kj::Duration connect = 5 * kj::SECONDS;
  // How long a lost connection is tried again before its tasks are given up: the scheduler's Limits::clientGrace.
  kj::Duration reconnect = 30 * kj::SECONDS;
  // With tasks pending and nothing heard for so long, the scheduler is asked for a sign of life ...
  kj::Duration silence = 5 * kj::SECONDS;
  // ... and taken for gone when none comes: longer than any stall of its loop.
  kj::Duration signOfLife = 15 * kj::SECONDS;
  // Waited for the scheduler's answer to a close(): it cancels what is left.
  kj::Duration close = 1 * kj::SECONDS;
};

// First delay before trying again, doubled each time up to the second, jittered by half: a restarted scheduler is found in
// a second, and a thousand clients do not come at once.
constexpr kj::Duration RECONNECT_DELAY = 20 * kj::MILLISECONDS;
constexpr kj::Duration RECONNECT_DELAY_MAX = 1 * kj::SECONDS;
// The same for a submission that met a full queue, from what the receipt asks for.
constexpr kj::Duration REFUSED_DELAY_MAX = 1 * kj::SECONDS;

// What the scheduler said of itself, and whether it can be reached. Thread-safe.
class LinkStatus {
 public:
  struct Facts {
    bool connected = false;
    bool failed = false;  // the first connection did not come about, or the scheduler will not have us
    Failure failure;      // then
    kj::String software;
    kj::String httpUrl;
    uint64_t space = 0;
    uint64_t reconnects = 0;
    uint64_t refusals = 0;  // submissions that met a full queue
  };
  // False: `until` passed and neither happened.
  bool awaitSettled(Ledger::Clock::time_point until);
  Facts facts() const;
  void update(kj::Function<void(Facts&)> change);

  // Read by every submit() with large buffers.
  std::atomic<bool> sharedMemory{false};

 private:
  mutable std::mutex mutex;
  std::condition_variable changed;
  Facts now;
};

// A question to the scheduler, asked by a Python thread. Thread-safe.
class Question {
 public:
  enum class About : uint8_t { WORKERS, FUNCTIONS, TOTALS, EXPLAIN };
  Question(About about, uint64_t seq) : about(about), seq(seq) {}
  const About about;
  const uint64_t seq;  // EXPLAIN

  void answer(kj::Array<capnp::word> words);
  void fail(Failure failure);
  bool await(Ledger::Clock::time_point until);
  // Once await() has returned true: the answer's message (the method's results struct), or throws its kj exception.
  kj::Array<capnp::word> take();

 private:
  std::mutex mutex;
  std::condition_variable changed;
  bool answered = false;
  kj::Array<capnp::word> words;
  kj::Maybe<Failure> failure;
};

struct LinkOptions {
  rt::Address address;
  kj::Array<byte> token;
  kj::String software;
  Patience patience;
};

// Lives on the client's loop; every member function is called there. Tells the Python threads through `ledger` and `status`.
class Link final : public kj::TaskSet::ErrorHandler {
 public:
  Link(kj::AsyncIoContext& io, Ledger& ledger, LinkStatus& status, RegionOpener& regions, const LinkOptions& options);
  ~Link() noexcept(false);
  KJ_DISALLOW_COPY(Link);

  // Connects, and again whenever the connection is lost. Resolves when the scheduler will not have us.
  kj::Promise<void> run();
  // Sends what is queued, unless a submission is under way: one at a time, because a seq must never overtake a lower one.
  void pump();
  void ask(std::shared_ptr<Question> question);
  // Tells the scheduler to forget this client. Resolves when it has, or when patience is at an end.
  kj::Promise<void> close();

 private:
  struct Connection;
  class Sink;

  kj::AsyncIoContext& io;
  kj::Timer& timer;
  Ledger& ledger;
  LinkStatus& status;
  RegionOpener& regions;
  const LinkOptions& options;
  std::minstd_rand random;

  uint64_t space = 0;  // 0: none given yet
  kj::Maybe<kj::Own<Connection>> connection;
  std::vector<TaskSpec> batch;  // taken from the ledger and not accepted yet
  size_t singles = 0;           // first tasks of `batch` to be sent one by one: one of them was refused for good
  bool submitting = false;
  bool waitingToSubmit = false;  // a submission met a full queue
  uint refusedInARow = 0;
  kj::TimePoint lastHeard = kj::origin<kj::TimePoint>();

  // ---- connecting ----
  kj::Promise<void> connectUntil(kj::TimePoint deadline, uint attempt, bool first);
  kj::Promise<void> connectOnce();
  void onConnected(schema::Gateway::OpenClientResults::Reader results);
  void onFreshSpace();
  kj::Promise<void> onCannotConnect(kj::Exception why, kj::TimePoint deadline, uint attempt, bool first);
  kj::Promise<void> refusedForGood(const kj::Exception& why);
  kj::Promise<void> stayConnected();
  kj::Promise<void> watchSilence();
  void onLost();
  kj::Duration jittered(kj::Duration delay, uint doublings, kj::Duration max);

  // ---- submitting ----
  kj::Promise<void> submit(Plan plan);
  void onReceipt(const Plan& plan, schema::Receipt::Reader receipt);
  void onRefused(const Plan& plan, const kj::Exception& why);
  void submitLater(kj::Duration delay);
  void tellCancelled();
  void dropFirst(size_t tasks, size_t bytes);

  // What belongs to the present connection; goes with it. Last: its continuations use the rest.
  kj::Own<kj::TaskSet> tasks;

  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace epochly::client

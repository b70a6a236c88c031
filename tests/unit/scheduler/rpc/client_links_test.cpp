// Results on their way to a client; the connection is a local capability.
#include "rpc/client_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/async.h>
#include <kj/debug.h>

#include "support/sched_env.h"
#include "wire/task_spec.h"

namespace epochly::rpc {
namespace {

using test::CountingRandom;
using test::RecordingPorts;
using testing::ElementsAre;

class FakeClock final : public kj::MonotonicClock {
 public:
  kj::TimePoint now() const override { return kj::origin<kj::TimePoint>() + 1 * kj::HOURS; }
};

struct Received {
  std::vector<size_t> batches;  // results of each
  kj::Vector<kj::Own<kj::PromiseFulfiller<void>>> unanswered;
  bool answers = true;
};

class Sink final : public schema::ClientSink::Server {
 public:
  explicit Sink(Received& received) : received(received) {}

 protected:
  kj::Promise<void> results(ResultsContext context) override {
    received.batches.push_back(context.getParams().getBatch().getResults().size());
    if (received.answers) return kj::READY_NOW;
    auto paf = kj::newPromiseAndFulfiller<void>();
    received.unanswered.add(kj::mv(paf.fulfiller));
    return kj::mv(paf.promise);
  }

 private:
  Received& received;
};

// A real core behind real links; the workers' side is recorded, one worker takes everything.
struct Env {
  kj::EventLoop loop;
  kj::WaitScope scope{loop};
  FakeClock clock;
  core::Core core;
  RecordingPorts others;
  CountingRandom random;
  core::Observer observer;
  classify::Thresholds thresholds;
  ClientLinks links{core, clock};
  events::Events events{core, core::Ports{others, links, others, others, random}, observer, thresholds};
  WorkerId worker;
  uint64_t lastSeq = 0;
  std::vector<std::string> closed;

  Env() {
    links.bind(events);
    events.onFunction(events::NewFunction{.hash = FunctionHash{0, 1}, .name = kj::str("f"), .code = kj::heapArray<byte>(1)});
    worker = events.onJoin(test::WorkerBuilder().cpus(100'000).build(), clock.now());
  }

  ClientLinks::Attachment attach(Received& received, SpaceId space = SpaceId()) {
    return links.attach(space, HostId(), kj::heap<Sink>(received),
                        [this](kj::StringPtr why) { closed.push_back(why.cStr()); });
  }
  // `count` tasks that end at once with a result of `bytes`.
  void run(SpaceId space, uint count, size_t bytes = 8) {
    std::vector<events::NewTask> tasks(count);
    for (auto& task : tasks) {
      task.seq = ++lastSeq;
      task.function = FunctionHash{0, 1};
      task.level = 0;
    }
    events.onSubmit(space, kj::arrayPtr(tasks.data(), tasks.size()), clock.now());
    std::vector<events::AttemptReport> reports(count);
    for (uint i = 0; i < count; i++) {
      reports[i].task = TaskId{space, lastSeq - count + 1 + i};
      reports[i].attempt = Attempt(1);
      reports[i].value.pickle = kj::heapArray<byte>(bytes);
    }
    events.onResults(worker, kj::arrayPtr(reports.data(), reports.size()), clock.now());
  }
  const core::Client& client(SpaceId space) const { return core.clients.at(space); }
};

TEST(ClientLinks, ResultsOfATurnAreOneBatchAndForgottenOnceAcknowledged) {
  Env env;
  Received received;
  auto space = env.attach(received).space;
  env.run(space, 30);
  env.run(space, 20);
  EXPECT_TRUE(received.batches.empty()) << "ports only take notes";
  env.scope.poll();
  EXPECT_THAT(received.batches, ElementsAre(50u));
  EXPECT_TRUE(env.client(space).results.empty());
}

TEST(ClientLinks, AcknowledgementsOutOfOrderWaitForTheEarlierOnes) {
  Env env;
  Received received;
  received.answers = false;
  auto space = env.attach(received).space;
  for (uint count : {1, 2, 3}) {
    env.run(space, count);
    env.scope.poll();
  }
  EXPECT_THAT(received.batches, ElementsAre(1u, 2u, 3u));
  received.unanswered[2]->fulfill();
  env.scope.poll();
  EXPECT_EQ(env.client(space).results.size(), 6u) << "the oldest is not acknowledged";
  received.unanswered[0]->fulfill();
  env.scope.poll();
  EXPECT_EQ(env.client(space).results.size(), 5u);
  received.unanswered[1]->fulfill();
  env.scope.poll();
  EXPECT_EQ(env.client(space).results.size(), 0u);
}

TEST(ClientLinks, WhatIsNotAcknowledgedIsBoundedAndTheRestFollows) {
  Env env;
  Received received;
  received.answers = false;
  auto space = env.attach(received).space;
  constexpr uint COUNT = 20;
  env.run(space, COUNT, BATCH_BYTES_TARGET);
  env.scope.poll();
  EXPECT_EQ(received.batches.size(), CLIENT_BYTES_IN_FLIGHT_MAX / BATCH_BYTES_TARGET);
  EXPECT_EQ(env.client(space).results.size(), COUNT) << "kept until acknowledged";
  received.answers = true;
  for (auto& answer : received.unanswered) answer->fulfill();
  env.scope.poll();
  EXPECT_EQ(received.batches.size(), COUNT);
  EXPECT_TRUE(env.client(space).results.empty());
}

TEST(ClientLinks, ALostClientGetsItsResultsAgain) {
  Env env;
  Received first, second;
  first.answers = false;
  auto attachment = env.attach(first);
  env.run(attachment.space, 3);
  env.scope.poll();
  env.links.detach(attachment);
  EXPECT_FALSE(env.client(attachment.space).connected);
  env.run(attachment.space, 2);
  EXPECT_EQ(env.attach(second, attachment.space).space, attachment.space);
  env.scope.poll();
  EXPECT_THAT(second.batches, ElementsAre(5u));
  first.unanswered[0]->fulfill();  // an echo of the old connection acknowledges nothing
  env.scope.poll();
  env.core.checkInvariants();
}

TEST(ClientLinks, ASecondConnectionVoidsTheFirst) {
  Env env;
  Received first, second;
  auto old = env.attach(first);
  env.attach(second, old.space);
  EXPECT_EQ(env.closed.size(), 1u);
  env.links.detach(old);  // the first connection's end
  env.links.forget(old);
  EXPECT_TRUE(env.client(old.space).connected) << "the second is there";
  env.run(old.space, 1);
  env.scope.poll();
  EXPECT_TRUE(first.batches.empty());
  EXPECT_THAT(second.batches, ElementsAre(1u));
}

TEST(ClientLinks, AClientThatRefusesItsResultsIsClosed) {
  Env env;
  Received received;
  received.answers = false;
  auto attachment = env.attach(received);
  env.run(attachment.space, 1);
  env.scope.poll();
  received.unanswered[0]->reject(KJ_EXCEPTION(FAILED, "no"));
  env.scope.poll();
  ASSERT_EQ(env.closed.size(), 1u);
  EXPECT_EQ(env.client(attachment.space).results.size(), 1u) << "nothing is lost by it";
}

TEST(ClientLinks, AForgottenNamespaceIsGone) {
  Env env;
  Received received;
  auto attachment = env.attach(received);
  env.links.forget(attachment);
  EXPECT_EQ(env.core.clients.count(attachment.space), 0u);
  env.scope.poll();
}

}  // namespace
}  // namespace epochly::rpc

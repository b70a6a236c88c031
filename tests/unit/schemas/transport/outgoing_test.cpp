#include "transport/outgoing.h"

#include <deque>

#include <capnp/message.h>
#include <capnp/rpc.capnp.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <kj/debug.h>

namespace epochly::transport {
namespace {

using capnp::rpc::Message;
using testing::ElementsAre;
using testing::IsEmpty;

// Writes are noted, each with the messages in it, and end when the test says so.
class Written final : public kj::AsyncOutputStream {
 public:
  std::vector<std::vector<std::string>> writes;
  bool isSlow = false;
  bool isBroken = false;
  std::deque<kj::Own<kj::PromiseFulfiller<void>>> unfinished;

  kj::Promise<void> write(const void* buffer, size_t size) override {
    note(kj::arrayPtr(static_cast<const byte*>(buffer), size));
    return done();
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const byte>> pieces) override {
    kj::Vector<byte> all;
    for (auto piece : pieces) all.addAll(piece);
    note(all);
    return done();
  }
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }

 private:
  kj::Promise<void> done() {
    KJ_REQUIRE(!isBroken);
    if (!isSlow) return kj::READY_NOW;
    auto paf = kj::newPromiseAndFulfiller<void>();
    unfinished.push_back(kj::mv(paf.fulfiller));
    return kj::mv(paf.promise);
  }
  void note(kj::ArrayPtr<const byte> bytes) {
    std::vector<std::string> names;
    auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
    memcpy(words.begin(), bytes.begin(), bytes.size());
    kj::ArrayPtr<const capnp::word> rest = words;
    while (rest.size() > 0) {
      capnp::FlatArrayMessageReader reader(rest);
      names.push_back(std::to_string(uint(reader.getRoot<Message>().which())));
      rest = kj::arrayPtr(reader.getEnd(), rest.end());
    }
    writes.push_back(names);
  }
};

const std::string FINISH = std::to_string(uint(Message::FINISH)), RETURN = std::to_string(uint(Message::RETURN)),
                  CALL = std::to_string(uint(Message::CALL)), RELEASE = std::to_string(uint(Message::RELEASE));

struct Env {
  kj::EventLoop loop;
  kj::WaitScope scope{loop};
  kj::TimerImpl timer{kj::origin<kj::TimePoint>()};
  Written written;
  Outgoing outgoing{written, timer};

  kj::Promise<void> write(capnp::MessageBuilder& message) { return outgoing.write(message.getSegmentsForOutput()); }
  void pass(kj::Duration time) {
    timer.advanceTo(timer.now() + time);
    scope.poll();
  }
};

struct Finish : capnp::MallocMessageBuilder {
  Finish() { initRoot<Message>().initFinish().setQuestionId(7); }
};
struct Release : capnp::MallocMessageBuilder {
  Release() { initRoot<Message>().initRelease().setReferenceCount(1); }
};
struct Call : capnp::MallocMessageBuilder {
  explicit Call(size_t bytes = 0) { initRoot<Message>().initCall().initParams().getContent().initAs<capnp::Data>(bytes); }
};
struct Acknowledgement : capnp::MallocMessageBuilder {
  Acknowledgement() { initRoot<Message>().initReturn().initResults(); }
};
struct Answer : capnp::MallocMessageBuilder {
  Answer() { initRoot<Message>().initReturn().initResults().getContent().setAs<capnp::Text>("a receipt"); }
};

TEST(Outgoing, WhatNobodyWaitsForTravelsWithTheNextMessage) {
  Env env;
  Finish finish;
  Release release;
  Acknowledgement acknowledgement;
  Call call;
  env.write(finish).wait(env.scope);
  env.write(release).wait(env.scope);
  env.write(acknowledgement).wait(env.scope);
  EXPECT_THAT(env.written.writes, IsEmpty());
  env.write(call).wait(env.scope);
  EXPECT_THAT(env.written.writes, ElementsAre(ElementsAre(FINISH, RELEASE, RETURN, CALL)));
}

TEST(Outgoing, WhatSomeoneWaitsForIsSentAtOnce) {
  Env env;
  Call call;
  Answer answer;
  capnp::MallocMessageBuilder error, abort;
  error.initRoot<Message>().initReturn().initException().setReason("no");
  abort.initRoot<Message>().initAbort().setReason("no");
  for (capnp::MessageBuilder* message : std::initializer_list<capnp::MessageBuilder*>{&call, &answer, &error, &abort}) {
    env.write(*message).wait(env.scope);
  }
  EXPECT_EQ(env.written.writes.size(), 4u);
}

TEST(Outgoing, NothingIsHeldLongerThanItsBound) {
  Env env;
  Finish first, second;
  env.write(first).wait(env.scope);
  env.pass(BEHIND_MAX / 2);
  env.write(second).wait(env.scope);
  env.pass(BEHIND_MAX / 2 - 1 * kj::MICROSECONDS);
  EXPECT_THAT(env.written.writes, IsEmpty());
  env.pass(1 * kj::MICROSECONDS);
  EXPECT_THAT(env.written.writes, ElementsAre(ElementsAre(FINISH, FINISH)));
}

TEST(Outgoing, NoMoreIsHeldThanItsBound) {
  Env env;
  Finish finish;
  size_t count = 0;
  while (env.written.writes.empty() && count <= BEHIND_BYTES_MAX) {
    env.write(finish).wait(env.scope);
    count++;
  }
  size_t bytes = capnp::computeSerializedSizeInWords(finish) * sizeof(capnp::word);
  EXPECT_EQ(count, BEHIND_BYTES_MAX / bytes + 1);
  EXPECT_EQ(env.written.writes[0].size(), count);
}

TEST(Outgoing, ATimeThatComesAfterAllWasSentSendsNothing) {
  Env env;
  Finish finish;
  Call call;
  env.write(finish).wait(env.scope);
  env.write(call).wait(env.scope);
  env.pass(BEHIND_MAX);
  EXPECT_EQ(env.written.writes.size(), 1u);
  env.write(finish).wait(env.scope);
  env.pass(BEHIND_MAX);
  EXPECT_EQ(env.written.writes.size(), 2u) << "the time runs again";
}

TEST(Outgoing, EachWriteStartsTheTimeAnew) {
  Env env;
  Finish finish;
  Call call;
  env.write(finish).wait(env.scope);
  env.pass(BEHIND_MAX / 2);
  env.write(call).wait(env.scope);
  env.write(finish).wait(env.scope);
  env.pass(BEHIND_MAX / 2);
  EXPECT_EQ(env.written.writes.size(), 1u) << "the second was held for half of the time";
}

TEST(Outgoing, AMessageWaitsForTheEndOfTheWriteThatTimeBegan) {
  Env env;
  Finish finish;
  Call call;
  env.written.isSlow = true;
  env.write(finish).wait(env.scope);
  env.pass(BEHIND_MAX);
  ASSERT_EQ(env.written.writes.size(), 1u);
  auto writing = env.write(call);
  env.scope.poll();
  EXPECT_EQ(env.written.writes.size(), 1u);
  env.written.unfinished.front()->fulfill();
  env.scope.poll();
  EXPECT_THAT(env.written.writes, ElementsAre(ElementsAre(FINISH), ElementsAre(CALL)));
  env.written.unfinished.back()->fulfill();
  writing.wait(env.scope);
}

TEST(Outgoing, AWriteThatFailedUnseenFailsTheNext) {
  Env env;
  Finish finish;
  Call call;
  env.written.isSlow = true;
  env.write(finish).wait(env.scope);
  env.pass(BEHIND_MAX);
  env.written.unfinished.front()->reject(KJ_EXCEPTION(DISCONNECTED, "gone"));
  env.scope.poll();
  EXPECT_TRUE(kj::runCatchingExceptions([&]() { env.write(call).wait(env.scope); }) != nullptr);
}

TEST(Outgoing, AStreamThatFailsAtOnceUnseenFailsTheNextWrite) {
  Env env;
  Finish finish;
  Call call;
  env.write(finish).wait(env.scope);
  env.written.isBroken = true;
  env.pass(BEHIND_MAX);
  env.written.isBroken = false;
  EXPECT_TRUE(kj::runCatchingExceptions([&]() { env.write(call).wait(env.scope); }) != nullptr);
}

TEST(Outgoing, WhatIsHeldAtTheEndIsOfferedOnce) {
  Env env;
  Finish finish;
  {
    Outgoing ending(env.written, env.timer);
    ending.write(finish.getSegmentsForOutput()).wait(env.scope);
  }
  EXPECT_THAT(env.written.writes, ElementsAre(ElementsAre(FINISH)));
  env.written.isBroken = true;
  Outgoing broken(env.written, env.timer);
  broken.write(finish.getSegmentsForOutput()).wait(env.scope);
}

TEST(Outgoing, FlushSendsWhatIsHeldAndNothingElse) {
  Env env;
  Finish finish;
  env.outgoing.flush().wait(env.scope);
  EXPECT_THAT(env.written.writes, IsEmpty());
  env.write(finish).wait(env.scope);
  env.outgoing.flush().wait(env.scope);
  EXPECT_THAT(env.written.writes, ElementsAre(ElementsAre(FINISH)));
}

TEST(Outgoing, LargeMessagesAndSeveralSegmentsKeepTheirBytes) {
  Env env;
  capnp::MallocMessageBuilder message(8, capnp::AllocationStrategy::FIXED_SIZE);
  auto content = message.initRoot<Message>().initCall().initParams().getContent();
  content.initAs<capnp::Data>(100'000)[99'999] = 42;
  ASSERT_GT(message.getSegmentsForOutput().size(), 1u);
  Finish finish;
  env.write(finish).wait(env.scope);
  env.write(message).wait(env.scope);
  EXPECT_THAT(env.written.writes, ElementsAre(ElementsAre(FINISH, CALL)));
}

}  // namespace
}  // namespace epochly::transport

// What a connection and those who serve it know of each other.
#pragma once

#include <kj/async.h>
#include <kj/function.h>
#include <kj/refcount.h>
#include <kj/string.h>

#include "transport/framed_stream.h"
#include "wire/ids.h"
#include "wire/task_spec.h"

namespace epochly::rpc {

// Shared by a connection, its gateway and its session; any of them may end it. Lives on the scheduler's kj loop.
class Peer final : public kj::Refcounted, public transport::StreamOwner {
 public:
  Peer(kj::String name, kj::Own<kj::PromiseFulfiller<void>> closer, kj::Function<void()> onGreeted)
      : name(kj::mv(name)), closer(kj::mv(closer)), onGreeted(kj::mv(onGreeted)) {}

  const kj::String name;  // "unix socket" or "10.0.0.7:51234", for the log
  uint helloCount = 0;    // tried so far

  // Its Hello was accepted and it has a session, the only one in its life. Larger messages may follow.
  void greet(HostId from) {
    host = from;
    greeted = true;
    onGreeted();
  }
  bool isGreeted() const { return greeted; }
  HostId hostId() const { return host; }  // 0 until greeted

  // Ends the connection on a later turn of the loop; of several reasons the first is kept.
  void close(kj::StringPtr why) {
    noteEnd(why);
    closer->fulfill();
  }
  void noteEnd(kj::StringPtr why) {
    if (endedWhy == nullptr) endedWhy = kj::str(why);
  }
  // A stranger may not make us take much memory.
  Bound messageBound() override {
    return greeted ? Bound{MESSAGE_BYTES_MAX, ""} : Bound{HANDSHAKE_BYTES_MAX, " before a Hello is accepted"};
  }
  void onMalformed(kj::StringPtr why) override {
    if (endedWhy == nullptr) malformed = true;
    noteEnd(why);
  }
  void onAbort(kj::StringPtr why) override { onMalformed(why); }
  bool wasMalformed() const { return malformed; }
  kj::Maybe<kj::StringPtr> end() const {
    return endedWhy.map([](auto& why) { return kj::StringPtr(why); });
  }

 private:
  kj::Own<kj::PromiseFulfiller<void>> closer;
  kj::Function<void()> onGreeted;
  bool greeted = false;
  bool malformed = false;
  HostId host;
  kj::Maybe<kj::String> endedWhy;
};

}  // namespace epochly::rpc

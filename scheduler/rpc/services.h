// What the RPC front needs of the rest of the scheduler, put together by main.
#pragma once

#include <kj/async.h>
#include <kj/function.h>
#include <kj/time.h>

#include "events/events.h"
#include "scheduler.capnp.h"
#include "wire/token.h"

namespace epochly::rpc {

class ClientLinks;

// Closes a connection on a later turn of the loop.
using Close = kj::Function<void(kj::StringPtr why)>;

struct Joined {
  WorkerId worker;
  schema::WorkerSession::Client session;
};

// Counted since the start, for metrics.
struct Figures {
  uint64_t connections = 0;         // open now
  uint64_t connectionsRefused = 0;  // a bound was met, or no hello came in time
  uint64_t connectionsMalformed = 0;
  uint64_t hellosRefused = 0;
  uint64_t calls = 0;  // of every method of the sessions and the gateway
};

// Lives as long as the listener. Everything in it is used on the scheduler's kj loop only.
struct Services {
  core::Core& core;
  events::Events& events;
  ClientLinks& clients;
  const classify::Thresholds& thresholds;
  const kj::MonotonicClock& clock;
  // Resolves once what has been accepted is safe (store::Store::committed).
  kj::Function<kj::Promise<void>()> committed;
  // dispatch's way to take a worker in; throws what events throw.
  kj::Function<Joined(schema::WorkerInfo::Reader info, schema::WorkerSink::Client sink, Close close)> joinWorker;
  kj::Maybe<const Token&> token;  // every connection needs it
  kj::String httpUrl;             // empty: REST is off
  Figures figures;
};

// A peer can hand buffers over in shared memory if a worker that gets work can open it.
bool sharesMemory(const core::Core& core, HostId peer);

}  // namespace epochly::rpc

// The scheduler's connections to its clients: results that became ready are written once per loop turn, in batches.
#pragma once

#include <deque>
#include <unordered_map>

#include <kj/async.h>

#include "rpc/services.h"

namespace epochly::rpc {

// Written to one client and not yet acknowledged. A client that reads takes 4 MiB in 2 ms; of one that does not, this much is
// held twice, the rest waits in the core, where Limits::resultBytesMax bounds it.
constexpr size_t CLIENT_BYTES_IN_FLIGHT_MAX = 4u << 20;

// Lives on the scheduler's kj loop. Implements the core's ClientPort by taking notes only.
class ClientLinks final : public core::ClientPort, private kj::TaskSet::ErrorHandler {
 public:
  // A namespace on one connection. A later connection that resumes the namespace makes this one void.
  struct Attachment {
    SpaceId space;
    uint64_t number;
  };

  ClientLinks(const core::Core& core, const kj::MonotonicClock& clock);
  ~ClientLinks() noexcept override {}
  KJ_DISALLOW_COPY(ClientLinks);
  // Before anything else: events need their ports first.
  void bind(events::Events& target) { events = &target; }

  // Opens a namespace, or resumes one: then its previous connection is closed. Throws what Events::onClientOpen throws.
  Attachment attach(SpaceId wanted, HostId host, schema::ClientSink::Client sink, Close close);
  // The connection is gone; the namespace waits for the client to return. Nothing happens if the attachment is void.
  void detach(const Attachment& attachment);
  // The client wants its namespace forgotten.
  void forget(const Attachment& attachment);

  // ---- core::ClientPort ----
  void resultsReady(SpaceId space) override;

 private:
  // A Results call that has not returned. The core forgets results oldest first, so a later batch waits for an earlier one.
  struct InFlight {
    size_t count;
    size_t bytes;
    bool isAcknowledged;
  };

  struct Link {
    uint64_t number;
    schema::ClientSink::Client sink;
    Close close;
    std::deque<InFlight> inFlight;
    uint64_t firstBatch = 0;  // number of inFlight.front()
    size_t bytesInFlight = 0;
    bool isDirty = false;  // in `dirty`
  };

  const core::Core& core;
  const kj::MonotonicClock& clock;
  events::Events* events = nullptr;
  std::unordered_map<SpaceId, kj::Own<Link>> links;
  uint64_t lastNumber = 0;
  kj::Vector<SpaceId> dirty;
  bool isFlushScheduled = false;
  kj::TaskSet tasks;

  Link* find(SpaceId space, uint64_t number);
  void flush();
  void write(SpaceId space, Link& link);
  void sendBatch(SpaceId space, Link& link, const core::Client& client);
  void onAcknowledged(SpaceId space, uint64_t number, uint64_t batch);
  void onCallFailed(SpaceId space, uint64_t number, kj::Exception&& error);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace epochly::rpc

#include "rpc/client_links.h"

#include "rpc/results_batch.h"
#include "rt/log.h"

namespace epochly::rpc {

ClientLinks::ClientLinks(const core::Core& core, const kj::MonotonicClock& clock) : core(core), clock(clock), tasks(*this) {}

// ---- connections ---------------------------------------------------------------------------------------------------

ClientLinks::Attachment ClientLinks::attach(SpaceId wanted, HostId host, schema::ClientSink::Client sink, Close close) {
  auto previous = links.find(wanted);
  if (previous != links.end()) {
    previous->second->close("another connection has resumed its namespace");
    links.erase(previous);
    events->onClientLost(wanted, clock.now());
  }
  auto space = events->onClientOpen(wanted, host, clock.now());
  auto number = ++lastNumber;
  links[space] = kj::heap<Link>(Link{number, kj::mv(sink), kj::mv(close)});
  resultsReady(space);  // what waited for the client to return
  return {space, number};
}

void ClientLinks::detach(const Attachment& attachment) {
  if (find(attachment.space, attachment.number) == nullptr) return;
  links.erase(attachment.space);
  events->onClientLost(attachment.space, clock.now());
}

void ClientLinks::forget(const Attachment& attachment) {
  if (find(attachment.space, attachment.number) == nullptr) return;
  links.erase(attachment.space);
  events->onClientClosed(attachment.space, clock.now());
}

ClientLinks::Link* ClientLinks::find(SpaceId space, uint64_t number) {
  auto found = links.find(space);
  return found == links.end() || found->second->number != number ? nullptr : found->second.get();
}

// ---- writing -------------------------------------------------------------------------------------------------------

void ClientLinks::resultsReady(SpaceId space) {
  auto found = links.find(space);
  if (found == links.end() || found->second->isDirty) return;
  found->second->isDirty = true;
  dirty.add(space);
  if (isFlushScheduled) return;
  isFlushScheduled = true;
  tasks.add(kj::evalLast([this]() { flush(); }));  // after all else of this turn: then it is one batch
}

void ClientLinks::flush() {
  isFlushScheduled = false;
  auto spaces = kj::mv(dirty);
  for (auto space : spaces) {
    auto found = links.find(space);
    if (found == links.end()) continue;
    found->second->isDirty = false;
    write(space, *found->second);
  }
}

void ClientLinks::write(SpaceId space, Link& link) {
  auto found = core.clients.find(space);
  if (found == core.clients.end()) return;
  auto& client = found->second;
  while (client.sent < client.results.size() && link.bytesInFlight < CLIENT_BYTES_IN_FLIGHT_MAX) {
    sendBatch(space, link, client);
  }
}

void ClientLinks::sendBatch(SpaceId space, Link& link, const core::Client& client) {
  // Both lists, their tags, and the call around them.
  constexpr size_t FRAME_WORDS = 64;
  ResultsBatch batch(client);
  auto request = link.sink.resultsRequest(capnp::MessageSize{batch.bytes() / sizeof(capnp::word) + FRAME_WORDS, 0});
  batch.write(request.initBatch());
  auto number = link.number;
  auto batchNumber = link.firstBatch + link.inFlight.size();
  link.inFlight.push_back({batch.count(), batch.bytes(), false});
  link.bytesInFlight += batch.bytes();
  events->onResultsSent(space, batch.count());
  tasks.add(
      request.send().then([this, space, number, batchNumber](auto&&) { onAcknowledged(space, number, batchNumber); },
                          [this, space, number](kj::Exception&& error) { onCallFailed(space, number, kj::mv(error)); }));
}

void ClientLinks::onAcknowledged(SpaceId space, uint64_t number, uint64_t batch) {
  auto link = find(space, number);
  if (link == nullptr) return;
  link->inFlight[batch - link->firstBatch].isAcknowledged = true;
  while (!link->inFlight.empty() && link->inFlight.front().isAcknowledged) {
    events->onAcknowledged(space, link->inFlight.front().count);
    link->bytesInFlight -= link->inFlight.front().bytes;
    link->inFlight.pop_front();
    link->firstBatch++;
  }
  write(space, *link);
}

void ClientLinks::onCallFailed(SpaceId space, uint64_t number, kj::Exception&& error) {
  auto link = find(space, number);
  if (link == nullptr || error.getType() == kj::Exception::Type::DISCONNECTED) return;  // the session's end says so too
  // It is connected and does not take its results. On a new connection they are sent again.
  link->close(kj::str("it refused its results: ", messageOf(error)));
}

void ClientLinks::taskFailed(kj::Exception&& exception) { rt::log::error("a client's link failed: ", exception); }

}  // namespace epochly::rpc

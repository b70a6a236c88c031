#include "transport/outgoing.h"

#include <capnp/message.h>
#include <capnp/rpc.capnp.h>

namespace epochly::transport {

using capnp::word;

namespace {

// What needs no look inside: messages that nobody waits for are smaller, in one segment.
constexpr size_t UNAWAITED_WORDS_MAX = 32;

bool isEmpty(capnp::rpc::Return::Reader answer) {
  if (!answer.isResults()) return false;
  auto results = answer.getResults();
  return results.getCapTable().size() == 0 && results.getContent().targetSize().wordCount == 0;
}

// The framing of https://capnproto.org/encoding.html#serialization-over-a-stream: segments less one, the words of each, padding.
kj::Array<uint32_t> tableOf(Outgoing::Segments segments) {
  auto table = kj::heapArray<uint32_t>((segments.size() + 2) & ~size_t(1));
  table[0] = static_cast<uint32_t>(segments.size() - 1);
  for (auto i : kj::indices(segments)) table[1 + i] = static_cast<uint32_t>(segments[i].size());
  if (segments.size() % 2 == 0) table[segments.size() + 1] = 0;
  return table;
}

}  // namespace

bool isUnawaited(Outgoing::Segments segments) {
  if (segments.size() != 1 || segments[0].size() > UNAWAITED_WORDS_MAX) return false;
  capnp::SegmentArrayMessageReader reader(segments);
  auto message = reader.getRoot<capnp::rpc::Message>();
  switch (message.which()) {
    case capnp::rpc::Message::FINISH:
    case capnp::rpc::Message::RELEASE: return true;
    case capnp::rpc::Message::RETURN: return isEmpty(message.getReturn());
    default: return false;
  }
}

Outgoing::~Outgoing() noexcept {
  if (held.empty() || isFlushing) return;
  // A write begins before its promise is returned. Whom it fails for has gone.
  auto failure = kj::runCatchingExceptions([this]() { auto written = stream.write(held.begin(), held.size()); });
}

kj::Promise<void> Outgoing::write(Segments segments) {
  if (holds(segments)) return kj::READY_NOW;
  return afterOwnFlush(segments);
}

bool Outgoing::holds(Segments segments) {
  if (!isUnawaited(segments)) return false;
  auto table = tableOf(segments);
  auto size = table.asBytes().size() + segments[0].asBytes().size();
  if (held.size() + size > BEHIND_BYTES_MAX) return false;
  held.addAll(table.asBytes());
  held.addAll(segments[0].asBytes());
  if (!isTimed) {
    isTimed = true;
    timeout = timer.afterDelay(BEHIND_MAX).then([this]() { onTime(); }).eagerlyEvaluate(nullptr);
  }
  return true;
}

void Outgoing::onTime() {
  isTimed = false;
  if (held.empty() || isFlushing) return;
  isFlushing = true;
  ownFlush = kj::evalNow([this]() { return put(nullptr); }).then([this]() { isFlushing = false; }).fork();
}

kj::Promise<void> Outgoing::afterOwnFlush(Segments segments) {
  if (!isFlushing) return put(segments);
  return ownFlush.addBranch().then([this, segments]() { return put(segments); });
}

kj::Promise<void> Outgoing::put(Segments segments) {
  if (isTimed) {
    isTimed = false;
    timeout = nullptr;
  }
  kj::Vector<kj::ArrayPtr<const byte>> pieces(segments.size() + 2);
  auto before = held.releaseAsArray();
  if (before.size() > 0) pieces.add(before);
  auto table = segments.size() > 0 ? tableOf(segments) : nullptr;
  if (table.size() > 0) pieces.add(table.asBytes());
  for (auto segment : segments) pieces.add(segment.asBytes());
  if (pieces.empty()) return kj::READY_NOW;
  auto list = pieces.releaseAsArray();
  auto written = stream.write(list);
  return written.attach(kj::mv(before), kj::mv(table), kj::mv(list));
}

}  // namespace epochly::transport

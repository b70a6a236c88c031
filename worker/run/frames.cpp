#include "run/frames.h"

#include <kj/vector.h>

#include "wire/task_spec.h"
#include "worker.capnp.h"

namespace epochly::run {

namespace {

// Room for the message's root, the batch and a list's tag.
constexpr size_t FRAMING_WORDS = 16;
// A list element's header beyond what the element itself takes.
constexpr size_t ELEMENT_WORDS = 1;

// How many of the first items go into one frame; at least one.
template <typename Items, typename BytesOf>
size_t prefixFor(const Items& items, BytesOf&& bytesOf, size_t& words) {
  size_t count = 0;
  words = FRAMING_WORDS;
  for (auto& item : items) {
    size_t more = bytesOf(item) / sizeof(capnp::word) + ELEMENT_WORDS;
    if (count > 0 && (words + more) * sizeof(capnp::word) > BATCH_BYTES_TARGET) break;
    words += more;
    count++;
  }
  return count;
}

}  // namespace

void writeFrames(kj::ArrayPtr<const Delivery> deliveries, kj::FunctionParam<void(capnp::MessageBuilder&)> send) {
  kj::Vector<const Function*> newFunctions;
  for (auto& delivery : deliveries) {
    if (delivery.withFunction) newFunctions.add(delivery.assignment->function);
  }
  for (kj::ArrayPtr<const Function* const> rest = newFunctions.asPtr(); rest.size() > 0;) {
    size_t words;
    size_t count = prefixFor(rest, [](const Function* function) { return function->definition.bytes(); }, words);
    capnp::MallocMessageBuilder message(words);
    auto list = message.initRoot<schema::ToExecutor>().initRun().initFunctions(count);
    for (size_t i = 0; i < count; i++) {
      list.setWithCaveats(i, rest[i]->definition.get());
      list[i].setId(rest[i]->id);
    }
    send(message);
    rest = rest.slice(count, rest.size());
  }
  while (deliveries.size() > 0) {
    size_t words;
    size_t count = prefixFor(deliveries, [](const Delivery& delivery) { return delivery.assignment->message.bytes(); }, words);
    capnp::MallocMessageBuilder message(words);
    auto list = message.initRoot<schema::ToExecutor>().initRun().initAssignments(count);
    for (size_t i = 0; i < count; i++) {
      list.setWithCaveats(i, deliveries[i].assignment->message.get());
      list[i].setFunction(deliveries[i].assignment->function->id);
    }
    send(message);
    deliveries = deliveries.slice(count, deliveries.size());
  }
}

}  // namespace epochly::run

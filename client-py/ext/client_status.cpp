// What crosses from the loop to Python's threads beside results: the link's state and the answers to questions.
#include "ext/client_link.h"

namespace epochly::client {

bool LinkStatus::awaitSettled(Ledger::Clock::time_point until) {
  std::unique_lock lock(mutex);
  return changed.wait_until(lock, until, [this] { return now.connected || now.failed; });
}

LinkStatus::Facts LinkStatus::facts() const {
  std::lock_guard lock(mutex);
  Facts copy;
  copy.connected = now.connected;
  copy.failed = now.failed;
  copy.failure = now.failure.clone();
  copy.software = kj::str(now.software);
  copy.httpUrl = kj::str(now.httpUrl);
  copy.space = now.space;
  copy.reconnects = now.reconnects;
  copy.refusals = now.refusals;
  return copy;
}

void LinkStatus::update(kj::Function<void(Facts&)> change) {
  std::lock_guard lock(mutex);
  change(now);
  changed.notify_all();
}

void Question::answer(kj::Array<capnp::word> from) {
  std::lock_guard lock(mutex);
  words = kj::mv(from);
  answered = true;
  changed.notify_all();
}

void Question::fail(Failure why) {
  std::lock_guard lock(mutex);
  failure = kj::mv(why);
  answered = true;
  changed.notify_all();
}

bool Question::await(Ledger::Clock::time_point until) {
  std::unique_lock lock(mutex);
  return changed.wait_until(lock, until, [this] { return answered; });
}

kj::Array<capnp::word> Question::take() {
  std::lock_guard lock(mutex);
  KJ_IF_MAYBE(why, failure) kj::throwFatalException(makeError(why->code, why->message));
  return kj::mv(words);
}

}  // namespace epochly::client

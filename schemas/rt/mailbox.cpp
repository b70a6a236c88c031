#include "rt/mailbox.h"

namespace epochly::rt {

Mailbox::Mailbox(size_t capacity) : capacity(capacity) {}

Mailbox::~Mailbox() noexcept(false) { close(); }

bool Mailbox::post(kj::Function<void()> fn) const {
  auto lock = state.lockExclusive();
  auto& mutableState = *lock;
  if (mutableState.closed || mutableState.waiting.size() >= capacity) return false;
  mutableState.waiting.push_back(kj::mv(fn));
  KJ_IF_MAYBE(waker, mutableState.waker) {
    (*waker)->fulfill();
    mutableState.waker = nullptr;
  }
  return true;
}

void Mailbox::close() const {
  std::deque<kj::Function<void()>> dropped;  // destroyed outside the lock: a capture's destructor may post
  {
    auto lock = state.lockExclusive();
    lock->closed = true;
    dropped.swap(lock->waiting);
  }
}

kj::Promise<void> Mailbox::run() {
  return sleep().then([this]() {
    runWaiting();
    return run();
  });
}

kj::Promise<void> Mailbox::sleep() {
  auto lock = state.lockExclusive();
  if (!lock->waiting.empty()) return kj::evalLater([]() {});
  auto paf = kj::newPromiseAndCrossThreadFulfiller<void>();
  lock->waker = kj::mv(paf.fulfiller);
  return kj::mv(paf.promise);
}

void Mailbox::runWaiting() {
  std::deque<kj::Function<void()>> batch;
  batch.swap(state.lockExclusive()->waiting);
  for (auto& fn : batch) fn();
}

}  // namespace epochly::rt

#include "rt/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include <kj/debug.h>

namespace epochly::rt {

namespace {

kj::AutoCloseFd makeBell() {
  int fd;
  KJ_SYSCALL(fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  return kj::AutoCloseFd(fd);
}

void ring(int bell) {
  uint64_t one = 1;
  KJ_SYSCALL(write(bell, &one, sizeof(one)));
}

}  // namespace

Mailbox::Mailbox(kj::UnixEventPort& port, size_t capacity)
    : capacity(capacity), bell(makeBell()), rung(port, bell, kj::UnixEventPort::FdObserver::OBSERVE_READ) {}

Mailbox::~Mailbox() noexcept(false) {
  close();
  while (ringing > 0) std::this_thread::yield();  // for one system call that does not block
}

bool Mailbox::post(kj::Function<void()> fn) const {
  {
    auto lock = state.lockExclusive();
    if (lock->closed || lock->waiting.size() >= capacity) return false;
    lock->waiting.push_back(kj::mv(fn));
    if (!lock->isAsleep) return true;
    lock->isAsleep = false;
    ringing++;
  }
  KJ_DEFER(ringing--);
  ring(bell);
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
  lock->isAsleep = true;
  return rung.whenBecomesReadable();
}

void Mailbox::runWaiting() {
  std::deque<kj::Function<void()>> batch;
  batch.swap(state.lockExclusive()->waiting);
  for (auto& fn : batch) fn();
}

}  // namespace epochly::rt

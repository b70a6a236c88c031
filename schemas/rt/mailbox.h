// The only cross-thread door into a kj event loop.
#pragma once

#include <atomic>
#include <deque>

#include <kj/async-unix.h>
#include <kj/function.h>
#include <kj/io.h>
#include <kj/mutex.h>

namespace epochly::rt {

// Other threads post() functions; the loop's thread runs them in order, all that have queued in one turn.
//
// Created and destroyed on the loop's thread; post() and call() may be used by any thread but that one (post() by that one
// too) while the Mailbox lives. close() makes later posts return false, so a poster may outlive the loop's interest.
class Mailbox {
 public:
  // capacity: functions waiting at once; past it post() returns false and the poster tells its caller so.
  Mailbox(kj::UnixEventPort& port, size_t capacity);
  ~Mailbox() noexcept(false);
  KJ_DISALLOW_COPY(Mailbox);

  // Runs what is posted, for as long as the promise is held. Functions must not throw; one that does ends the loop's promise.
  kj::Promise<void> run();

  // False: the mailbox is full or closed, and `fn` was destroyed without being called.
  bool post(kj::Function<void()> fn) const;

  void close() const;

 private:
  struct State {
    std::deque<kj::Function<void()>> waiting;
    bool isAsleep = false;  // the loop found nothing and must be woken
    bool closed = false;
  };

  const size_t capacity;
  kj::MutexGuarded<State> state;
  // An eventfd that is written to and never read: its observer is told of each write. kj's own cross-thread fulfiller wakes the
  // loop with a lock held that the loop takes first: where the two share a CPU, that costs four switches between them.
  const kj::AutoCloseFd bell;
  kj::UnixEventPort::FdObserver rung;
  // Posters between the lock and the bell. What they have posted may run, and end the mailbox, before they ring: it waits for them.
  mutable std::atomic<uint32_t> ringing{0};

  kj::Promise<void> sleep();
  void runWaiting();
};

}  // namespace epochly::rt

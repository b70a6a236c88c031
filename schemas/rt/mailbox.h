// The only cross-thread door into a kj event loop.
#pragma once

#include <deque>

#include <kj/async.h>
#include <kj/function.h>
#include <kj/mutex.h>

namespace epochly::rt {

// Other threads post() functions; the loop's thread runs them in order, all that have queued in one turn.
//
// Created and destroyed on the loop's thread; post() and call() may be used by any thread but that one (post() by that one
// too) while the Mailbox lives. close() makes later posts return false, so a poster may outlive the loop's interest.
class Mailbox {
 public:
  // capacity: functions waiting at once; past it post() returns false and the poster tells its caller so.
  explicit Mailbox(size_t capacity);
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
    kj::Maybe<kj::Own<kj::CrossThreadPromiseFulfiller<void>>> waker;  // set while the loop sleeps
    bool closed = false;
  };

  const size_t capacity;
  kj::MutexGuarded<State> state;

  kj::Promise<void> sleep();
  void runWaiting();
};

}  // namespace epochly::rt

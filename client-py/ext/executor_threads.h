// The threads of an I/O executor: as many attempts side by side as there are threads.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "ext/executor_attempt.h"
#include "wire/payload.h"

namespace epochly::ext {

// An assignment copied out of its frame: readers of one message must not be used by several threads.
struct WaitingAttempt {
  Attempt attempt;
  Payload arguments;
};

// Thread-safe. Its threads are Python's own (threading.Thread), each in work(), so that user code finds what it expects there.
class ThreadPool {
 public:
  ThreadPool(AttemptRunner& runner, uint threadsMax);

  // Called under the GIL by the receiving thread. Starts a thread if every one is busy and there may be more.
  void add(WaitingAttempt attempt);
  // Body of a thread, under the GIL; returns after finish().
  void work();
  // What waits is dropped (the daemon knows that it has not begun); returns when what has begun is answered.
  void finish();

 private:
  AttemptRunner& runner;
  const uint threadsMax;
  std::mutex mutex;  // guards what follows; never held while the GIL is waited for
  std::condition_variable added, finished;
  std::deque<WaitingAttempt> waiting;
  uint threads = 0;
  uint idle = 0;
  bool stopping = false;

  kj::Maybe<WaitingAttempt> take();
  bool anyWaiting();
  void startThread();
};

}  // namespace epochly::ext

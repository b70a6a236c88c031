#include "ext/without_gil.h"

#include <atomic>

#include <pthread.h>
#include <unistd.h>

#include "ext/take_gil.h"

namespace epochly::ext {

namespace {

std::atomic<bool> exiting{false};
pthread_t exitingThread;

}  // namespace

WithoutGil::~WithoutGil() {
  if (exiting.load(std::memory_order_acquire) && !pthread_equal(pthread_self(), exitingThread)) {
    while (true) pause();
  }
  takeGil(state);
}

void beginExit() {
  exitingThread = pthread_self();
  exiting.store(true, std::memory_order_release);
}

}  // namespace epochly::ext

#include "ext/executor_threads.h"

namespace epochly::ext {

ThreadPool::ThreadPool(AttemptRunner& runner, uint threadsMax) : runner(runner), threadsMax(threadsMax) {}

void ThreadPool::add(WaitingAttempt attempt) {
  bool more;
  {
    std::lock_guard lock(mutex);
    waiting.push_back(kj::mv(attempt));
    more = waiting.size() > idle && threads < threadsMax;
    if (more) threads++;
    added.notify_one();
  }
  if (more) startThread();
}

void ThreadPool::startThread() {
  nb::object thread = nb::module_::import_("threading").attr("Thread");
  nb::object body = nb::cpp_function([this]() { work(); });
  thread(nb::arg("target") = body, nb::arg("name") = "epochly-io", nb::arg("daemon") = true).attr("start")();
}

kj::Maybe<WaitingAttempt> ThreadPool::take() {
  nb::gil_scoped_release release;
  std::unique_lock lock(mutex);
  idle++;
  added.wait(lock, [this] { return stopping || !waiting.empty(); });
  idle--;
  if (stopping) {
    threads--;
    finished.notify_all();
    return nullptr;
  }
  auto attempt = kj::mv(waiting.front());
  waiting.pop_front();
  return kj::mv(attempt);
}

bool ThreadPool::anyWaiting() {
  std::lock_guard lock(mutex);
  return !waiting.empty();
}

void ThreadPool::work() {
  while (true) {
    KJ_IF_MAYBE(next, take()) {
      auto& arguments = next->arguments;
      runner.run(
          next->attempt, [&arguments]() { return decode(kj::mv(arguments)); }, [this]() { return anyWaiting(); });
    } else {
      return;
    }
  }
}

void ThreadPool::finish() {
  nb::gil_scoped_release release;
  std::unique_lock lock(mutex);
  stopping = true;
  added.notify_all();
  finished.wait(lock, [this] { return threads == 0; });
}

}  // namespace epochly::ext

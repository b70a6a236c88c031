// What the client's Python-facing parts share.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <optional>

#include "ext/client_functions.h"
#include "ext/client_thread.h"
#include "ext/fork_guard.h"
#include "ext/without_gil.h"

namespace epochly::ext {

// While a Python thread waits, signals are looked at this often: a Ctrl-C is felt at once, and waiting costs nothing noticeable.
constexpr std::chrono::milliseconds SIGNAL_INTERVAL{50};

// Calls wait(until) without the GIL, again and again, until it returns true (then true) or `seconds` have passed (then false).
// Throws nb::python_error when a signal handler raised.
template <typename Wait>
bool waitInterruptibly(std::optional<double> seconds, Wait wait) {
  using Clock = client::Ledger::Clock;
  // A day at a time: adding an infinite or huge timeout to a time point would overflow.
  constexpr double LONGEST = 86'400;
  auto start = Clock::now();
  while (true) {
    auto until = Clock::now() + SIGNAL_INTERVAL;
    bool last = false;
    if (seconds && *seconds < LONGEST) {
      auto deadline =
          start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::max(*seconds, 0.0)));
      last = deadline <= until;
      until = std::min(until, deadline);
    }
    bool done;
    {
      WithoutGil unlocked;
      done = wait(until);
    }
    if (done) return true;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (last) return false;
  }
}

// A client's thread and what it was made in. Destroyed in a forked child it does nothing: the thread is not there to be ended.
struct Session : std::enable_shared_from_this<Session> {
  Session(client::LinkOptions options, client::WindowBounds bounds);
  ~Session();

  // Throws ClientClosed in a forked child.
  client::ClientThread& thread();
  // Ends the connection; what is pending is cancelled. Does nothing in a forked child.
  void close();
  // The interpreter ends: no thread of ours may outlive it.
  static void closeAll();
  bool inForkedChild() const { return generation != forkGeneration(); }

 private:
  const uint64_t generation = forkGeneration();
  client::ClientThread* owned;
};

// The native half of epochly.Future. Guarded by the GIL, but for what it shares with the loop.
struct PyFuture {
  std::shared_ptr<Session> session;
  std::shared_ptr<client::Entry> entry;
  nb::object value;  // once somebody asked for it
  nb::object error;  // likewise
  uint loading = 0;  // threads that read the outcome's pickle now

  client::Ending ending() const { return entry->ending.load(std::memory_order_acquire); }
  // Throws concurrent.futures.TimeoutError.
  void await(std::optional<double> timeout);
  nb::object result(std::optional<double> timeout);
  nb::object exception(std::optional<double> timeout);  // or none
  bool cancel();

 private:
  nb::object loadValue();
  nb::object loadError();
};

// epochly.errors.from_code(code, message).
nb::object makePythonError(ErrorCode code, kj::StringPtr message);
[[noreturn]] void raisePython(nb::handle error);
[[noreturn]] void raisePython(ErrorCode code, kj::StringPtr message);

void bindFuture(nb::module_& m);

}  // namespace epochly::ext

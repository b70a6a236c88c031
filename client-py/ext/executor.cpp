// The executor's loop: what the daemon sends is run, what came of it goes back.
#include <nanobind/stl/string.h>

#include "ext/bindings.h"
#include "ext/executor_attempt.h"
#include "ext/executor_threads.h"
#include "run/executor_port.h"
#include "wire/errors.h"

namespace epochly::ext {

namespace {

using run::ExecutorPort;

enum class Ended : uint8_t { STOPPED, HANGUP };

Attempt attemptOf(uint32_t index, schema::Assignment::Reader assignment) {
  KJ_IF_MAYBE(level, levelFromNumber(assignment.getLevel())) {
    return {index,  readTaskId(assignment.getTask()), epochly::Attempt(assignment.getAttempt()), assignment.getFunction(),
            *level, assignment.getInlineResult()};
  }
  kj::throwFatalException(makeError(ErrorCode::INTERNAL, kj::str("assignment at level ", assignment.getLevel())));
}

// Lives on the process's main thread, under the GIL but while it waits for the daemon.
class Executor {
 public:
  Executor(kj::StringPtr fds, run::Mode mode, uint threads)
      : mode(mode), port(fds, mode), runner(port, functions, mode), pool(runner, threads) {}

  Ended run(kj::StringPtr software) {
    port.sendReady({static_cast<uint16_t>(PY_MAJOR_VERSION << 8 | PY_MINOR_VERSION)}, software);
    auto received = receive();
    while (received.got == ExecutorPort::Got::FRAME) {
      auto frame = kj::mv(received.frame);
      auto message = frame->message();
      if (message.isStop()) {
        pool.finish();
        return Ended::STOPPED;
      }
      auto batch = message.getRun();
      for (auto function : batch.getFunctions()) functions.add(function);
      if (mode == run::Mode::IO) {
        share(batch, frame->first);
        received = receive();
      } else {
        received = runInOrder(batch, frame->first);
      }
    }
    return Ended::HANGUP;
  }

 private:
  const run::Mode mode;
  ExecutorPort port;
  FunctionStore functions;
  AttemptRunner runner;
  ThreadPool pool;

  // Waits without the GIL, letting Python handle signals meanwhile.
  ExecutorPort::Received receive() {
    while (true) {
      auto received = [this]() {
        nb::gil_scoped_release release;
        return port.receive();
      }();
      if (received.got != ExecutorPort::Got::NOTHING) return received;
      if (PyErr_CheckSignals() != 0)
        PyErr_Clear();  // Ctrl-C is the client's, who cancels; nothing of the user's runs here now
    }
  }

  // One after the other. Returns what came next, looked for before the last result is sent: it need not wake the daemon if
  // another attempt follows.
  ExecutorPort::Received runInOrder(schema::Assignments::Reader batch, uint32_t first) {
    ExecutorPort::Received next{ExecutorPort::Got::NOTHING, kj::Own<run::Frame>()};
    auto assignments = batch.getAssignments();
    for (auto i : kj::indices(assignments)) {
      auto assignment = assignments[i];
      auto moreFollows = [&]() {
        if (i + 1 < assignments.size()) return true;
        next = port.poll();
        return next.got == ExecutorPort::Got::FRAME;
      };
      auto loadArguments = [&assignment]() { return decode(assignment.getArguments()); };
      if (!runner.run(attemptOf(first + i, assignment), loadArguments, moreFollows)) {
        return {ExecutorPort::Got::HANGUP, kj::Own<run::Frame>()};
      }
    }
    if (next.got == ExecutorPort::Got::NOTHING) return receive();
    return next;
  }

  void share(schema::Assignments::Reader batch, uint32_t first) {
    auto assignments = batch.getAssignments();
    for (auto i : kj::indices(assignments)) {
      pool.add({attemptOf(first + i, assignments[i]), Payload::read(assignments[i].getArguments())});
    }
  }
};

// True: told to stop. False: the daemon is gone.
bool runExecutor(const std::string& fds, const std::string& mode, uint threads, const std::string& software) {
  KJ_IF_MAYBE(known, run::parseMode(mode.c_str())) {
    // Never freed: when the daemon is gone, threads may still be running what nobody waits for, and the process ends under them.
    auto executor = new Executor(fds.c_str(), *known, threads);
    return executor->run(software.c_str()) == Ended::STOPPED;
  }
  throw nb::value_error("--mode is cpu or io");
}

}  // namespace

void bindExecutor(nb::module_& m) {
  m.def("run_executor", runExecutor, nb::arg("fds"), nb::arg("mode"), nb::arg("threads"), nb::arg("software"),
        "Runs what the worker daemon sends until it says stop (True) or is gone (False).");
}

}  // namespace epochly::ext

// One attempt in an executor: load, call, measure, answer.
#pragma once

#include <optional>

#include <kj/function.h>

#include "ext/codec.h"
#include "ext/executor_functions.h"
#include "ext/local/call.h"
#include "levels/monitor/sampling.h"
#include "levels/registry/engines.h"
#include "run/executor_port.h"

namespace epochly::ext {

// An assignment, wherever its arguments are.
struct Attempt {
  uint32_t index;  // see run::ExecutorPort
  TaskId task;
  epochly::Attempt number;
  uint32_t function;
  Level level;        // what it is to run at
  bool inlineResult;  // the client cannot open this host's shared memory
};

// Runs attempts and sends their results. One per process; run() is called under the GIL, by any thread.
class AttemptRunner {
 public:
  AttemptRunner(run::ExecutorPort& port, FunctionStore& functions, run::Mode mode);

  // loadArguments: (args, kwargs or None). moreFollows: asked once the function has returned, whether another attempt begins on
  // this thread at once. False: the daemon is gone.
  bool run(const Attempt& attempt, kj::Function<nb::object()> loadArguments, kj::Function<bool()> moreFollows);

 private:
  struct Report;
  run::ExecutorPort& port;
  FunctionStore& functions;
  const run::Mode mode;

  void call(const Attempt& attempt, kj::Function<nb::object()>& loadArguments, Report& report);
  static void readCpuTimes(monitor::Nanos cpuStart, std::optional<monitor::Nanos> readyStart, monitor::Nanos wall,
                           Report& report);
  nb::object invoke(const Attempt& attempt, FunctionStore::Function& function, nb::handle arguments, Report& report);
  // What runs it, of the engines of this process. An executor of I/O has Python only.
  levels::Engines::Pick pick(const Attempt& attempt, PythonCall& call, Report& report);
  bool send(const Attempt& attempt, Report& report, run::Wake wake);
};

}  // namespace epochly::ext

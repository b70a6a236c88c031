// epochly-embedded SCHEDULER'S ARGUMENTS -- WORKER'S ARGUMENTS: a scheduler and a worker on one loop, for one Python process on the
// same machine. A task between the two wakes no other process, which on an idle machine is most of what a lone task costs.
#include <cstdio>

#include <kj/debug.h>
#include <kj/vector.h>

#include "daemon/scheduler_daemon.h"
#include "daemon/worker_daemon.h"
#include "rt/command_line.h"
#include "rt/log.h"
#include "rt/process.h"
#include "wire/errors.h"

namespace epochly {
namespace {

constexpr int EXIT_FAILED = 1;

struct CommandLine {
  kj::Vector<kj::StringPtr> scheduler, worker;

  CommandLine(int argc, char** argv) {
    auto args = &scheduler;
    for (int i = 1; i < argc; i++) {
      kj::StringPtr arg = argv[i];
      if (args == &scheduler && arg == "--") {
        args = &worker;
      } else {
        args->add(arg);
      }
    }
  }
};

class LocalRoute final : public link::Route {
 public:
  explicit LocalRoute(scheduler::Door door) : door(kj::mv(door)) {}
  schema::Gateway::Client gateway() override { return door.gateway; }
  kj::Promise<void> onClosed() override { return kj::mv(door.closed); }

 private:
  scheduler::Door door;
};

class LocalDialer final : public link::Dialer {
 public:
  explicit LocalDialer(scheduler::Daemon& scheduler) : scheduler(scheduler) {}
  kj::Promise<kj::Own<link::Route>> dial() override {
    return kj::Own<link::Route>(kj::heap<LocalRoute>(scheduler.openDoor()));
  }
  kj::StringPtr name() const override { return "this process"; }

 private:
  scheduler::Daemon& scheduler;
};

// The worker decides the end: it goes when it was told to and its executors have, and nothing works without it.
int serve(const CommandLine& line) {
  rt::LogLines lines;
  rt::captureStopSignals();
  auto io = kj::setupAsyncIo();
  auto scheduler = scheduler::start(io, line.scheduler);
  auto told = scheduler->untilTold().eagerlyEvaluate([](kj::Exception&& error) {
    rt::log::error("the drain failed: ", error);
    return 0;
  });
  auto worker = worker::start(io, line.worker, kj::heap<LocalDialer>(*scheduler));
  worker->endClients();
  return worker->run().wait(io.waitScope);
}

int run(const CommandLine& line) {
  int status = 0;
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { status = serve(line); })) {
    bool isMistake = codeOf(*error) == ErrorCode::INVALID_ARGUMENT;
    fprintf(stderr, "epochly-embedded: %s\n", messageOf(*error).cStr());
    return isMistake ? rt::EXIT_MISTAKE : EXIT_FAILED;
  }
  return status;
}

}  // namespace
}  // namespace epochly

int main(int argc, char** argv) { return epochly::run(epochly::CommandLine(argc, argv)); }

// epochly-worker: puts the parts together on one kj loop, and takes them apart again.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <kj/debug.h>

#include "config/options.h"
#include "link/link.h"
#include "metrics/metrics.h"
#include "objects/sweep.h"
#include "probe/machine.h"
#include "probe/python.h"
#include "rt/log.h"
#include "run/scratch.h"
#include "run/supervisor.h"
#include "wire/errors.h"
#include "wire/task_spec.h"
#include "wire/token.h"

namespace epochly {
namespace {

constexpr int EXIT_FAILED = 1;   // executors do not start, or attempts were left behind
constexpr int EXIT_MISTAKE = 2;  // wrong usage, or the scheduler refused this worker
// How often gauges that cost something to find out are renewed, if metrics are exposed at all.
constexpr kj::Duration METRICS_REFRESH = 1 * kj::SECONDS;

// Levels that executors of this release run, and how many attempts of each at once. A level engine that needs more than Python
// (a compiler, a device) is added here, with the probe's word on whether this machine has what it needs.
kj::Array<std::pair<Level, uint>> offeredLevels(uint cpuSlots, uint ioThreads, bool hasJit) {
  kj::Vector<std::pair<Level, uint>> levels;
  levels.add(Level::MONITOR, cpuSlots);
  levels.add(Level::THREADS, ioThreads);
  if (hasJit) levels.add(Level::JIT, cpuSlots);
  return levels.releaseAsArray();
}

kj::String quoted(kj::StringPtr text) {
  kj::Vector<char> result;
  result.add('"');
  for (char c : text) {
    if (c == '"' || c == '\\') result.add('\\');
    if (static_cast<unsigned char>(c) >= ' ') {
      result.add(c);
    } else {
      char escape[8];
      snprintf(escape, sizeof(escape), "\\u%04x", c);
      result.addAll(kj::StringPtr(escape));
    }
  }
  result.add('"');
  return kj::str(result.asPtr());
}

// ---- what the worker is made from ----------------------------------------------------------------------------------

[[noreturn]] void refuse(kj::String message) { kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, message)); }

// Each executor takes seven descriptors, and the usual soft limit is 1024. Returns what it was, for the executors: user code
// that uses select() must not meet higher numbers than it is used to.
rlimit raiseFileLimit() {
  rlimit limit{1024, 1024};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return limit;
  rlimit raised{limit.rlim_max, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &raised);
  return limit;
}

run::ExecutorCommand executorCommand(const config::Options& options, rlimit files, kj::StringPtr scratch) {
  run::ExecutorCommand command;
  command.program = kj::str(options.python);
  command.arguments = kj::arr(kj::str("-m"), kj::str("epochly.executor"));
  command.ioThreads = options.ioThreads;
  KJ_IF_MAYBE(bytes, options.executorMemory) command.memoryBytesMax = *bytes;
  KJ_IF_MAYBE(count, options.executorOpenFiles) files = rlimit{*count, *count};
  command.openFiles = files;
  KJ_IF_MAYBE(name, options.executorUser) {
    if (geteuid() != 0) refuse(kj::str("--executor-user: only root can run executors as another user"));
    command.user = run::User::named(*name);
  }
  command.scratch = kj::str(scratch);
  return command;
}

run::DispatchLimits dispatchLimits(const config::Options& options, const probe::Machine& machine) {
  run::DispatchLimits limits;
  limits.cpuSlots = options.cpuSlots.orDefault(machine.cores);
  if (limits.cpuSlots == 0) refuse(kj::str("the number of cores could not be found out; say --cpu-slots N"));
  limits.ioThreads = options.ioThreads;
  return limits;
}

// ---- the worker ----------------------------------------------------------------------------------------------------

// Everything there is, in the order in which it must end: last made, first gone.
class Worker final : public link::LinkObserver {
 public:
  Worker(kj::AsyncIoContext& io, const config::Options& options, kj::Maybe<const Token&> token, rlimit files);
  ~Worker() noexcept override {}

  // Until it has drained, is refused, or something ends it; the exit status.
  int run(kj::WaitScope& scope);

 private:
  kj::AsyncIoContext& io;
  const config::Options& options;
  kj::Maybe<const Token&> token;
  kj::Timer& timer;
  const probe::Machine machine;
  const run::DispatchLimits limits;
  const kj::String name;
  run::Scratch scratch;
  metrics::WorkerMetrics metrics;
  run::Supervisor supervisor;
  kj::Maybe<kj::Own<link::Link>> link;

  kj::Own<link::Introduction> introduce(const probe::Python& python, bool hasJit, kj::ArrayPtr<const probe::Fact> facts);
  kj::Promise<int> serve();
  kj::Promise<int> untilTold();
  kj::Promise<void> sweepLoop();
  kj::Promise<void> refreshLoop();

  void onJoined(WorkerId id) override;
  void onLost(kj::StringPtr why) override { metrics.onConnectionLost(); }
};

kj::StringPtr temporaryDirectory() {
  auto value = getenv("TMPDIR");
  return value == nullptr || *value == '\0' ? "/tmp"_kj : kj::StringPtr(value);
}

Worker::Worker(kj::AsyncIoContext& io, const config::Options& options, kj::Maybe<const Token&> token, rlimit files)
    : io(io),
      options(options),
      token(token),
      timer(io.provider->getTimer()),
      machine(probe::probeMachine(probe::Sources())),
      limits(dispatchLimits(options, machine)),
      name(options.name.map([](const kj::String& n) { return kj::str(n); })
               .orDefault(kj::str(machine.hostName, ':', getpid()))),
      scratch(run::Scratch::create(temporaryDirectory())),
      supervisor(io.unixEventPort, limits, executorCommand(options, files, scratch.path()), metrics) {
  KJ_IF_MAYBE(address, options.metrics) {
    auto port = metrics.expose(address->forKj());
    rt::log::info("metrics at http://", address->host, ':', port, "/metrics");
  }
}

void writeFacts(kj::ArrayPtr<const probe::Fact> facts, capnp::List<schema::Fact>::Builder list, uint from) {
  for (auto i : kj::indices(facts)) {
    auto to = list[from + i];
    to.setName(facts[i].name);
    switch (facts[i].kind) {
      case probe::Fact::Kind::KNOWN: to.setKnown(facts[i].text); break;
      case probe::Fact::Kind::ABSENT: to.setAbsent(facts[i].text); break;
      case probe::Fact::Kind::UNKNOWN: to.setUnknown(facts[i].text); break;
    }
  }
}

kj::Own<link::Introduction> Worker::introduce(const probe::Python& python, bool hasJit,
                                              kj::ArrayPtr<const probe::Fact> pythonFacts) {
  auto introduction = kj::heap<link::Introduction>();
  KJ_IF_MAYBE(t, token) introduction->token = kj::heapArray<kj::byte>(t->bytes());
  auto info = introduction->info.initRoot<schema::WorkerInfo>();
  info.setName(name);
  info.setHostName(machine.hostName);
  // Executors of another user cannot open a client's shared memory, nor it theirs.
  info.setHost(options.executorUser == nullptr ? thisHost().value : 0);
  info.setPid(getpid());
  info.setPythonVersion(python.version.value);
  info.setCores(machine.cores);
  info.setMemoryBytes(machine.memoryBytes);
  auto levels = offeredLevels(limits.cpuSlots, limits.ioThreads, hasJit);
  auto capabilities = info.initCapabilities(levels.size());
  for (auto i : kj::indices(levels)) {
    capabilities[i].setLevel(static_cast<uint8_t>(levels[i].first));
    capabilities[i].setSlots(levels[i].second);
  }
  auto facts = info.initFacts(machine.facts.size() + pythonFacts.size());
  writeFacts(machine.facts, facts, 0);
  writeFacts(pythonFacts, facts, machine.facts.size());
  return introduction;
}

void Worker::onJoined(WorkerId id) {
  metrics.onJoined();
  auto line = kj::str("{\"event\":\"joined\",\"worker\":", quoted(name), ",\"id\":\"", id.value,
                      "\",\"scheduler\":", quoted(KJ_ASSERT_NONNULL(options.scheduler).toString()), "}\n");
  fwrite(line.begin(), 1, line.size(), stdout);
  fflush(stdout);
}

// ---- running -------------------------------------------------------------------------------------------------------

kj::Promise<int> Worker::serve() {
  auto ready = supervisor.start();  // executors import while the interpreter is asked
  probe::Facts facts;
  auto python = probe::probePython(options.python, facts);
  if (python.problem.size() > 0) refuse(kj::str("--python ", options.python, " ", python.problem));
  bool hasJit = probe::probeJit(options.python, facts);
  metrics.setPython(toString(python.version));
  auto& made = *link.emplace(kj::heap<link::Link>(io, timer, KJ_ASSERT_NONNULL(options.scheduler),
                                                  introduce(python, hasJit, facts.release()), supervisor, *this));
  return ready.exclusiveJoin(made.onDrain())
      .then([&made]() { return made.run(); })
      .then([this](kj::Maybe<link::Refused> refused) -> kj::Promise<int> {
        KJ_IF_MAYBE(r, refused) {
          auto scheduler = KJ_ASSERT_NONNULL(options.scheduler).toString();
          fprintf(stderr, "epochly-worker: the scheduler at %s refused this worker: %s\n", scheduler.cStr(), r->why.cStr());
          return EXIT_MISTAKE;
        }
        return supervisor.shutdown().then([]() {
          rt::log::info("left");
          return 0;
        });
      });
}

kj::Promise<void> onStopSignal(kj::UnixEventPort& port) {
  return port.onSignal(SIGTERM).exclusiveJoin(port.onSignal(SIGINT)).ignoreResult();
}

// Resolves when the process is gone.
kj::Promise<void> onGone(kj::UnixEventPort& port, pid_t pid) {
  int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0 && errno == ESRCH) return kj::READY_NOW;
  KJ_REQUIRE(fd >= 0, "pidfd_open", strerror(errno));
  auto pidfd = kj::heap<kj::AutoCloseFd>(fd);
  auto observer = kj::heap<kj::UnixEventPort::FdObserver>(port, *pidfd, kj::UnixEventPort::FdObserver::OBSERVE_READ);
  auto gone = observer->whenBecomesReadable();
  return gone.attach(kj::mv(observer)).attach(kj::mv(pidfd));  // let go in this order
}

// The second signal, or the parent's end.
kj::Promise<int> Worker::untilTold() {
  auto& port = io.unixEventPort;
  auto told = onStopSignal(port).then([this, &port]() -> kj::Promise<int> {
    KJ_IF_MAYBE(l, link) (*l)->drain();
    return onStopSignal(port).then([]() -> int {
      rt::log::warning("a second signal: leaving at once");
      return EXIT_FAILED;
    });
  });
  KJ_IF_MAYBE(pid, options.parentPid) {
    return told.exclusiveJoin(onGone(port, *pid).then([]() -> int {
      rt::log::info("the parent process is gone: leaving");
      return 0;
    }));
  }
  return told;
}

kj::Promise<void> Worker::sweepLoop() {
  objects::SweepScope scope{"/dev/shm", objects::processAlive, [this](pid_t pid) { return supervisor.isExecutor(pid); }};
  auto swept = objects::sweep(scope, kj::systemPreciseCalendarClock().now());
  if (swept.objects > 0)
    rt::log::info("removed ", swept.objects, " abandoned shared memory objects, ", swept.bytes, " bytes");
  metrics.onSwept(swept.objects, swept.bytes);
  return timer.afterDelay(objects::SWEEP_INTERVAL).then([this]() { return sweepLoop(); });
}

kj::Promise<void> Worker::refreshLoop() {
  if (options.metrics == nullptr) return kj::NEVER_DONE;
  auto load = supervisor.load();
  metrics.setAttempts(load.queued, load.running);
  metrics.setResidentBytes(load.residentBytes);
  return timer.afterDelay(METRICS_REFRESH).then([this]() { return refreshLoop(); });
}

int Worker::run(kj::WaitScope& scope) {
  auto told = untilTold();
  auto fatal = supervisor.onFatal().then([]() { return EXIT_FAILED; });
  auto background = sweepLoop().exclusiveJoin(refreshLoop()).then([]() { return EXIT_FAILED; });
  return serve().exclusiveJoin(kj::mv(told)).exclusiveJoin(kj::mv(fatal)).exclusiveJoin(kj::mv(background)).wait(scope);
}

// ---- start ---------------------------------------------------------------------------------------------------------

void redirectLog(kj::StringPtr path) {
  int fd = open(path.cStr(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) refuse(kj::str("--log-file ", path, " cannot be opened: ", strerror(errno)));
  KJ_SYSCALL(dup2(fd, STDERR_FILENO));
  close(fd);
}

int serve(const config::Options& options) {
  KJ_IF_MAYBE(path, options.logFile) redirectLog(*path);
  rt::setLogLevel(options.logLevel);
  rt::LogLines lines;
  auto files = raiseFileLimit();
  // Before there is another thread, which would not know them as blocked.
  kj::UnixEventPort::captureSignal(SIGTERM);
  kj::UnixEventPort::captureSignal(SIGINT);
  kj::Maybe<Token> token;
  KJ_IF_MAYBE(path, options.tokenFile) token = Token::load(*path);
  auto io = kj::setupAsyncIo();
  Worker worker(io, options, token.map([](auto& t) -> const Token& { return t; }), files);
  return worker.run(io.waitScope);
}

// What the operator can mend exits 2 with one line; the rest says what it is.
int report(const kj::Exception& error) {
  bool isMistake = codeOf(error) == ErrorCode::INVALID_ARGUMENT;
  fprintf(stderr, "epochly-worker: %s\n", messageOf(error).cStr());
  return isMistake ? EXIT_MISTAKE : EXIT_FAILED;
}

int runProgram(kj::ArrayPtr<const kj::StringPtr> args) {
  config::Environment environment = [](kj::StringPtr name) -> kj::Maybe<kj::StringPtr> {
    auto value = getenv(name.cStr());
    if (value == nullptr) return nullptr;
    return kj::StringPtr(value);
  };
  auto parsed = config::parse(args, environment);
  KJ_SWITCH_ONEOF(parsed) {
    KJ_CASE_ONEOF(answer, config::Answer) {
      fputs(answer.text.cStr(), stdout);
      return 0;
    }
    KJ_CASE_ONEOF(mistake, config::Mistake) {
      fprintf(stderr, "%s\n", mistake.text.cStr());
      return EXIT_MISTAKE;
    }
    KJ_CASE_ONEOF(options, config::Options) {
      int status = 0;
      KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { status = serve(options); })) status = report(*error);
      return status;
    }
  }
  KJ_UNREACHABLE;
}

}  // namespace
}  // namespace epochly

int main(int argc, char** argv) {
  kj::Vector<kj::StringPtr> args;
  for (int i = 1; i < argc; i++) args.add(argv[i]);
  return epochly::runProgram(args);
}

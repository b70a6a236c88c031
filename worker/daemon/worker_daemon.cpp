#include "daemon/worker_daemon.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/resource.h>
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
#include "rt/process.h"
#include "run/scratch.h"
#include "run/supervisor.h"
#include "wire/errors.h"
#include "wire/task_spec.h"
#include "wire/token.h"

namespace epochly::worker {
namespace {

constexpr int EXIT_FAILED = 1;  // executors do not start, or attempts were left behind
// How often gauges that cost something to find out are renewed, if metrics are exposed at all.
constexpr kj::Duration METRICS_REFRESH = 1 * kj::SECONDS;

// Levels that executors of this release run, and how many attempts of each at once. A level engine that needs more than Python
// (a compiler, a device) is added here, with the probe's word on whether this machine has what it needs.
kj::Array<std::pair<Level, uint>> offeredLevels(uint cpuSlots, uint ioThreads, probe::Engines engines) {
  kj::Vector<std::pair<Level, uint>> levels;
  levels.add(Level::MONITOR, cpuSlots);
  levels.add(Level::THREADS, ioThreads);
  if (engines.jit) levels.add(Level::JIT, cpuSlots);
  if (engines.multicore) levels.add(Level::MULTICORE, 1);  // one uses all cores
  return levels.releaseAsArray();
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
class Worker final : public Daemon, public link::LinkObserver {
 public:
  Worker(kj::AsyncIoContext& io, config::Options options, kj::Maybe<Token> token, rlimit files,
         kj::Own<link::Dialer> dialer);
  ~Worker() noexcept override {}

  kj::Promise<int> run() override;
  void endClients() override { resultObjects.removeAllAtEnd(); }

 private:
  kj::AsyncIoContext& io;
  const config::Options options;
  const kj::Maybe<Token> token;
  kj::Own<link::Dialer> dialer;
  kj::Timer& timer;
  const probe::Machine machine;
  const run::DispatchLimits limits;
  const kj::String name;
  run::Scratch scratch;
  metrics::WorkerMetrics metrics;
  run::ResultObjects resultObjects;  // before the supervisor, whose end is the executors'
  run::Supervisor supervisor;
  kj::Maybe<kj::Own<link::Link>> link;

  kj::Own<link::Introduction> introduce(const probe::Python& python, probe::Engines engines,
                                        kj::ArrayPtr<const probe::Fact> facts);
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

Worker::Worker(kj::AsyncIoContext& io, config::Options given, kj::Maybe<Token> secret, rlimit files,
               kj::Own<link::Dialer> dialer)
    : io(io),
      options(kj::mv(given)),
      token(kj::mv(secret)),
      dialer(kj::mv(dialer)),
      timer(io.provider->getTimer()),
      machine(probe::probeMachine(probe::Sources())),
      limits(dispatchLimits(options, machine)),
      name(options.name.map([](const kj::String& n) { return kj::str(n); })
               .orDefault(kj::str(machine.hostName, ':', getpid()))),
      scratch(run::Scratch::create(temporaryDirectory())),
      supervisor(io.unixEventPort, limits, executorCommand(options, files, scratch.path()), resultObjects, metrics) {
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

kj::Own<link::Introduction> Worker::introduce(const probe::Python& python, probe::Engines engines,
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
  auto levels = offeredLevels(limits.cpuSlots, limits.ioThreads, engines);
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
  rt::announce("joined", kj::str("\"worker\":", rt::quoted(name), ",\"id\":\"", id.value,
                                 "\",\"scheduler\":", rt::quoted(dialer->name())));
}

// ---- running -------------------------------------------------------------------------------------------------------

kj::Promise<int> Worker::serve() {
  auto ready = supervisor.start();  // executors import while the interpreter is asked
  probe::Facts facts;
  auto python = probe::probePython(options.python, facts);
  if (python.problem.size() > 0) refuse(kj::str("--python ", options.python, " ", python.problem));
  auto engines = probe::probeEngines(options.python, facts);
  metrics.setPython(toString(python.version));
  auto& made =
      *link.emplace(kj::heap<link::Link>(timer, *dialer, introduce(python, engines, facts.release()), supervisor, *this));
  return ready.exclusiveJoin(made.onDrain())
      .then([&made]() { return made.run(); })
      .then([this](kj::Maybe<link::Refused> refused) -> kj::Promise<int> {
        KJ_IF_MAYBE(r, refused) {
          fprintf(stderr, "epochly-worker: the scheduler at %s refused this worker: %s\n", dialer->name().cStr(),
                  r->why.cStr());
          return rt::EXIT_MISTAKE;
        }
        return supervisor.shutdown().then([]() {
          rt::log::info("left");
          return 0;
        });
      });
}

// The second signal, or the parent's end.
kj::Promise<int> Worker::untilTold() {
  auto& port = io.unixEventPort;
  auto told = rt::onStopSignal(port).then([this, &port]() -> kj::Promise<int> {
    KJ_IF_MAYBE(l, link) (*l)->drain();
    return rt::onStopSignal(port).then([]() -> int {
      rt::log::warning("a second signal: leaving at once");
      return EXIT_FAILED;
    });
  });
  KJ_IF_MAYBE(pid, options.parentPid) {
    return told.exclusiveJoin(rt::onGone(port, *pid).then([this, parent = *pid]() -> int {
      rt::log::info("the parent process is gone: leaving");
      resultObjects.removeAllAtEnd(parent);
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

kj::Promise<int> Worker::run() {
  auto told = untilTold();
  auto fatal = supervisor.onFatal().then([]() { return EXIT_FAILED; });
  auto background = sweepLoop().exclusiveJoin(refreshLoop()).then([]() { return EXIT_FAILED; });
  return serve().exclusiveJoin(kj::mv(told)).exclusiveJoin(kj::mv(fatal)).exclusiveJoin(kj::mv(background));
}

// ---- start ---------------------------------------------------------------------------------------------------------

void redirectLog(kj::StringPtr path) {
  int fd = open(path.cStr(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) refuse(kj::str("--log-file ", path, " cannot be opened: ", strerror(errno)));
  KJ_SYSCALL(dup2(fd, STDERR_FILENO));
  close(fd);
}

kj::Maybe<Token> loadToken(const config::Options& options) {
  return options.tokenFile.map([](const kj::String& path) { return Token::load(path); });
}

int serve(config::Options options) {
  KJ_IF_MAYBE(path, options.logFile) redirectLog(*path);
  rt::setLogLevel(options.logLevel);
  rt::LogLines lines;
  auto files = raiseFileLimit();
  rt::captureStopSignals();
  auto token = loadToken(options);
  auto io = kj::setupAsyncIo();
  auto dialer = kj::heap<link::SocketDialer>(io, KJ_ASSERT_NONNULL(options.scheduler));
  Worker worker(io, kj::mv(options), kj::mv(token), files, kj::mv(dialer));
  return worker.run().wait(io.waitScope);
}

// What the operator can mend exits 2 with one line; the rest says what it is.
int report(const kj::Exception& error) {
  bool isMistake = codeOf(error) == ErrorCode::INVALID_ARGUMENT;
  fprintf(stderr, "epochly-worker: %s\n", messageOf(error).cStr());
  return isMistake ? rt::EXIT_MISTAKE : EXIT_FAILED;
}

kj::OneOf<config::Options, config::Answer, config::Mistake> parse(kj::ArrayPtr<const kj::StringPtr> args) {
  config::Environment environment = rt::environmentVariable;
  return config::parse(args, environment);
}

}  // namespace

int runProgram(kj::ArrayPtr<const kj::StringPtr> args) { return rt::runParsed(parse(args), serve, report); }

kj::Own<Daemon> start(kj::AsyncIoContext& io, kj::ArrayPtr<const kj::StringPtr> args, kj::Own<link::Dialer> dialer) {
  auto parsed = parse(args);
  if (parsed.is<config::Mistake>()) refuse(kj::str(parsed.get<config::Mistake>().text));
  if (!parsed.is<config::Options>()) refuse(kj::str("the command line asks for no worker"));
  auto& options = parsed.get<config::Options>();
  auto files = raiseFileLimit();
  auto token = loadToken(options);
  return kj::heap<Worker>(io, kj::mv(options), kj::mv(token), files, kj::mv(dialer));
}

}  // namespace epochly::worker

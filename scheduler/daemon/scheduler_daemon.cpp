#include "daemon/scheduler_daemon.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <malloc.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <kj/debug.h>

#include "config/options.h"
#include "dispatch/worker_session.h"
#include "events/events.h"
#include "metrics/page.h"
#include "rest/server.h"
#include "rpc/client_links.h"
#include "rpc/gateway.h"
#include "rpc/listener.h"
#include "rt/log.h"
#include "rt/mailbox.h"
#include "rt/process.h"
#include "store/memory_store.h"
#include "wire/task_spec.h"
#include "wire/token.h"

namespace epochly::scheduler {
namespace {

constexpr int EXIT_ABANDONED = 1;  // tasks were left behind, or it could not start

// REST requests waiting for one turn of the loop; it answers thousands a second.
constexpr size_t MAILBOX_MAX = 256;
constexpr kj::Duration LAG_PROBE = 1 * kj::SECONDS;
// Tasks whose memory is worth giving back: 30 MB, which takes 3 ms.
constexpr size_t TRIM_TASKS_MIN = 100'000;
// How often a drain looks whether it is done. Only while draining.
constexpr kj::Duration DRAIN_LOOK = 10 * kj::MILLISECONDS;

class SystemRandom final : public core::Random {
 public:
  uint64_t next() override {
    if (used == sizeof(numbers) / sizeof(numbers[0])) {
      KJ_ASSERT(getrandom(numbers, sizeof(numbers), 0) == sizeof(numbers));  // up to 256 bytes are never cut short
      used = 0;
    }
    return numbers[used++];
  }

 private:
  uint64_t numbers[32];
  size_t used = 32;
};

// Calls onTick on the loop when the core asks for it.
class LoopTimer final : public core::TimerPort, private kj::TaskSet::ErrorHandler {
 public:
  LoopTimer(kj::Timer& timer, const kj::MonotonicClock& clock) : timer(timer), clock(clock), tasks(*this) {}
  ~LoopTimer() noexcept override {}
  void bind(events::Events& target) { events = &target; }

  void wakeAt(kj::TimePoint when) override {
    canceler.cancel("replaced by an earlier time");
    tasks.add(canceler.wrap(timer.atTime(when)).then([this]() { events->onTick(clock.now()); }, [](kj::Exception&&) {}));
  }

 private:
  kj::Timer& timer;
  const kj::MonotonicClock& clock;
  events::Events* events = nullptr;
  kj::TaskSet tasks;
  kj::Canceler canceler;

  void taskFailed(kj::Exception&& exception) override { rt::log::error("a tick failed: ", exception); }
};

// The allocator keeps what a full queue once took. When that queue has been worked off, it goes back to the system.
class Trimmer {
 public:
  void look(size_t tasks) {
    most = std::max(most, tasks);
    if (tasks > 0 || most < TRIM_TASKS_MIN) return;
    malloc_trim(0);
    most = 0;
  }

 private:
  size_t most = 0;  // tasks at once since the last time
};

// ---- REST ----------------------------------------------------------------------------------------------------------

double unixSeconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

rest::Times timesOf(const char* name, const metrics::Histogram& histogram) {
  return {name,
          histogram.count(),
          metrics::meanSeconds(histogram),
          metrics::quantileSeconds(histogram, 0.5),
          metrics::quantileSeconds(histogram, 0.9),
          metrics::quantileSeconds(histogram, 0.99)};
}

rest::LevelFigures figuresOf(const metrics::Counts& counts, Level level) {
  auto index = static_cast<uint>(level);
  rest::LevelFigures figures;
  figures.level = level;
  figures.submitted = counts.submitted[index];
  figures.succeeded = counts.finishedAt(level, core::Outcome::SUCCEEDED);
  figures.failed = counts.finishedAt(level, core::Outcome::FAILED);
  figures.cancelled = counts.finishedAt(level, core::Outcome::CANCELLED);
  figures.declined = counts.declined[index];
  if (counts.cpuSeconds[index] > 0) figures.cpuSeconds = counts.cpuSeconds[index];
  for (uint phase = 0; phase < metrics::PHASE_COUNT; phase++) {
    figures.times.push_back(timesOf(metrics::phaseName(static_cast<metrics::Phase>(phase)), counts.phases[index][phase]));
  }
  figures.times.push_back(timesOf("end_to_end", counts.endToEnd[index]));
  return figures;
}

// ---- the scheduler -------------------------------------------------------------------------------------------------

// Everything there is, in the order in which it must end: last made, first gone.
class Scheduler final : public Daemon {
 public:
  Scheduler(kj::AsyncIoContext& io, config::Options given, kj::Maybe<Token> secret)
      : io(io),
        options(kj::mv(given)),
        token(kj::mv(secret)),
        timer(io.provider->getTimer()),
        clock(kj::systemPreciseMonotonicClock()),
        loopTimer(timer, clock),
        workers(core, clock),
        clients(core, clock),
        events(core, core::Ports{workers, clients, store, loopTimer, random}, observer, options.thresholds),
        mailbox(io.unixEventPort, MAILBOX_MAX),
        services{core,
                 events,
                 clients,
                 options.thresholds,
                 clock,
                 [this]() { return store.committed(); },
                 [this](auto info, auto sink, auto close) { return join(info, kj::mv(sink), kj::mv(close)); },
                 token.map([](auto& t) -> const Token& { return t; })},
        background(kj::READY_NOW) {
    core.limits = options.limits;
    workers.bind(events);
    clients.bind(events);
    loopTimer.bind(events);
  }

  ~Scheduler() noexcept(false) override {}
  // Listens everywhere, then says so on stdout.
  void start(kj::WaitScope& scope);
  kj::Promise<int> untilTold() override;
  Door openDoor() override;

 private:
  kj::AsyncIoContext& io;
  const config::Options options;
  const kj::Maybe<Token> token;
  kj::Timer& timer;
  const kj::MonotonicClock& clock;
  core::Core core;
  metrics::Metrics observer;
  store::MemoryStore store;
  SystemRandom random;
  LoopTimer loopTimer;
  dispatch::WorkerLinks workers;
  rpc::ClientLinks clients;
  events::Events events;
  rt::Mailbox mailbox;
  Trimmer trimmer;
  kj::Maybe<kj::Own<rest::Server>> rest;
  rpc::Services services;
  kj::Maybe<kj::Own<rpc::Listener>> listener;
  kj::Promise<void> background;  // the mailbox and probeLag(); never resolves

  rpc::Joined join(schema::WorkerInfo::Reader info, schema::WorkerSink::Client sink, rpc::Close close) {
    auto worker = dispatch::joinWorker(workers, info, kj::mv(sink), kj::mv(close));
    return {worker.id, kj::mv(worker.session)};
  }
  void startRest(const rt::Address& address);
  metrics::Outside outside() const;
  kj::Promise<void> probeLag();  // and what else is due once a second
  kj::Promise<int> drain();
  kj::Promise<void> drained(kj::TimePoint deadline);
  bool isDone() const;
};

void Scheduler::startRest(const rt::Address& address) {
  rest::ServerOptions server;
  server.listen = rt::Address{address.reach, kj::String(), kj::str(address.host), address.port};
  for (auto& host : options.httpAllowHosts) server.allowedHosts.push_back(host.cStr());
  server.token = services.token;
  rest::FigureSource figures;
  figures.levels = [this]() {
    std::vector<rest::LevelFigures> all;
    for (uint level = 0; level < LEVEL_COUNT; level++)
      all.push_back(figuresOf(observer.counts(), static_cast<Level>(level)));
    return all;
  };
  figures.page = [this]() {
    return
        [snapshot = metrics::Snapshot::take(observer, core, outside(), clock.now())]() { return metrics::page(snapshot); };
  };
  auto look = [this]() { return rest::Moment{core, options.thresholds, clock.now(), unixSeconds()}; };
  auto& running = rest.emplace(kj::heap<rest::Server>(std::move(server), mailbox, look, std::move(figures)));
  services.httpUrl = kj::str(running->url().c_str());
}

metrics::Outside Scheduler::outside() const {
  auto& figures = services.figures;
  return {figures.connections, figures.connectionsRefused, figures.connectionsMalformed, figures.hellosRefused,
          figures.calls};
}

void Scheduler::start(kj::WaitScope& scope) {
  KJ_IF_MAYBE(address, options.http) {
    startRest(*address);
  }
  auto& listening = *listener.emplace(kj::heap<rpc::Listener>(io, services));
  kj::Vector<kj::String> addresses;
  for (auto& address : options.listen) addresses.add(rt::quoted(listening.listen(address).wait(scope).toString()));
  background = mailbox.run().exclusiveJoin(probeLag()).eagerlyEvaluate([](kj::Exception&& error) {
    rt::log::error("the loop's own work ended: ", error);
    std::abort();  // REST would wait for ever: better to be started anew
  });
  auto http = services.httpUrl.size() == 0 ? kj::str("null") : rt::quoted(services.httpUrl);
  rt::announce("ready", kj::str("\"address\":", addresses[0], ",\"addresses\":[", kj::strArray(addresses, ","),
                                "],\"http\":", http, ",\"pid\":", getpid()));
  rt::log::info("epochly-scheduler ", SOFTWARE_VERSION, " listens on ", kj::strArray(addresses, ", "), ", http ", http);
}

kj::Promise<void> Scheduler::probeLag() {
  auto due = clock.now() + LAG_PROBE;
  return timer.atTime(due).then([this, due]() {
    observer.loopLag(clock.now() - due);
    trimmer.look(core.tasks.size());
    return probeLag();
  });
}

// ---- the end -------------------------------------------------------------------------------------------------------

// All that was accepted has ended, and whoever is connected has been told.
bool Scheduler::isDone() const {
  if (!core.tasks.empty()) return false;
  for (auto& [space, client] : core.clients) {
    if (client.connected && !client.results.empty()) return false;
  }
  return true;
}

kj::Promise<void> Scheduler::drained(kj::TimePoint deadline) {
  if (isDone() || clock.now() >= deadline) return kj::READY_NOW;
  return timer.afterDelay(DRAIN_LOOK).then([this, deadline]() { return drained(deadline); });
}

kj::Promise<int> Scheduler::drain() {
  events.onDrain(clock.now());
  rt::log::info("draining: ", core.tasks.size(), " tasks have up to ", options.drain / kj::SECONDS, " s to end");
  return drained(clock.now() + options.drain).then([this]() -> int {
    if (isDone()) {
      rt::log::info("drained");
    } else {
      auto left = kj::str("the time for draining is over: ", core.tasks.size(), " tasks did not end or were not delivered");
      if (options.drain > 0 * kj::SECONDS) {
        rt::log::warning(left);
      } else {
        rt::log::info(left);  // as whoever gave no time wanted it
      }
    }
    return 0;
  });
}

kj::Promise<int> Scheduler::untilTold() {
  auto& port = io.unixEventPort;
  auto stopped = rt::onStopSignal(port).then([this, &port]() {
    return drain().exclusiveJoin(rt::onStopSignal(port).then([]() -> int {
      rt::log::warning("a second signal: leaving at once");
      return EXIT_ABANDONED;
    }));
  });
  KJ_IF_MAYBE(pid, options.parentPid) {
    return stopped.exclusiveJoin(rt::onGone(port, *pid).then([]() -> int {
      rt::log::info("the parent process is gone: leaving");
      return 0;
    }));
  }
  return stopped;
}

Door Scheduler::openDoor() {
  auto closing = kj::newPromiseAndFulfiller<void>();
  auto peer = kj::refcounted<rpc::Peer>(kj::str("this process"), kj::mv(closing.fulfiller), []() {});
  return {kj::heap<rpc::Gateway>(services, kj::mv(peer)), kj::mv(closing.promise)};
}

// ---- start ---------------------------------------------------------------------------------------------------------

// Each connection is a descriptor, and the usual soft limit is 1024.
void raiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

kj::Maybe<Token> loadToken(const config::Options& options) {
  return options.tokenFile.map([](const kj::String& path) { return Token::load(path); });
}

int serve(config::Options options) {
  rt::setLogLevel(options.logLevel);
  rt::LogLines lines;
  raiseFileLimit();
  rt::captureStopSignals();
  auto token = loadToken(options);
  auto io = kj::setupAsyncIo();
  Scheduler scheduler(io, kj::mv(options), kj::mv(token));
  scheduler.start(io.waitScope);
  return scheduler.untilTold().wait(io.waitScope);
}

// What the operator can mend exits 2 with one line; the rest says what it is.
int report(const kj::Exception& error) {
  bool isMistake = codeOf(error) == ErrorCode::INVALID_ARGUMENT;
  fprintf(stderr, "epochly-scheduler: %s\n", isMistake ? messageOf(error).cStr() : kj::str(error).cStr());
  return isMistake ? rt::EXIT_MISTAKE : EXIT_ABANDONED;
}

kj::OneOf<config::Options, config::Answer, config::Mistake> parse(kj::ArrayPtr<const kj::StringPtr> args) {
  config::Environment environment = rt::environmentVariable;
  return config::parse(args, environment);
}

}  // namespace

int runProgram(kj::ArrayPtr<const kj::StringPtr> args) { return rt::runParsed(parse(args), serve, report); }

kj::Own<Daemon> start(kj::AsyncIoContext& io, kj::ArrayPtr<const kj::StringPtr> args) {
  auto parsed = parse(args);
  if (parsed.is<config::Mistake>()) {
    kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, parsed.get<config::Mistake>().text));
  }
  if (!parsed.is<config::Options>()) {
    kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT, "the command line asks for no scheduler"));
  }
  auto& options = parsed.get<config::Options>();
  auto token = loadToken(options);
  auto scheduler = kj::heap<Scheduler>(io, kj::mv(options), kj::mv(token));
  scheduler->start(io.waitScope);
  return scheduler;
}

}  // namespace epochly::scheduler

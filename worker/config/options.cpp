#include "config/options.h"

#include <charconv>

#include <kj/main.h>

#include "run/progress.h"
#include "wire/task_spec.h"

namespace epochly::worker::config {

namespace {

using Result = kj::OneOf<Options, Answer, Mistake>;
using Validity = kj::MainBuilder::Validity;

constexpr kj::StringPtr PROGRAM = "epochly-worker"_kj;

// kj::MainBuilder ends the process where it would print help or an error; here it ends parse() instead.
class ParseContext final : public kj::ProcessContext {
 public:
  struct Ended {
    kj::OneOf<Answer, Mistake> result;
  };

  kj::StringPtr getProgramName() override { return PROGRAM; }
  KJ_NORETURN(void exit() override) { throw Ended{Answer{}}; }
  void warning(kj::StringPtr message) override { rt::log::warning(message); }
  void error(kj::StringPtr message) override { exitError(message); }
  KJ_NORETURN(void exitError(kj::StringPtr message) override) {
    auto line = message.slice(0, message.findFirst('\n').orDefault(message.size()));  // the next one says "Try --help"
    throw Ended{Mistake{kj::str(line, "; see --help")}};
  }
  KJ_NORETURN(void exitInfo(kj::StringPtr message) override) { throw Ended{Answer{kj::str(message, '\n')}}; }
  void increaseLoggingVerbosity() override { verbose = true; }

  bool verbose = false;
};

template <typename T>
kj::Maybe<T> parseNumber(kj::StringPtr text) {
  T value = 0;
  auto [rest, error] = std::from_chars(text.begin(), text.end(), value);
  if (text.size() == 0 || error != std::errc() || rest != text.end()) return nullptr;
  return value;
}

// 67108864, 64KiB, 64MiB, 64GiB.
kj::Maybe<uint64_t> parseBytes(kj::StringPtr text) {
  struct Unit {
    kj::StringPtr name;
    uint shift;
  };
  for (auto& unit : {Unit{"KiB", 10}, Unit{"MiB", 20}, Unit{"GiB", 30}}) {
    if (!text.endsWith(unit.name)) continue;
    KJ_IF_MAYBE(number, parseNumber<uint64_t>(kj::str(text.slice(0, text.size() - unit.name.size())))) {
      if (*number <= UINT64_MAX >> unit.shift) return *number << unit.shift;
    }
    return nullptr;
  }
  return parseNumber<uint64_t>(text);
}

template <typename T, typename To>
Validity setNumber(To& to, kj::StringPtr text, T min, T max) {
  KJ_IF_MAYBE(value, parseNumber<T>(text)) {
    if (*value >= min && *value <= max) {
      to = *value;
      return true;
    }
  }
  return kj::str("expected a whole number from ", min, " to ", max);
}

Validity setScheduler(Options& options, kj::StringPtr text) {
  KJ_IF_MAYBE(address, rt::parseAddress(text)) {
    if (address->reach != rt::Reach::UNIX_SOCKET && address->port == 0) return "the port is missing";
    options.scheduler = kj::mv(*address);
    return true;
  }
  return "expected unix:PATH or tcp://HOST:PORT";
}

Validity setMetrics(Options& options, kj::StringPtr text) {
  KJ_IF_MAYBE(address, rt::parseHostPort(text)) {
    options.metrics = kj::mv(*address);
    return true;
  }
  return "expected HOST:PORT";
}

Validity setMemory(Options& options, kj::StringPtr text) {
  KJ_IF_MAYBE(bytes, parseBytes(text)) {
    if (*bytes >= EXECUTOR_MEMORY_MIN) {
      options.executorMemory = *bytes;
      return true;
    }
  }
  return kj::str("expected a number of bytes, such as 2147483648 or 2GiB, of at least ", EXECUTOR_MEMORY_MIN);
}

Validity setLogLevel(Options& options, kj::StringPtr text) {
  KJ_IF_MAYBE(level, rt::parseLogLevel(text)) {
    options.logLevel = *level;
    return true;
  }
  return "expected debug, info, warning or error";
}

template <typename To>
Validity setText(To& to, kj::StringPtr text) {
  if (text.size() == 0) return "expected a value";
  to = kj::str(text);
  return true;
}

kj::MainFunc makeMain(kj::ProcessContext& context, Options& o) {
  using Text = kj::StringPtr;
  static const kj::String VERSION = kj::str(PROGRAM, ' ', SOFTWARE_VERSION);  // MainBuilder keeps a pointer
  return kj::MainBuilder(
             context, VERSION, "Runs tasks for a scheduler in Python processes that it supervises.",
             "When it has joined it prints one line of JSON on stdout. SIGTERM or SIGINT: gives back what has not begun, "
             "finishes the rest, exits 0. A second one: exits at once. Exit status 2: a wrong option, or the scheduler "
             "refused this worker; 1: executors do not start.")
      .addOptionWithArg(
          {"scheduler"}, [&o](Text t) { return setScheduler(o, t); }, "<address>",
          "The scheduler to join: unix:PATH or tcp://HOST:PORT. Default: $EPOCHLY_ADDRESS.")
      .addOptionWithArg(
          {"name"}, [&o](Text t) { return setText(o.name, t); }, "<name>",
          "What people call this worker. Default: its host's name and process id.")
      .addOptionWithArg(
          {"python"}, [&o](Text t) { return setText(o.python, t); }, "<path>",
          "The interpreter that runs the tasks; epochly must be importable in it. Default: python3.")
      .addOptionWithArg(
          {"cpu-slots"}, [&o](Text t) { return setNumber<uint>(o.cpuSlots, t, 1, CPU_SLOTS_MAX); }, "<n>",
          "Tasks that compute at once, each in a process of its own. Default: the cores this process may use.")
      .addOptionWithArg(
          {"io-threads"}, [&o](Text t) { return setNumber<uint>(o.ioThreads, t, 1, run::IO_THREADS_MAX); }, "<n>",
          "Tasks that wait at once, as threads of one process. Default: 256.")
      .addOptionWithArg(
          {"token-file"}, [&o](Text t) { return setText(o.tokenFile, t); }, "<file>", "The scheduler's token.")
      .addOptionWithArg(
          {"metrics"}, [&o](Text t) { return setMetrics(o, t); }, "<host:port>",
          "Serve this worker's own Prometheus metrics there, at /metrics. :PORT is loopback only. Default: not at all.")
      .addOptionWithArg(
          {"executor-memory"}, [&o](Text t) { return setMemory(o, t); }, "<bytes>",
          "Address space of each executor process (2GiB). Default: no limit.")
      .addOptionWithArg(
          {"executor-open-files"},
          [&o](Text t) { return setNumber<uint64_t>(o.executorOpenFiles, t, EXECUTOR_OPEN_FILES_MIN, 1u << 30); }, "<n>",
          "Open files of each executor process. Default: this process's own limit.")
      .addOptionWithArg(
          {"executor-user"}, [&o](Text t) { return setText(o.executorUser, t); }, "<user>",
          "Run executors as this user; only root can. Shared memory is not used then: it belongs to one user.")
      .addOptionWithArg(
          {"parent-pid"}, [&o](Text t) { return setNumber<pid_t>(o.parentPid, t, 1, INT32_MAX); }, "<pid>",
          "Exit when this process is gone.")
      .addOptionWithArg(
          {"log-level"}, [&o](Text t) { return setLogLevel(o, t); }, "<level>",
          "debug, info, warning or error. Default: $EPOCHLY_LOG, else info.")
      .addOptionWithArg(
          {"log-file"}, [&o](Text t) { return setText(o.logFile, t); }, "<file>",
          "Append the log, and what tasks write to standard error, to this file. Default: standard error.")
      .callAfterParsing([&o]() -> Validity {
        if (o.scheduler == nullptr) return "--scheduler is missing: unix:PATH or tcp://HOST:PORT";
        return true;
      })
      .build();
}

kj::Maybe<Mistake> readVariables(Options& options, Environment& environment) {
  auto read = [&](kj::StringPtr name, auto set) -> kj::Maybe<Mistake> {
    KJ_IF_MAYBE(value, environment(name)) {
      KJ_IF_MAYBE(wrong, set(options, *value).releaseError()) {
        return Mistake{kj::str(PROGRAM, ": ", name, "=", *value, ": ", *wrong, "; see --help")};
      }
    }
    return nullptr;
  };
  KJ_IF_MAYBE(wrong, read("EPOCHLY_ADDRESS", setScheduler)) return kj::mv(*wrong);
  return read("EPOCHLY_LOG", setLogLevel);
}

}  // namespace

Result parse(kj::ArrayPtr<const kj::StringPtr> args, Environment& environment) {
  Options options;
  ParseContext context;
  KJ_IF_MAYBE(wrong, readVariables(options, environment)) return kj::mv(*wrong);
  auto main = makeMain(context, options);
  try {
    main(PROGRAM, args);
  } catch (ParseContext::Ended& ended) {
    if (ended.result.is<Answer>()) return kj::mv(ended.result.get<Answer>());
    return kj::mv(ended.result.get<Mistake>());
  }
  if (context.verbose) options.logLevel = rt::LogLevel::DEBUG;
  return kj::mv(options);
}

}  // namespace epochly::worker::config

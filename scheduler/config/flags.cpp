#include "config/flags.h"

#include <charconv>
#include <cmath>

namespace epochly::config {

using core::Limits;
using Setter = kj::ConstFunction<kj::Maybe<kj::String>(Options& options, kj::StringPtr text)>;
using Shower = kj::ConstFunction<kj::String(const Options& options)>;

// ---- values --------------------------------------------------------------------------------------------------------

kj::Maybe<uint64_t> parseCount(kj::StringPtr text) {
  uint64_t value = 0;
  auto [rest, error] = std::from_chars(text.begin(), text.end(), value);
  if (text.size() == 0 || error != std::errc() || rest != text.end()) return nullptr;
  return value;
}

kj::Maybe<uint64_t> parseBytes(kj::StringPtr text) {
  struct Suffix {
    kj::StringPtr name;
    uint shift;
  };
  for (auto& suffix : {Suffix{"KiB", 10}, Suffix{"MiB", 20}, Suffix{"GiB", 30}}) {
    if (!text.endsWith(suffix.name)) continue;
    KJ_IF_MAYBE(number, parseCount(kj::str(text.slice(0, text.size() - suffix.name.size())))) {
      if (*number <= (UINT64_MAX >> suffix.shift)) return *number << suffix.shift;
    }
    return nullptr;
  }
  return parseCount(text);
}

kj::Maybe<double> parseFigure(kj::StringPtr text) {
  double value = 0;
  auto [rest, error] = std::from_chars(text.begin(), text.end(), value);
  if (text.size() == 0 || error != std::errc() || rest != text.end() || !std::isfinite(value) || value < 0) return nullptr;
  return value;
}

namespace {

constexpr uint64_t MEMORY_MAX = 1ull << 50;  // more than any machine has: a slip of the finger

template <typename T>
Setter setCount(T Limits::*member, uint64_t min, uint64_t max) {
  return [=](Options& options, kj::StringPtr text) -> kj::Maybe<kj::String> {
    KJ_IF_MAYBE(value, parseCount(text)) {
      if (*value >= min && *value <= max) {
        options.limits.*member = static_cast<T>(*value);
        return nullptr;
      }
    }
    return kj::str("is a whole number from ", min, " to ", max);
  };
}

template <typename T>
Shower showCount(T Limits::*member) {
  return [=](const Options& options) { return kj::str(options.limits.*member); };
}

Setter setBytes(uint64_t Limits::*member) {
  return [=](Options& options, kj::StringPtr text) -> kj::Maybe<kj::String> {
    KJ_IF_MAYBE(value, parseBytes(text)) {
      if (*value > 0 && *value <= MEMORY_MAX) {
        options.limits.*member = *value;
        return nullptr;
      }
    }
    return kj::str("is a number of bytes, such as 1048576, 64MiB or 2GiB");
  };
}

Shower showBytes(uint64_t Limits::*member) {
  return [=](const Options& options) { return kj::str((options.limits.*member) >> 20, "MiB"); };
}

Setter setDuration(kj::Duration Limits::*member, kj::Duration unit, uint64_t min, uint64_t max) {
  return [=](Options& options, kj::StringPtr text) -> kj::Maybe<kj::String> {
    KJ_IF_MAYBE(value, parseCount(text)) {
      if (*value >= min && *value <= max) {
        options.limits.*member = static_cast<int64_t>(*value) * unit;
        return nullptr;
      }
    }
    return kj::str("is a whole number from ", min, " to ", max);
  };
}

Shower showDuration(kj::Duration Limits::*member, kj::Duration unit) {
  return [=](const Options& options) { return kj::str((options.limits.*member) / unit); };
}

Setter setThreshold(double classify::Thresholds::*member, double max) {
  return [=](Options& options, kj::StringPtr text) -> kj::Maybe<kj::String> {
    KJ_IF_MAYBE(value, parseFigure(text)) {
      if (*value <= max) {
        options.thresholds.*member = *value;
        return nullptr;
      }
    }
    return kj::str("is a number from 0 to ", max);
  };
}

Shower showThreshold(double classify::Thresholds::*member) {
  return [=](const Options& options) { return kj::str(options.thresholds.*member); };
}

// ---- addresses and the process -------------------------------------------------------------------------------------

kj::Maybe<kj::String> addListen(Options& options, kj::StringPtr text) {
  KJ_IF_MAYBE(address, rt::parseAddress(text)) {
    options.listen.add(kj::mv(*address));
    return nullptr;
  }
  return kj::str("is unix:PATH (at most 107 bytes) or tcp://HOST:PORT");
}

kj::Maybe<kj::String> setHttp(Options& options, kj::StringPtr text) {
  if (text == "off") {
    options.http = nullptr;
    return nullptr;
  }
  KJ_IF_MAYBE(address, rt::parseHostPort(text)) {
    options.http = kj::mv(*address);
    return nullptr;
  }
  return kj::str("is HOST:PORT, [IPV6]:PORT, :PORT for loopback, or off");
}

kj::Maybe<kj::String> addAllowHost(Options& options, kj::StringPtr text) {
  if (text.size() == 0 || text.findFirst('/') != nullptr) return kj::str("is a host name or address, without port or path");
  options.httpAllowHosts.add(kj::str(text));
  return nullptr;
}

kj::Maybe<kj::String> setStore(Options& options, kj::StringPtr text) {
  if (text == "memory") return nullptr;
  return kj::str("is memory: the only store there is yet");
}

kj::Maybe<kj::String> setTokenFile(Options& options, kj::StringPtr text) {
  if (text.size() == 0) return kj::str("is a path");
  options.tokenFile = kj::str(text);
  return nullptr;
}

kj::Maybe<kj::String> setParentPid(Options& options, kj::StringPtr text) {
  KJ_IF_MAYBE(pid, parseCount(text)) {
    if (*pid > 0 && *pid <= 1 << 22) {  // the kernel's PID_MAX_LIMIT
      options.parentPid = static_cast<pid_t>(*pid);
      return nullptr;
    }
  }
  return kj::str("is the number of a process");
}

kj::Maybe<kj::String> setDrain(Options& options, kj::StringPtr text) {
  constexpr uint64_t SECONDS_MAX = 24 * 3600;
  KJ_IF_MAYBE(seconds, parseCount(text)) {
    if (*seconds <= SECONDS_MAX) {
      options.drain = static_cast<int64_t>(*seconds) * kj::SECONDS;
      return nullptr;
    }
  }
  return kj::str("is a whole number from 0 to ", SECONDS_MAX);
}

kj::Maybe<kj::String> setLogLevel(Options& options, kj::StringPtr text) {
  KJ_IF_MAYBE(level, rt::parseLogLevel(text)) {
    options.logLevel = *level;
    return nullptr;
  }
  return kj::str("is debug, info, warning or error");
}

Shower always(kj::StringPtr text) {
  return [text](const Options&) { return kj::str(text); };
}

constexpr bool LIST = true;
constexpr bool ONE = false;

kj::Array<Flag> addressFlags() {
  return kj::arr(
      Flag{"listen", "ADDRESS", "where clients and workers connect: unix:PATH or tcp://HOST:PORT; may be repeated",
           "EPOCHLY_LISTEN", LIST, addListen, always("tcp://127.0.0.1:7070")},
      Flag{"http", "HOST:PORT|off", "where REST and /metrics are served; port 0 takes a free one", "EPOCHLY_HTTP", ONE,
           setHttp, always("127.0.0.1:8080")},
      Flag{"http-allow-host", "NAME", "another name this service is reached by (Host and Origin headers); may be repeated",
           "EPOCHLY_HTTP_ALLOW_HOST", LIST, addAllowHost, always("")},
      Flag{"token-file", "FILE", "secret that every connection must show; required beyond this machine",
           "EPOCHLY_TOKEN_FILE", ONE, setTokenFile, always("")});
}

kj::Array<Flag> processFlags() {
  return kj::arr(
      Flag{"store", "memory", "where accepted tasks are kept", "EPOCHLY_STORE", ONE, setStore, always("memory")},
      Flag{"drain-seconds", "N", "after SIGTERM, how long running tasks may take to finish", "EPOCHLY_DRAIN_SECONDS", ONE,
           setDrain, [](const Options& options) { return kj::str(options.drain / kj::SECONDS); }},
      Flag{"parent-pid", "PID", "exit when this process is gone", "", ONE, setParentPid, always("")},
      Flag{"log-level", "LEVEL", "debug, info, warning or error", "EPOCHLY_LOG", ONE, setLogLevel, always("info")});
}

Flag countFlag(kj::StringPtr name, kj::StringPtr variable, uint64_t Limits::*member, uint64_t max, kj::StringPtr help) {
  return Flag{name, "N", help, variable, ONE, setCount(member, 1, max), showCount(member)};
}
Flag countFlag(kj::StringPtr name, kj::StringPtr variable, uint32_t Limits::*member, uint64_t max, kj::StringPtr help) {
  return Flag{name, "N", help, variable, ONE, setCount(member, 1, max), showCount(member)};
}
Flag bytesFlag(kj::StringPtr name, kj::StringPtr variable, uint64_t Limits::*member, kj::StringPtr help) {
  return Flag{name, "BYTES", help, variable, ONE, setBytes(member), showBytes(member)};
}
Flag secondsFlag(kj::StringPtr name, kj::StringPtr variable, kj::Duration Limits::*member, kj::StringPtr help) {
  return Flag{
      name, "N", help, variable, ONE, setDuration(member, kj::SECONDS, 0, 24 * 3600), showDuration(member, kj::SECONDS)};
}
Flag millisecondsFlag(kj::StringPtr name, kj::StringPtr variable, kj::Duration Limits::*member, kj::StringPtr help) {
  return Flag{name,
              "N",
              help,
              variable,
              ONE,
              setDuration(member, kj::MILLISECONDS, 1, 3600 * 1000),
              showDuration(member, kj::MILLISECONDS)};
}

kj::Array<Flag> limitFlags() {
  return kj::arr(
      countFlag("tasks-max", "EPOCHLY_TASKS_MAX", &Limits::tasksMax, 1ull << 32, "tasks accepted and not ended"),
      bytesFlag("argument-bytes-max", "EPOCHLY_ARGUMENT_BYTES_MAX", &Limits::argumentBytesMax, "their arguments"),
      bytesFlag("result-bytes-max", "EPOCHLY_RESULT_BYTES_MAX", &Limits::resultBytesMax, "results a client has not taken"),
      countFlag("functions-max", "EPOCHLY_FUNCTIONS_MAX", &Limits::functionsMax, 1ull << 24, "functions known at once"),
      bytesFlag("function-bytes-max", "EPOCHLY_FUNCTION_BYTES_MAX", &Limits::functionBytesMax, "their code"),
      countFlag("workers-max", "EPOCHLY_WORKERS_MAX", &Limits::workersMax, 1ull << 20, "workers joined at once"),
      countFlag("clients-max", "EPOCHLY_CLIENTS_MAX", &Limits::clientsMax, 1ull << 20, "clients connected or awaited"),
      countFlag("ended-max", "EPOCHLY_ENDED_MAX", &Limits::endedMax, 1ull << 32, "ended tasks that REST still knows"),
      countFlag("prefetch-max", "EPOCHLY_PREFETCH_MAX", &Limits::prefetchMax, 1u << 20,
                "attempts sent ahead of a free slot"),
      countFlag("inflight-max", "EPOCHLY_INFLIGHT_MAX", &Limits::inflightMax, 1u << 24, "attempts at one worker and pool"));
}

kj::Array<Flag> timeFlags() {
  return kj::arr(
      millisecondsFlag("heartbeat-ms", "EPOCHLY_HEARTBEAT_MS", &Limits::heartbeat,
                       "how often workers beat; after three missed their tasks are taken back"),
      millisecondsFlag("prefetch-ms", "EPOCHLY_PREFETCH_MS", &Limits::prefetch, "how far ahead workers are given work"),
      millisecondsFlag("retry-delay-ms", "EPOCHLY_RETRY_DELAY_MS", &Limits::retryDelay,
                       "before a first retry; doubled each time"),
      millisecondsFlag("retry-delay-max-ms", "EPOCHLY_RETRY_DELAY_MAX_MS", &Limits::retryDelayMax, "the most it grows to"),
      millisecondsFlag("retry-after-ms", "EPOCHLY_RETRY_AFTER_MS", &Limits::retryAfter, "told to clients that met a limit"),
      secondsFlag("client-grace-seconds", "EPOCHLY_CLIENT_GRACE_SECONDS", &Limits::clientGrace,
                  "a client that lost its connection may return within this"),
      secondsFlag("unfit-grace-seconds", "EPOCHLY_UNFIT_GRACE_SECONDS", &Limits::unfitGrace,
                  "tasks that fit no worker wait this long for one"));
}

Flag thresholdFlag(kj::StringPtr name, kj::StringPtr variable, double classify::Thresholds::*member, double max,
                   kj::StringPtr help) {
  return Flag{name, "X", help, variable, ONE, setThreshold(member, max), showThreshold(member)};
}

kj::Array<Flag> thresholdFlags() {
  using classify::Thresholds;
  return kj::arr(thresholdFlag("threshold-io-wait-ratio", "EPOCHLY_THRESHOLD_IO_WAIT_RATIO", &Thresholds::ioWaitRatio, 1,
                               "a larger share of waiting is I/O-bound: level 1"),
                 thresholdFlag("threshold-loop-iterations", "EPOCHLY_THRESHOLD_LOOP_ITERATIONS", &Thresholds::loopIterations,
                               1e18, "more iterations per call are a hot loop: level 2"),
                 thresholdFlag("threshold-data-size-parallel", "EPOCHLY_THRESHOLD_DATA_SIZE_PARALLEL",
                               &Thresholds::dataSizeParallel, 1e18, "more elements per call are worth splitting: level 3"),
                 thresholdFlag("threshold-data-size-gpu", "EPOCHLY_THRESHOLD_DATA_SIZE_GPU", &Thresholds::dataSizeGpu, 1e18,
                               "more elements in hot loops are worth a GPU: level 4"));
}

}  // namespace

kj::Array<FlagGroup> flagGroups() {
  return kj::arr(FlagGroup{"Addresses", addressFlags()}, FlagGroup{"Process", processFlags()},
                 FlagGroup{"Limits (past one, callers are told and nothing is lost)", limitFlags()},
                 FlagGroup{"Times", timeFlags()}, FlagGroup{"Classification", thresholdFlags()});
}

}  // namespace epochly::config

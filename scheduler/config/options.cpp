#include "config/options.h"

#include <set>

#include <kj/debug.h>

#include "config/flags.h"
#include "wire/task_spec.h"

namespace epochly::config {

namespace {

using Result = kj::OneOf<Options, Answer, Mistake>;

constexpr kj::StringPtr DEFAULT_LISTEN = "tcp://127.0.0.1:7070"_kj;
constexpr kj::StringPtr DEFAULT_HTTP = "127.0.0.1:8080"_kj;

constexpr kj::StringPtr EXAMPLES =
    "Examples:\n"
    "  epochly-scheduler                                   loopback only: tcp://127.0.0.1:7070, http://127.0.0.1:8080\n"
    "  epochly-scheduler --listen unix:/run/epochly.sock --http off\n"
    "  openssl rand -hex 32 > token && chmod 600 token\n"
    "  epochly-scheduler --listen tcp://0.0.0.0:7070 --http 0.0.0.0:8080 --token-file token\n"
    "\n"
    "When it listens it prints one line of JSON on stdout, with the addresses and ports it got.\n"
    "SIGTERM or SIGINT: takes nothing new, finishes what runs, exits 0. A second one: exits at once.\n"_kj;

kj::String help() {
  kj::Vector<kj::String> lines;
  lines.add(
      kj::str("Usage: epochly-scheduler [OPTION]...\n\nTakes tasks from clients, gives them to workers, returns results."));
  Options defaults;
  for (auto& group : flagGroups()) {
    lines.add(kj::str("\n", group.title, ":"));
    for (auto& flag : group.flags) {
      auto shown = flag.show(defaults);
      auto byDefault = shown.size() == 0 ? kj::str("") : kj::str(" [", shown, "]");
      auto name = kj::str("  --", flag.name, " ", flag.value);
      auto padding = kj::strArray(kj::repeat(kj::StringPtr(" "), name.size() < 38 ? 38 - name.size() : 1), "");
      lines.add(kj::str(name, padding, flag.help, byDefault));
    }
  }
  lines.add(
      kj::str("\n  --help, --version\n\nEvery option but --parent-pid can be given in the environment: --tasks-max as "
              "EPOCHLY_TASKS_MAX,\n--log-level as EPOCHLY_LOG. Options win.\n\n",
              EXAMPLES));
  return kj::strArray(lines, "\n");
}

Mistake mistake(kj::StringPtr text) { return Mistake{kj::str("epochly-scheduler: ", text)}; }

kj::Maybe<Mistake> setFromVariable(const Flag& flag, Options& options, Environment& environment) {
  if (flag.variable.size() == 0) return nullptr;
  KJ_IF_MAYBE(value, environment(flag.variable)) {
    auto rest = kj::str(*value);
    while (rest.size() > 0) {
      auto end = flag.isList ? rest.findFirst(',').orDefault(rest.size()) : rest.size();
      KJ_IF_MAYBE(wrong, flag.set(options, kj::str(rest.slice(0, end)))) {
        return mistake(kj::str(flag.variable, " ", *wrong, ", not '", *value, "'"));
      }
      rest = end < rest.size() ? kj::str(rest.slice(end + 1)) : kj::String();
    }
  }
  return nullptr;
}

kj::Maybe<Mistake> setFromFlag(const Flag& flag, Options& options, kj::StringPtr value, bool isFirst) {
  if (flag.isList && isFirst) {  // flags replace what the variable gave
    if (flag.name == "listen")
      options.listen.clear();
    else
      options.httpAllowHosts.clear();
  }
  KJ_IF_MAYBE(wrong, flag.set(options, value)) {
    return mistake(kj::str("--", flag.name, " ", *wrong, ", not '", value, "'"));
  }
  return nullptr;
}

// For "--name" and "--name=value".
const Flag* findFlag(kj::ArrayPtr<const FlagGroup> groups, kj::StringPtr argument) {
  auto name = argument.slice(2, argument.findFirst('=').orDefault(argument.size()));
  for (auto& group : groups) {
    for (auto& flag : group.flags) {
      if (flag.name.asArray() == name) return &flag;
    }
  }
  return nullptr;
}

bool isWide(const rt::Address& address) { return address.reach == rt::Reach::NETWORK; }

kj::Maybe<Mistake> checkReach(const Options& options) {
  if (options.tokenFile != nullptr) return nullptr;
  constexpr kj::StringPtr ADVICE =
      ": whoever can connect can run code, so that needs --token-file FILE (make one: openssl rand -hex 32 > FILE; chmod 600 FILE)"_kj;
  for (auto& address : options.listen) {
    if (isWide(address)) return mistake(kj::str("--listen ", address.toString(), " is reachable by other machines", ADVICE));
  }
  KJ_IF_MAYBE(http, options.http) {
    if (isWide(*http)) return mistake(kj::str("--http ", http->forKj(), " is reachable by other machines", ADVICE));
  }
  return nullptr;
}

Options defaults() {
  Options options;
  options.listen.add(KJ_ASSERT_NONNULL(rt::parseAddress(DEFAULT_LISTEN)));
  options.http = KJ_ASSERT_NONNULL(rt::parseHostPort(DEFAULT_HTTP));
  return options;
}

kj::Maybe<Mistake> readVariables(kj::ArrayPtr<const FlagGroup> groups, Options& options, Environment& environment) {
  if (environment("EPOCHLY_LISTEN") != nullptr) options.listen.clear();
  for (auto& group : groups) {
    for (auto& flag : group.flags) {
      KJ_IF_MAYBE(wrong, setFromVariable(flag, options, environment)) {
        return kj::mv(*wrong);
      }
    }
  }
  return nullptr;
}

kj::Maybe<Mistake> readArguments(kj::ArrayPtr<const FlagGroup> groups, Options& options,
                                 kj::ArrayPtr<const kj::StringPtr> args) {
  std::set<const Flag*> seen;
  for (size_t i = 0; i < args.size(); i++) {
    auto argument = args[i];
    if (!argument.startsWith("--")) return mistake(kj::str("unexpected argument '", argument, "'; see --help"));
    auto flag = findFlag(groups, argument);
    if (flag == nullptr) return mistake(kj::str("unknown option '", argument, "'; see --help"));
    kj::StringPtr value;
    KJ_IF_MAYBE(equals, argument.findFirst('=')) {
      value = argument.slice(*equals + 1);
    } else if (i + 1 < args.size()) {
      value = args[++i];
    } else {
      return mistake(kj::str("--", flag->name, " needs a value: ", flag->value));
    }
    KJ_IF_MAYBE(wrong, setFromFlag(*flag, options, value, seen.insert(flag).second)) {
      return kj::mv(*wrong);
    }
  }
  return nullptr;
}

}  // namespace

Result parse(kj::ArrayPtr<const kj::StringPtr> args, Environment& environment) {
  for (auto argument : args) {
    if (argument == "--help" || argument == "-h") return Answer{help()};
    if (argument == "--version") return Answer{kj::str("epochly-scheduler ", SOFTWARE_VERSION, '\n')};
  }
  auto options = defaults();
  auto groups = flagGroups();
  KJ_IF_MAYBE(wrong, readVariables(groups, options, environment)) {
    return kj::mv(*wrong);
  }
  KJ_IF_MAYBE(wrong, readArguments(groups, options, args)) {
    return kj::mv(*wrong);
  }
  if (options.listen.empty()) return mistake("EPOCHLY_LISTEN is empty: unset it, or give unix:PATH or tcp://HOST:PORT");
  KJ_IF_MAYBE(wrong, checkReach(options)) {
    return kj::mv(*wrong);
  }
  return kj::mv(options);
}

}  // namespace epochly::config

// epochly_sim: runs simulated worlds around the real scheduler core and judges them.
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include <unistd.h>

#include "sim/shrink.h"

using namespace epochly;
using namespace epochly::sim;

namespace {

constexpr const char* USAGE = R"(epochly_sim: seeded, deterministic simulation of the scheduler's core

  epochly_sim --seconds S [--from SEED]   fresh seeds for S seconds, counted up from SEED (default: drawn)
  epochly_sim --seed N [--verbose]        replays one seed; --verbose prints all that happens in it
  epochly_sim --seed N --shrink           looks for a smaller world that fails, too
  epochly_sim --seed N --plan             says what the seed's world is made of

  --set NAME=VALUE    changes the seed's plan; may be repeated
  --calm              starts from a plan without faults instead of the drawn one

Exit code 0: every rule held; 1: one was broken; 2: wrong arguments.
)";

using Wall = std::chrono::steady_clock;

struct Options {
  kj::Maybe<uint64_t> seed;
  kj::Maybe<uint64_t> from;
  kj::Maybe<double> seconds;
  bool verbose = false, shrink = false, plan = false, calm = false;
  std::vector<std::pair<std::string, double>> settings;
};

[[noreturn]] void misuse(kj::StringPtr why) {
  fprintf(stderr, "epochly_sim: %s\n\n%s", why.cStr(), USAGE);
  exit(2);
}

uint64_t wholeNumber(const char* text) {
  char* end = nullptr;
  uint64_t number = strtoull(text, &end, 10);
  if (end == text || *end != 0) misuse(kj::str("not a whole number: ", text));
  return number;
}

double number(const char* text) {
  char* end = nullptr;
  double value = strtod(text, &end);
  if (end == text || *end != 0) misuse(kj::str("not a number: ", text));
  return value;
}

std::pair<std::string, double> setting(const char* text) {
  const char* equals = strchr(text, '=');
  if (equals == nullptr) misuse(kj::str("--set needs NAME=VALUE, not ", text));
  std::string name(text, equals);
  if (findKnob(name.c_str()) == nullptr) misuse(kj::str("there is no knob called ", name.c_str()));
  return {name, number(equals + 1)};
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    kj::StringPtr argument = argv[i];
    auto value = [&]() -> const char* {
      if (i + 1 == argc) misuse(kj::str(argument, " needs a value"));
      return argv[++i];
    };
    if (argument == "--seed")
      options.seed = wholeNumber(value());
    else if (argument == "--from")
      options.from = wholeNumber(value());
    else if (argument == "--seconds")
      options.seconds = number(value());
    else if (argument == "--set")
      options.settings.push_back(setting(value()));
    else if (argument == "--verbose")
      options.verbose = true;
    else if (argument == "--shrink")
      options.shrink = true;
    else if (argument == "--plan")
      options.plan = true;
    else if (argument == "--calm")
      options.calm = true;
    else if (argument == "--help") {
      fputs(USAGE, stdout);
      exit(0);
    } else
      misuse(kj::str("unknown argument ", argument));
  }
  return options;
}

Plan planFor(uint64_t seed, const Options& options) {
  Plan plan = options.calm ? Plan() : Plan::draw(seed);
  plan.seed = seed;
  for (auto& [name, value] : options.settings) plan.*KJ_ASSERT_NONNULL(findKnob(name.c_str())).value = value;
  plan.makeViable();
  return plan;
}

// How to see this world again.
kj::String replay(const Plan& plan, const Options& options) {
  kj::String settings;
  for (auto& [name, value] : options.settings) settings = kj::str(settings, " --set ", name.c_str(), "=", value);
  return kj::str("./dev sim --seed ", plan.seed, options.calm ? " --calm" : "", settings);
}

void tellFailure(const Plan& plan, const Verdict& verdict, kj::StringPtr again) {
  printf("FAIL seed %" PRIu64 ": %s\n\nThe last of what happened:\n%s\n\nreplay: %s --verbose\nshrink: %s --shrink\n",
         plan.seed, KJ_ASSERT_NONNULL(verdict.violation).cStr(), verdict.lastLines.cStr(), again.cStr(), again.cStr());
}

void tellShrunk(const Plan& plan, Verdict verdict) {
  auto smaller = shrink(plan, kj::mv(verdict));
  printf("\nAfter %u worlds:\n", smaller.worlds);
  auto again = kj::str("./dev sim --seed ", plan.seed, " --calm ", smaller.plan.describe());
  tellFailure(smaller.plan, smaller.verdict, again);
}

int runOne(uint64_t seed, const Options& options) {
  auto plan = planFor(seed, options);
  if (options.plan) {
    printf("%s\n", plan.describe().cStr());
    return 0;
  }
  auto verdict = simulate(plan, options.verbose);
  printf("seed %" PRIu64 ", %" PRIu64 " steps, log hash %016" PRIx64 "\n%s\n", seed, verdict.stats.steps, verdict.logHash,
         verdict.stats.describe().cStr());
  bool held = verdict.violation == nullptr;
  if (!held) tellFailure(plan, verdict, replay(plan, options));
  if (!held && options.shrink) tellShrunk(plan, kj::mv(verdict));
  printf("%d passed, %d failed\n", held, !held);
  return held ? 0 : 1;
}

// The seed at work, for the handler: a core that crashes tells nothing itself.
volatile uint64_t seedAtWork = 0;

void onCrash(int signal) {
  char text[128];
  int length =
      snprintf(text, sizeof(text), "\nFAIL seed %" PRIu64 ": signal %d\nreplay: ./dev sim --seed %" PRIu64 " --verbose\n",
               seedAtWork, signal, seedAtWork);
  ssize_t ignored = write(STDOUT_FILENO, text, static_cast<size_t>(length));
  (void)ignored;
  std::signal(signal, SIG_DFL);
  raise(signal);
}

int runMany(double wallSeconds, const Options& options) {
  // Short enough to be typed, spread enough that runs hardly ever meet the same ones.
  uint64_t first = 1'000'000ull + std::random_device()() % 4'000'000'000ull;
  KJ_IF_MAYBE(from, options.from) {
    first = *from;
  }
  auto begin = Wall::now();
  auto elapsed = [&] { return std::chrono::duration<double>(Wall::now() - begin).count(); };
  Stats stats;
  uint64_t seed = first;
  bool held = true;
  while (held && elapsed() < wallSeconds) {
    seedAtWork = seed;
    auto plan = planFor(seed++, options);
    auto verdict = simulate(plan);
    stats += verdict.stats;
    held = verdict.violation == nullptr;
    if (!held) tellFailure(plan, verdict, replay(plan, options));
  }
  printf("seeds %" PRIu64 " from %" PRIu64 ", %" PRIu64 " steps in %.1f s (%.0f/s)\n%s\n%" PRIu64 " passed, %d failed\n",
         seed - first, first, stats.steps, elapsed(), static_cast<double>(stats.steps) / elapsed(), stats.describe().cStr(),
         seed - first - !held, !held);
  return held ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  auto options = parse(argc, argv);
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT}) std::signal(signal, onCrash);
  setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
  KJ_IF_MAYBE(seed, options.seed) {
    seedAtWork = *seed;
    return runOne(*seed, options);
  }
  KJ_IF_MAYBE(wallSeconds, options.seconds) return runMany(*wallSeconds, options);
  return runMany(30, options);
}

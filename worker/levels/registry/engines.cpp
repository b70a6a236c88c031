#include "levels/registry/engines.h"

#include <kj/debug.h>
#include <kj/vector.h>

#include "levels/registry/monitor_engine.h"

namespace epochly::levels {

namespace {

constexpr Level AFTER_GPU[] = {Level::MULTICORE, Level::JIT, Level::MONITOR};
constexpr Level AFTER_MULTICORE[] = {Level::JIT, Level::MONITOR};
constexpr Level AFTER_OTHERS[] = {Level::MONITOR};

kj::StringPtr engineName(Level level) {
  switch (level) {
    case Level::MONITOR: return "monitor";
    case Level::THREADS: return "threading";
    case Level::JIT: return "JIT";
    case Level::MULTICORE: return "multicore";
    case Level::GPU: return "GPU";
  }
  KJ_UNREACHABLE;
}

kj::String notBuilt(Level level) {
  return kj::str("no ", engineName(level),
                 " engine is built into this version of epochly; upgrade to one that has it, or ask "
                 "for level 0");
}

}  // namespace

kj::ArrayPtr<const Level> fallbacks(Level level) {
  switch (level) {
    case Level::GPU: return AFTER_GPU;
    case Level::MULTICORE: return AFTER_MULTICORE;
    case Level::JIT:
    case Level::THREADS: return AFTER_OTHERS;
    case Level::MONITOR: return nullptr;
  }
  KJ_UNREACHABLE;
}

Engines::Engines() {
  for (size_t i = 0; i < LEVEL_COUNT; ++i) absent[i] = notBuilt(static_cast<Level>(i));
  add(kj::heap<MonitorEngine>(), "CPython");
}

void Engines::add(kj::Own<run::LevelEngine> engine, kj::StringPtr means) {
  size_t i = index(engine->level());
  if (means.size() > 0) by[i].push_back(means);
  engines[i].push_back(kj::mv(engine));
  absent[i] = nullptr;
  settle();
}

void Engines::setAbsent(Level level, kj::String reason) {
  KJ_REQUIRE(!has(level), "this level has an engine", static_cast<uint>(level));
  absent[index(level)] = kj::mv(reason);
  settle();
}

void Engines::settle() {
  for (size_t i = 0; i < LEVEL_COUNT; ++i) {
    Level asked = static_cast<Level>(i);
    kj::Vector<run::Decline> declined;
    kj::Maybe<run::LevelEngine&> first;
    auto look = [&](Level level) {
      if (first != nullptr) return;
      if (has(level)) {
        first = *engines[index(level)].front();
      } else {
        declined.add(run::Decline{level, kj::str(absent[index(level)])});
      }
    };
    look(asked);
    for (Level level : fallbacks(asked)) look(level);
    auto& engine = KJ_ASSERT_NONNULL(first, "level 0 is always there");
    direct[i] = engine.level() == Level::MONITOR ? &engine : nullptr;
    standing[i] = run::Outcome{asked, engine.level(), declined.releaseAsArray()};
  }
}

Engines::Pick Engines::ask(Level asked, run::Invocation& call) const {
  kj::Vector<run::Decline> declined;
  bool anyoneRefused = false;
  kj::Maybe<run::LevelEngine&> taker;
  auto offer = [&](Level level) {
    if (taker != nullptr) return;
    if (!has(level)) {
      declined.add(run::Decline{level, kj::str(absent[index(level)])});
      return;
    }
    for (auto& each : engines[index(level)]) {
      auto& engine = const_cast<run::LevelEngine&>(*each);
      KJ_IF_MAYBE(reason, engine.declines(call)) {
        if (reason->size() == 0) continue;
        anyoneRefused = true;
        declined.add(run::Decline{level, kj::mv(*reason)});
        continue;
      }
      taker = engine;
      return;
    }
  };
  offer(asked);
  for (Level level : fallbacks(asked)) offer(level);
  auto& engine = KJ_ASSERT_NONNULL(taker, "level 0 takes every call");
  if (!anyoneRefused) return {engine, &standing[index(asked)], {}};
  return {engine, nullptr, kj::heap<run::Outcome>(run::Outcome{asked, engine.level(), declined.releaseAsArray()})};
}

}  // namespace epochly::levels

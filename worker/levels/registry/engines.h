// Which engines there are, and which of them a call runs on: the one asked for if it fits, else the next that does, each
// refusal kept with its reason.
#pragma once

#include <array>
#include <vector>

#include <kj/memory.h>

#include "run/engine.h"

namespace epochly::levels {

// Levels to try after `level`, best first, ending with MONITOR. The scheduler falls back in the same order over what its
// workers offer (classify::fallbacks); a test holds the two together.
kj::ArrayPtr<const Level> fallbacks(Level level);

// Filled while the program starts, on one thread; afterwards read by any.
class Engines {
 public:
  // With level 0 in it, and for each other level the reason why this build cannot run it.
  Engines();

  // A level may have several; they are asked in the order in which they were added. One that declines without a reason was not
  // meant by the call, and leaves nothing in its outcome. `by`: what it runs calls with, "oneTBB"; a literal, empty if that is
  // nothing of this process.
  void add(kj::Own<run::LevelEngine> engine, kj::StringPtr by);
  // Why `level` cannot run here, if not for want of an engine: "no NVIDIA driver was found: ...".
  void setAbsent(Level level, kj::String reason);
  bool has(Level level) const { return !engines[index(level)].empty(); }
  // What the engines of `level` run calls with, in order; empty where there is none.
  const std::vector<kj::StringPtr>& means(Level level) const { return by[index(level)]; }
  kj::StringPtr whyAbsent(Level level) const { return absent[index(level)]; }

  struct Pick {
    run::LevelEngine& engine;
    // Where only absent engines declined, the outcome is one of a fixed few; it lives as long as this object.
    const run::Outcome* standing;
    kj::Own<const run::Outcome> fresh;  // where an engine that is there declined this call; then `standing` is null
  };
  Pick pick(Level asked, run::Invocation& call) const {
    size_t i = index(asked);
    if (direct[i] != nullptr) return {*direct[i], &standing[i], {}};
    return ask(asked, call);
  }

 private:
  static size_t index(Level level) { return static_cast<size_t>(level); }
  Pick ask(Level asked, run::Invocation& call) const;
  void settle();

  std::array<std::vector<kj::Own<run::LevelEngine>>, LEVEL_COUNT> engines;  // empty: absent
  std::array<std::vector<kj::StringPtr>, LEVEL_COUNT> by;
  std::array<kj::String, LEVEL_COUNT> absent;
  // By level asked. `direct` is the engine such calls run on without anybody being asked: level 0, when no engine between
  // here and there exists. `standing` is what absent engines alone make of it.
  std::array<run::LevelEngine*, LEVEL_COUNT> direct{};
  std::array<run::Outcome, LEVEL_COUNT> standing;
};

}  // namespace epochly::levels

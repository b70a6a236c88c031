// The one interface of a level. An engine knows its number, says whether a call fits or why not, and runs it.
#pragma once

#include <kj/array.h>
#include <kj/common.h>
#include <kj/string.h>
#include <kj/vector.h>

#include "wire/ids.h"

namespace epochly::run {

// One call of user code, as an engine sees it. The host (the Python extension) implements it; an engine never sees Python.
// Lives on the thread that makes the call.
class Invocation {
 public:
  virtual ~Invocation() = default;
  // Runs it as it is, in CPython. The host counts its loop iterations if this call is one of those it samples. True if it
  // returned, false if it raised; either way the host holds what came of it.
  virtual bool callPlain() = 0;
  // Elements in the arguments; NaN if nothing among them has a length.
  virtual double dataSize() = 0;
  // From LevelEngine::run: the engine took the call, gave it back before anything visible had happened, and now lets it run
  // plainly. The host reports it as run at level 0.
  virtual void gaveBack(kj::String reason) {}
};

struct Decline {
  Level level;
  kj::String reason;  // a sentence for the user
};

// What became of the level a call asked for.
struct Outcome {
  Level asked;
  Level ran;
  kj::Array<Decline> declined;  // in the order they were asked

  Outcome clone() const {
    kj::Vector<Decline> copies(declined.size());
    for (auto& d : declined) copies.add(Decline{d.level, kj::str(d.reason)});
    return {asked, ran, copies.releaseAsArray()};
  }
};

class LevelEngine {
 public:
  virtual ~LevelEngine() = default;
  virtual Level level() const = 0;
  // None: it fits.
  virtual kj::Maybe<kj::String> declines(Invocation& call) const = 0;
  // Only after declines() returned none. As Invocation::callPlain. The host times it.
  virtual bool run(Invocation& call) = 0;
};

}  // namespace epochly::run

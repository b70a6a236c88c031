// Calls of functions that nobody gave a level: levels/choice decides, this tells it what the arguments are and what calls took.
#pragma once

#include "ext/local/call.h"
#include "ext/local/levels.h"
#include "levels/choice/choice.h"
#include "levels/monitor/ledger.h"

namespace epochly::ext {

// What is known of one function, and of all that were bound from it. Guarded by the GIL.
struct Automatic {
  choice::Choice choice;
  bool wasLast = false;  // the last call had no level
};

// Neither the function, nor a context, nor the process says a level.
inline bool isAutomatic(const Function* f) {
  if (f->level != LEVEL_NOT_GIVEN || levelChoice.process != LEVEL_NOT_GIVEN) return false;
  return !levelChoice.contextUsed || contextLevel() == LEVEL_NOT_GIVEN;
}

// The Function that holds what those bound from it share.
Function* rootOf(Function* f);

// The part of one such call in the choice. Lives on the stack of the call.
class Turn {
 public:
  // Nothing is chosen for this call: it has a level, or the function is not worth it yet.
  Turn() = default;
  // `elements`: the data size of the call, NaN if it has none.
  Turn(Function* f, PythonCall& call, double elements);

  // What to ask for.
  Level level() const { return asked; }
  // What came of asking.
  void picked(const levels::Engines::Pick& pick);
  void ended(monitor::Nanos wall);

 private:
  choice::Choice* choice = nullptr;
  choice::Shape* shape = nullptr;
  Level asked = Level::MONITOR;
  uint64_t madeBefore = 0;
};

// [(arguments, stage, level, level's ms or None, plain ms or None, calls tried, why)] of a function's shapes; a new reference.
PyObject* trialsOf(Function* f);

}  // namespace epochly::ext

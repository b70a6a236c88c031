// Which level a call asks for, and the engines of this process.
#pragma once

#include <Python.h>

#include "ext/local/function.h"
#include "levels/registry/engines.h"

namespace epochly::ext {

// Guarded by the GIL.
struct LevelChoice {
  int process = LEVEL_NOT_GIVEN;  // set_level(), EPOCHLY_LEVEL
  PyObject* variable = nullptr;   // contextvars.ContextVar of optimize_context()
  bool contextUsed = false;       // until the first optimize_context() nobody looks into the variable
};

extern LevelChoice levelChoice;

// In the context variable, beside the level: optimize_context(..., fastmath=True).
constexpr int CONTEXT_FASTMATH = 1 << 8;

// LEVEL_NOT_GIVEN outside every optimize_context().
int contextLevel();
bool contextFastmath();
// Explicit on the function, else the innermost context's.
inline bool fastmathAsked(const Function* f) {
  if (f->fastmath != FASTMATH_NOT_GIVEN) return f->fastmath == 1;
  return levelChoice.contextUsed && contextFastmath();
}
// Explicit on the function, else the innermost context's, else the process's, else 0.
inline Level levelAsked(const Function* f) {
  if (f->level != LEVEL_NOT_GIVEN) return static_cast<Level>(f->level);
  if (levelChoice.contextUsed) {
    int level = contextLevel();
    if (level != LEVEL_NOT_GIVEN) return static_cast<Level>(level);
  }
  return levelChoice.process == LEVEL_NOT_GIVEN ? Level::MONITOR : static_cast<Level>(levelChoice.process);
}

// Later levels add their engines here, when the module is loaded.
levels::Engines& engines();

}  // namespace epochly::ext

#include "ext/local/levels.h"

namespace epochly::ext {

LevelChoice levelChoice;

namespace {

// What optimize_context() set; LEVEL_NOT_GIVEN outside.
int contextValue() {
  PyObject* value = nullptr;
  if (PyContextVar_Get(levelChoice.variable, nullptr, &value) != 0) {
    PyErr_Clear();
    return LEVEL_NOT_GIVEN;
  }
  if (value == nullptr) return LEVEL_NOT_GIVEN;
  int level = static_cast<int>(PyLong_AsLong(value));
  Py_DECREF(value);
  return level;
}

}  // namespace

int contextLevel() {
  int value = contextValue();
  return value == LEVEL_NOT_GIVEN ? value : value & ~CONTEXT_FASTMATH;
}

bool contextFastmath() {
  int value = contextValue();
  return value != LEVEL_NOT_GIVEN && (value & CONTEXT_FASTMATH);
}

levels::Engines& engines() {
  // Never destroyed: threads may still be in a call when the process exits.
  static levels::Engines& all = *new levels::Engines;
  return all;
}

}  // namespace epochly::ext

#include "ext/local/levels.h"

namespace epochly::ext {

LevelChoice levelChoice;

int contextLevel() {
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

levels::Engines& engines() {
  // Never destroyed: threads may still be in a call when the process exits.
  static levels::Engines& all = *new levels::Engines;
  return all;
}

}  // namespace epochly::ext

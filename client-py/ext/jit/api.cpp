#include "ext/jit/api.h"

#include <algorithm>
#include <cstddef>
#include <list>
#include <map>
#include <unordered_map>

#include "ext/jit/function.h"

namespace epochly::ext::jit {

namespace {

// Functions with code; the least recently compiled goes first. A program has some hundred hot functions, not thousands.
constexpr size_t FUNCTIONS_MAX = 512;
// Function objects of one code object that are compiled one by one: a function made anew in every call would be compiled in every
// call.
constexpr uint32_t TWINS_MAX = 16;

// Functions found without a search, by their address: most programs have fewer hot functions, and a collision costs a search.
constexpr size_t RECENT_MAX = 64;

// Guarded by the GIL. Never destroyed: threads may be in compiled code when the process ends.
struct Table {
  struct Row {
    Reference callable;
    std::shared_ptr<JitFunction> function;  // a call in progress holds it too: another thread may push it out
    std::list<Asked>::iterator age;
  };
  std::map<Asked, Row> rows;
  std::pair<const Asked, Row>* recent[RECENT_MAX] = {};  // of `rows`; null: nobody yet
  std::list<Asked> ages;
  std::unordered_map<PyObject*, std::pair<Reference, uint32_t>> twins;  // by code object
};

Table& table() {
  static Table& all = *new Table;
  return all;
}

// Null: none was made yet.
Table::Row* find(Table& all, const Asked& asked) {
  auto& recent = all.recent[reinterpret_cast<uintptr_t>(asked.callable) / alignof(std::max_align_t) % RECENT_MAX];
  if (recent != nullptr && recent->first == asked) return &recent->second;
  auto found = all.rows.find(asked);
  if (found == all.rows.end()) return nullptr;
  recent = &*found;
  return &recent->second;
}

void forget(Table& all, const Asked& asked) {
  std::fill(std::begin(all.recent), std::end(all.recent), nullptr);
  all.rows.erase(asked);
}

// Null: too many of its kind.
std::shared_ptr<JitFunction> functionOf(const Asked& asked) {
  auto& all = table();
  auto* callable = asked.callable;
  if (auto* row = find(all, asked)) return row->function;
  if (PyFunction_Check(callable)) {
    PyObject* code = PyFunction_GET_CODE(callable);
    if (all.twins.size() >= FUNCTIONS_MAX) all.twins.clear();
    auto& [owned, count] = all.twins[code];
    if (!owned) owned = Reference::borrowed(code);
    if (++count > TWINS_MAX) return nullptr;
  }
  if (all.rows.size() >= FUNCTIONS_MAX) {
    auto oldest = all.ages.front();
    all.ages.pop_front();
    forget(all, oldest);
  }
  all.ages.push_back(asked);
  auto& row = all.rows[asked];
  row.callable = Reference::borrowed(callable);
  row.function = std::make_shared<JitFunction>(asked);
  row.age = std::prev(all.ages.end());
  return row.function;
}

thread_local std::string lastReason;

const char* declines(Asked asked, PyObject* const* args, size_t nargs, PyObject* names) {
  // Most calls end here: nobody can take the function away meanwhile.
  if (auto* known = functionKnown(asked); known && known->hasCode()) return nullptr;
  try {
    auto function = functionOf(asked);
    if (!function) return "the function is made anew again and again; define it once";
    if (function->ready(args, nargs, names)) return nullptr;
    lastReason = function->reason();
  } catch (std::exception& e) {
    lastReason = std::string("internal: ") + e.what();
  }
  PyErr_Clear();
  return lastReason.c_str();
}

bool call(Asked asked, PyObject* const* args, size_t nargs, PyObject* names, PyObject*& result, const char*& reason) {
  result = nullptr;
  try {
    auto function = functionOf(asked);
    if (function) {
      auto ran = function->call(args, nargs, names, result);
      if (ran != Ran::DECLINED) return true;
      lastReason = function->reason();
    }
  } catch (std::exception& e) {
    lastReason = std::string("internal: ") + e.what();
  }
  PyErr_Clear();
  reason = lastReason.c_str();
  return false;
}

}  // namespace

const Api api = {declines, call, madeCodeNs, loopIterations};

const JitFunction* functionKnown(Asked asked) {
  auto* row = find(table(), asked);
  return row == nullptr ? nullptr : row->function.get();
}

}  // namespace epochly::ext::jit

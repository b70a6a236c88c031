#include "ext/local/loop_map.h"

#include <opcode.h>

#include <algorithm>
#include <climits>
#include <memory>

namespace epochly::ext::loops {

namespace {

// One instruction, its EXTENDED_ARG prefixes and inline caches included.
struct Instruction {
  int start;  // of the first prefix: where jumps land
  int at;     // of the instruction proper
  int next;   // behind its caches
  int op;
  int arg;
  int target = -1;           // of a jump
  bool ends = false;         // never goes on with the next instruction
  bool conditional = false;  // a jump that may fall through
  bool again = false;        // a jump whose way back is a loop's, not that of an exception handler or an await

  bool backward() const { return again && target >= 0 && target <= start; }
};

bool isCache(int op) {
#if PY_VERSION_HEX >= 0x030B0000
  return op == CACHE;
#else
  return false;
#endif
}

// Every interpreter has its own jumps. Their arguments count code units.
void resolveJump(Instruction& i) {
  const int bytes = i.arg * 2;
  switch (i.op) {
#if PY_VERSION_HEX < 0x030B0000
    case JUMP_ABSOLUTE: i.target = bytes, i.again = true; break;
    case JUMP_FORWARD: i.target = i.next + bytes; break;
    case POP_JUMP_IF_TRUE:
    case POP_JUMP_IF_FALSE: i.target = bytes, i.conditional = true, i.again = true; break;
    case JUMP_IF_TRUE_OR_POP:
    case JUMP_IF_FALSE_OR_POP: i.target = bytes, i.conditional = true; break;
#elif PY_VERSION_HEX < 0x030C0000
    case JUMP_BACKWARD: i.target = i.next - bytes, i.again = true, i.ends = true; break;
    case JUMP_BACKWARD_NO_INTERRUPT: i.target = i.next - bytes, i.ends = true; break;
    case JUMP_FORWARD: i.target = i.next + bytes, i.ends = true; break;
    case FOR_ITER:
    case SEND:
    case JUMP_IF_TRUE_OR_POP:
    case JUMP_IF_FALSE_OR_POP: i.target = i.next + bytes; break;
    case RETURN_VALUE:
    case RAISE_VARARGS:
    case RERAISE: i.ends = true; break;
    case POP_JUMP_BACKWARD_IF_TRUE:
    case POP_JUMP_BACKWARD_IF_FALSE:
    case POP_JUMP_BACKWARD_IF_NONE:
    case POP_JUMP_BACKWARD_IF_NOT_NONE: i.target = i.next - bytes, i.conditional = true, i.again = true; break;
    case POP_JUMP_FORWARD_IF_TRUE:
    case POP_JUMP_FORWARD_IF_FALSE:
    case POP_JUMP_FORWARD_IF_NONE:
    case POP_JUMP_FORWARD_IF_NOT_NONE: i.target = i.next + bytes, i.conditional = true; break;
#else
    case JUMP_BACKWARD: i.target = i.next - bytes, i.again = true, i.ends = true; break;
    case JUMP_BACKWARD_NO_INTERRUPT: i.target = i.next - bytes, i.ends = true; break;
    case JUMP_FORWARD: i.target = i.next + bytes, i.ends = true; break;
    case FOR_ITER:
    case SEND: i.target = i.next + bytes; break;
    case RETURN_VALUE:
    case RETURN_CONST:
    case RAISE_VARARGS:
    case RERAISE: i.ends = true; break;
    case POP_JUMP_IF_TRUE:
    case POP_JUMP_IF_FALSE:
    case POP_JUMP_IF_NONE:
    case POP_JUMP_IF_NOT_NONE: i.target = i.next + bytes, i.conditional = true; break;
#endif
    default: break;
  }
}

std::vector<Instruction> decode(const uint8_t* code, Py_ssize_t size) {
  std::vector<Instruction> all;
  int start = -1, extended = 0;
  for (Py_ssize_t at = 0; at + 1 < size; at += 2) {
    int op = code[at];
    if (isCache(op)) continue;
    if (start < 0) start = static_cast<int>(at);
    int arg = (extended << 8) | code[at + 1];
    if (op == EXTENDED_ARG) {
      extended = arg;
      continue;
    }
    Py_ssize_t next = at + 2;
    while (next + 1 < size && isCache(code[next])) next += 2;
    Instruction i{start, static_cast<int>(at), static_cast<int>(next), op, arg};
    resolveJump(i);
    all.push_back(i);
    start = -1, extended = 0;
  }
  return all;
}

// A while's test stands twice: before the body, and after it as a conditional jump back to the body.
struct WhileTest {
  size_t last;   // index of the final conditional jump of the second copy
  int body;      // where the loop goes on
  size_t first;  // index of the second copy's first instruction
};

// Index of the instruction that begins at `offset`; all.size() if none.
size_t indexOf(const std::vector<Instruction>& all, int offset) {
  auto found = std::lower_bound(all.begin(), all.end(), offset, [](const Instruction& i, int o) { return i.start < o; });
  return found != all.end() && found->start == offset ? static_cast<size_t>(found - all.begin()) : all.size();
}

// From 3.12 on conditional jumps lead forward only: one back is a conditional jump over an unconditional jump back. Whether such
// a jump stands behind the conditional one at `index`.
bool jumpBackFollows(const std::vector<Instruction>& all, size_t index) {
  if (index + 1 >= all.size()) return false;
  const Instruction& next = all[index + 1];
  return !next.conditional && next.backward() && all[index].target == next.next;
}

// Where the conditional jump at `index` may lead.
struct Ways {
  int taken, notTaken;
};
Ways waysOf(const std::vector<Instruction>& all, size_t index) {
  return {all[index].target, jumpBackFollows(all, index) ? all[index + 1].target : all[index].next};
}

// Where the conditional jump at `index` leads back to; -1 if it does not.
int conditionalBackTo(const std::vector<Instruction>& all, size_t index) {
  if (!all[index].conditional) return -1;
  if (all[index].backward()) return all[index].target;
  return jumpBackFollows(all, index) ? all[index + 1].target : -1;
}

// Reads bytecode backwards, a conditional jump and the jump back behind it as one.
class Backwards {
 public:
  // Begins with the instruction before `end`.
  Backwards(PyCodeObject* code, const std::vector<Instruction>& all, size_t end) : code(code), all(all), at(end) { step(); }
  const Instruction& operator*() const { return all[at]; }
  size_t index() const { return at; }
  int line() const { return PyCode_Addr2Line(code, all[at].at); }
  bool step() {
    if (at == 0) return false;
    --at;
    if (at > 0 && all[at - 1].conditional && jumpBackFollows(all, at - 1)) --at;
    return true;
  }

 private:
  PyCodeObject* code;
  const std::vector<Instruction>& all;
  size_t at;
};

bool sameInBothCopies(const Backwards& a, const Backwards& b) {
  if (a.line() != b.line()) return false;
  return (*a).conditional ? (*b).conditional : (*a).op == (*b).op && (*a).arg == (*b).arg;
}

// Whether the conditional jump back at `index` ends a while's second test, and where that begins. What tells it from
// `if ...: continue`, which looks alike, is the first copy, on the same lines, right before the body.
bool isWhileTest(PyCodeObject* code, const std::vector<Instruction>& all, size_t index, WhileTest& test) {
  test.last = test.first = index;
  test.body = conditionalBackTo(all, index);
  size_t body = test.body < 0 ? all.size() : indexOf(all, test.body);
  if (body == 0 || body == all.size() || all[body].op == FOR_ITER) return false;
  Backwards before(code, all, body), after(code, all, index + 1);
  if (!(*before).conditional || before.line() != after.line()) return false;
  Ways first = waysOf(all, before.index());
  int exit = first.taken == test.body ? first.notTaken : first.taken;
  if (exit >= test.body && exit <= all[index].at) return false;
  // A body on the test's own line gives a line trace nothing to see; it is left alone on every interpreter.
  if (after.line() == PyCode_Addr2Line(code, test.body)) return false;
  while (before.step() && after.step() && after.index() > body && sameInBothCopies(before, after))
    test.first = after.index();
  return true;
}

std::vector<WhileTest> whileTests(PyCodeObject* code, const std::vector<Instruction>& all) {
  std::vector<WhileTest> tests;
  for (size_t i = 0; i < all.size(); ++i) {
    WhileTest test;
    if (!isWhileTest(code, all, i, test)) continue;
    // `a or b` jumps back from several places; the last one decides.
    auto same = std::find_if(tests.begin(), tests.end(), [&](auto& t) { return t.body == test.body; });
    if (same == tests.end()) {
      tests.push_back(test);
    } else {
      *same = test;
    }
  }
  return tests;
}

#if PY_VERSION_HEX >= 0x030B0000

// From 3.11 on an exception handler stands behind all other code, and may be left by the same jump back that loops use. A loop's
// jump is reached from where it leads to without going back beyond that; a handler's is not: the `try` stands before.
class Handlers {
 public:
  Handlers(PyCodeObject* code, const std::vector<Instruction>& all) : all(all) {
    auto* at = reinterpret_cast<const uint8_t*>(PyBytes_AS_STRING(code->co_exceptiontable));
    auto* end = at + PyBytes_GET_SIZE(code->co_exceptiontable);
    while (at < end) {
      Entry entry;
      entry.start = 2 * number(at, end);
      entry.end = entry.start + 2 * number(at, end);
      entry.handler = 2 * number(at, end);
      number(at, end);  // depth
      entries.push_back(entry);
      first = std::min(first, entry.handler);
    }
  }

  bool onlyLeaves(const Instruction& jump) {
    if (jump.at < first) return false;
    if (jump.target != reachedFrom) findReached(jump.target);
    return !reached[indexOf(all, jump.start)];
  }

 private:
  struct Entry {
    int start, end, handler;
  };

  // Six bits to a byte, most significant first; the second highest bit says that more follow.
  static int number(const uint8_t*& at, const uint8_t* end) {
    int value = 0;
    while (at < end) {
      uint8_t byte = *at++;
      value = value << 6 | (byte & 63);
      if ((byte & 64) == 0) break;
    }
    return value;
  }

  // Which instructions control may get to from `from` without going below it. Loops' jumps lead to few places: the last is kept.
  void findReached(int from) {
    reachedFrom = from;
    reached.assign(all.size(), false);
    std::vector<int> open{from};
    while (!open.empty()) {
      int offset = open.back();
      open.pop_back();
      size_t index = offset < from ? all.size() : indexOf(all, offset);
      if (index == all.size() || reached[index]) continue;
      reached[index] = true;
      follow(all[index], open);
    }
  }
  void follow(const Instruction& i, std::vector<int>& open) const {
    if (i.target >= 0) open.push_back(i.target);
    if (!i.ends) open.push_back(i.next);
    // Ranges are in order and apart from each other.
    auto after = std::upper_bound(entries.begin(), entries.end(), i.at, [](int at, const Entry& e) { return at < e.start; });
    if (after != entries.begin() && i.at < std::prev(after)->end) open.push_back(std::prev(after)->handler);
  }

  const std::vector<Instruction>& all;
  std::vector<Entry> entries;
  int first = INT_MAX;  // the first handler
  int reachedFrom = -1;
  std::vector<bool> reached;  // by instruction
};

#else

struct Handlers {
  Handlers(PyCodeObject*, const std::vector<Instruction>&) {}
  bool onlyLeaves(const Instruction&) { return false; }
};

#endif

PyObject* bytecodeOf(PyCodeObject* code) {
#if PY_VERSION_HEX >= 0x030B0000
  return PyCode_GetCode(code);
#else
  return Py_NewRef(code->co_code);
#endif
}

#if PY_VERSION_HEX >= 0x030C0000
#define EPOCHLY_REQUEST_EXTRA PyUnstable_Eval_RequestCodeExtraIndex
#define EPOCHLY_GET_EXTRA PyUnstable_Code_GetExtra
#define EPOCHLY_SET_EXTRA PyUnstable_Code_SetExtra
#else
#define EPOCHLY_REQUEST_EXTRA _PyEval_RequestCodeExtraIndex
#define EPOCHLY_GET_EXTRA _PyCode_GetExtra
#define EPOCHLY_SET_EXTRA _PyCode_SetExtra
#endif

// Where this extension keeps a map in a code object. The interpreter has 255 such places; negative if they are gone.
Py_ssize_t extraIndex() {
  static Py_ssize_t index = EPOCHLY_REQUEST_EXTRA([](void* map) { delete static_cast<LoopMap*>(map); });
  return index;
}

// The ways out of a while's second test, other than into the body; as branch events name them.
std::vector<LoopMap::Exit> exitsOf(const std::vector<Instruction>& all, const WhileTest& test) {
  std::vector<LoopMap::Exit> exits;
  int begin = all[test.first].start;
  int end = all[test.last + (jumpBackFollows(all, test.last) ? 1 : 0)].next;
  auto leaves = [&](int to) { return to != test.body && (to < begin || to >= end); };
  for (size_t i = test.first; i <= test.last; ++i) {
    if (!all[i].conditional) continue;
    Ways ways = waysOf(all, i);
    if (leaves(ways.taken)) exits.push_back({all[i].at, all[i].target});
    if (leaves(ways.notTaken)) exits.push_back({all[i].at, all[i].next});
  }
  return exits;
}

}  // namespace

LoopMap::LoopMap(PyCodeObject* code) {
  PyObject* bytes = bytecodeOf(code);
  if (bytes == nullptr) {
    PyErr_Clear();
    return;
  }
  auto all = decode(reinterpret_cast<const uint8_t*>(PyBytes_AS_STRING(bytes)), PyBytes_GET_SIZE(bytes));
  size_t units = static_cast<size_t>(PyBytes_GET_SIZE(bytes)) / 2;
  Py_DECREF(bytes);

  Handlers handlers(code, all);
  for (auto& i : all) {
    if (!i.backward()) continue;
    marks.resize(units, Mark::NONE);
    branches.resize(units, Branch::OTHER);
    if (handlers.onlyLeaves(i)) {
      branches[i.at / 2] = Branch::LEAVES_HANDLER;
    } else {
      marks[i.target / 2] = Mark::HEAD;
    }
  }
  for (auto& test : whileTests(code, all)) {
    marks[test.body / 2] = Mark::NONE;
    marks[all[test.first].start / 2] = Mark::TEST;
    auto own = exitsOf(all, test);
    exits.insert(exits.end(), own.begin(), own.end());
    for (auto& exit : own) branches[exit.from / 2] = Branch::LOOP_TEST;
  }
}

bool LoopMap::endsLoop(int from, int to) const {
  return std::any_of(exits.begin(), exits.end(), [&](auto& e) { return e.from == from && e.to == to; });
}

const LoopMap* LoopMap::of(PyCodeObject* code) {
  Py_ssize_t index = extraIndex();
  if (index < 0) return nullptr;
  auto* object = reinterpret_cast<PyObject*>(code);
  void* found = nullptr;
  if (EPOCHLY_GET_EXTRA(object, index, &found) != 0) {
    PyErr_Clear();
    return nullptr;
  }
  if (found == nullptr) {
    auto made = std::make_unique<LoopMap>(code);
    if (EPOCHLY_SET_EXTRA(object, index, made.get()) != 0) {
      PyErr_Clear();
      return nullptr;
    }
    found = made.release();
  }
  auto* map = static_cast<const LoopMap*>(found);
  return map->empty() ? nullptr : map;
}

}  // namespace epochly::ext::loops

#include "ext/local/loop_map.h"

#include <opcode.h>

#include <algorithm>
#include <memory>

namespace epochly::ext::loops {

namespace {

// One instruction, its EXTENDED_ARG prefixes and inline caches included.
struct Instruction {
  int start;   // of the first prefix: where jumps land
  int at;      // of the instruction proper
  int next;    // behind its caches
  int op;
  int arg;
  int target = -1;           // of a jump
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
    case JUMP_BACKWARD: i.target = i.next - bytes, i.again = true; break;
    case JUMP_FORWARD: i.target = i.next + bytes; break;
    case POP_JUMP_BACKWARD_IF_TRUE:
    case POP_JUMP_BACKWARD_IF_FALSE:
    case POP_JUMP_BACKWARD_IF_NONE:
    case POP_JUMP_BACKWARD_IF_NOT_NONE: i.target = i.next - bytes, i.conditional = true, i.again = true; break;
    case POP_JUMP_FORWARD_IF_TRUE:
    case POP_JUMP_FORWARD_IF_FALSE:
    case POP_JUMP_FORWARD_IF_NONE:
    case POP_JUMP_FORWARD_IF_NOT_NONE: i.target = i.next + bytes, i.conditional = true; break;
#else
    case JUMP_BACKWARD: i.target = i.next - bytes, i.again = true; break;
    case JUMP_FORWARD: i.target = i.next + bytes; break;
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

// Where the conditional jump back at `index` leads, in this interpreter's form; -1 if it is none.
int conditionalBackTo(const std::vector<Instruction>& all, size_t index) {
  const Instruction& i = all[index];
  if (!i.conditional) return -1;
  if (i.backward()) return i.target;
  // From 3.12 on: a conditional jump over an unconditional jump back.
  if (index + 1 >= all.size()) return -1;
  const Instruction& over = all[index + 1];
  return !over.conditional && over.backward() && i.target == over.next ? over.target : -1;
}

// Reads bytecode backwards, leaving out the unconditional jumps back that 3.12 put into the second copy of a test.
class Backwards {
 public:
  Backwards(PyCodeObject* code, const std::vector<Instruction>& all, size_t end, int body)
      : code(code), all(all), at(end), body(body) {}
  const Instruction& operator*() const { return all[at]; }
  size_t index() const { return at; }
  int line() const { return PyCode_Addr2Line(code, all[at].at); }
  bool step() {
    do {
      if (at == 0) return false;
      --at;
    } while (!all[at].conditional && all[at].again && all[at].target == body);
    return true;
  }

 private:
  PyCodeObject* code;
  const std::vector<Instruction>& all;
  size_t at;
  int body;
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
  Backwards before(code, all, body - 1, test.body), after(code, all, index, test.body);
  if (!(*before).conditional || (*before).target <= (*after).at || before.line() != after.line()) return false;
  // A body on the test's own line gives a line trace nothing to see; it is left alone on every interpreter.
  if (after.line() == PyCode_Addr2Line(code, test.body)) return false;
  while (before.step() && after.step() && after.index() > body && sameInBothCopies(before, after)) test.first = after.index();
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

#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000

// 3.12 returns from an exception handler, which stands behind all other code, by the same jump back that loops use (3.11 and 3.13
// have one of its own). Such a jump leads behind the protected code; a loop's leads before it.
class Handlers {
 public:
  explicit Handlers(PyCodeObject* code) {
    auto* at = reinterpret_cast<const uint8_t*>(PyBytes_AS_STRING(code->co_exceptiontable));
    auto* end = at + PyBytes_GET_SIZE(code->co_exceptiontable);
    while (at < end) {
      Entry entry;
      entry.start = 2 * number(at, end);
      number(at, end);  // length
      entry.handler = 2 * number(at, end);
      number(at, end);  // depth
      entries.push_back(entry);
    }
  }

  // Whether a jump from `from` back to `to` only leaves a handler.
  bool onlyLeaves(int from, int to) const {
    const Entry* nearest = nullptr;
    for (auto& e : entries) {
      bool closer = nearest == nullptr || e.handler > nearest->handler ||
                    (e.handler == nearest->handler && e.start < nearest->start);
      if (e.handler <= from && e.start < e.handler && closer) nearest = &e;
    }
    return nearest != nullptr && to > nearest->start;
  }

 private:
  struct Entry {
    int start, handler;
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
  std::vector<Entry> entries;
};

#else

struct Handlers {
  explicit Handlers(PyCodeObject*) {}
  bool onlyLeaves(int, int) const { return false; }
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

// The ways out of a while's second test, other than into the body.
std::vector<LoopMap::Exit> exitsOf(const std::vector<Instruction>& all, const WhileTest& test) {
  std::vector<LoopMap::Exit> exits;
  int begin = all[test.first].start;
  bool jumpFollows = !all[test.last].backward();  // from 3.12 on
  int end = all[test.last + (jumpFollows ? 1 : 0)].next;
  for (size_t i = test.first; i <= test.last; ++i) {
    if (!all[i].conditional) continue;
    for (int to : {all[i].target, all[i].next}) {
      if (to != test.body && (to < begin || to >= end)) exits.push_back({all[i].at, to});
    }
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

  Handlers handlers(code);
  for (auto& i : all) {
    if (!i.backward()) continue;
    marks.resize(units, Mark::NONE);
    if (handlers.onlyLeaves(i.at, i.target)) {
      handlerEnds.push_back(i.at);
    } else {
      marks[i.target / 2] = Mark::HEAD;
    }
  }
  for (auto& test : whileTests(code, all)) {
    marks[test.body / 2] = Mark::NONE;
    marks[all[test.first].start / 2] = Mark::TEST;
    auto own = exitsOf(all, test);
    exits.insert(exits.end(), own.begin(), own.end());
  }
}

bool LoopMap::onlyLeavesHandler(int from) const {
  return std::find(handlerEnds.begin(), handlerEnds.end(), from) != handlerEnds.end();
}

bool LoopMap::isLoopTest(int from) const {
  return std::any_of(exits.begin(), exits.end(), [&](auto& e) { return e.from == from; });
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

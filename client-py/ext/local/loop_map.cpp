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

// Every interpreter has its own jumps. `arg` counts code units.
void resolveJump(Instruction& i, int arg) {
  const int bytes = arg * 2;
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
    Instruction i{start, static_cast<int>(at), static_cast<int>(next), op};
    resolveJump(i, arg);
    all.push_back(i);
    start = -1, extended = 0;
  }
  return all;
}

// A while's test stands twice: before the body, and after it as a conditional jump back to the body.
struct WhileTest {
  size_t last;  // index of the final conditional jump of the second copy
  int body;     // where the loop goes on
  int exit;     // where it ends
};

// Index of the instruction that begins at `offset`; all.size() if none.
size_t indexOf(const std::vector<Instruction>& all, int offset) {
  auto found = std::lower_bound(all.begin(), all.end(), offset, [](const Instruction& i, int o) { return i.start < o; });
  return found != all.end() && found->start == offset ? static_cast<size_t>(found - all.begin()) : all.size();
}

// The conditional jump back at `index`, in this interpreter's form.
bool isConditionalBack(const std::vector<Instruction>& all, size_t index, WhileTest& test) {
  const Instruction& i = all[index];
  if (!i.conditional) return false;
  if (i.backward()) {
    test = {index, i.target, i.next};
    return true;
  }
  // From 3.12 on: a conditional jump over an unconditional jump back.
  if (index + 1 >= all.size()) return false;
  const Instruction& over = all[index + 1];
  if (over.conditional || !over.backward() || i.target != over.next) return false;
  test = {index, over.target, i.target};
  return true;
}

// Tells a while's test from `if ...: continue`, which looks alike: the first copy of the test ends right before the body, on
// the same line, and leaves the loop.
bool isWhileTest(PyCodeObject* code, const std::vector<Instruction>& all, const WhileTest& test) {
  size_t body = indexOf(all, test.body);
  if (body == 0 || body == all.size() || all[body].op == FOR_ITER) return false;
  const Instruction& first = all[body - 1];
  const Instruction& last = all[test.last];
  if (!first.conditional || first.target <= last.at) return false;
  int line = PyCode_Addr2Line(code, last.at);
  // A body on the test's own line gives a line trace nothing to see; leave it alike on every interpreter.
  return line == PyCode_Addr2Line(code, first.at) && line != PyCode_Addr2Line(code, test.body);
}

// First instruction of the second copy: as far back from its end as the line stays the same.
int beginningOfTest(PyCodeObject* code, const std::vector<Instruction>& all, const WhileTest& test) {
  int line = PyCode_Addr2Line(code, all[test.last].at);
  size_t i = test.last;
  while (i > 0 && all[i - 1].start >= test.body && PyCode_Addr2Line(code, all[i - 1].at) == line) --i;
  return all[i].start;
}

std::vector<WhileTest> whileTests(PyCodeObject* code, const std::vector<Instruction>& all) {
  std::vector<WhileTest> tests;
  for (size_t i = 0; i < all.size(); ++i) {
    WhileTest test;
    if (!isConditionalBack(all, i, test) || !isWhileTest(code, all, test)) continue;
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

  for (auto& i : all) {
    if (!i.backward()) continue;
    marks.resize(units, Mark::NONE);
    marks[i.target / 2] = Mark::HEAD;
  }
  for (auto& test : whileTests(code, all)) {
    marks[test.body / 2] = Mark::NONE;
    marks[beginningOfTest(code, all, test) / 2] = Mark::TEST;
    exits.push_back({all[test.last].at, test.exit});
    for (size_t i = indexOf(all, test.body); i < test.last; ++i) {
      if (all[i].conditional && all[i].target == test.exit) exits.push_back({all[i].at, test.exit});
    }
  }
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

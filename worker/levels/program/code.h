// Typed code: what elaboration makes of a program for given argument types, and what the back ends lower.
//
// Structured as WebAssembly is: a BLOCK's label is behind it, a LOOP's label is its head, JUMP goes to a label. Instructions read
// values (results of earlier instructions) and variables live in slots (LOAD, STORE). A guard that fails gives the whole call
// back to CPython; which effects are undone then is the host's business (Site::written says what to keep).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "levels/program/folds.h"
#include "levels/program/types.h"

namespace epochly::program {

using ValueId = uint32_t;

// In the order of their families: see familyOf().
enum class Op : uint8_t {
  // constants and variables
  CONST_B,
  CONST_I,
  CONST_F,  // imm / fimm
  NULL_P,
  ARG,  // imm: which leaf of the parameters
  LOAD,
  STORE,  // imm: slot
  // integers; CHECKED ones guard against leaving 64 bits
  ADD_CHECKED,
  SUB_CHECKED,
  MUL_CHECKED,
  NEG_CHECKED,
  ABS_CHECKED,
  SHL_CHECKED,
  ADD,
  SUB,
  MUL,  // known not to overflow
  FLOOR_DIV,
  FLOOR_MOD,  // guards: divisor zero, quotient out of range
  SHR,
  AND,
  OR,
  XOR,
  INVERT,
  POW_INT,       // guards: negative exponent, overflow
  INT_TRUE_DIV,  // args: integers, the second not zero; the nearest double
  INT_MATH,      // function `text` of one to three integers; guard: no result, or beyond 64 bits
  WRAP,          // args: integer; imm: DType whose bits are kept, as numpy wraps around
  UNSIGNED_DIV,
  UNSIGNED_MOD,  // guard: divisor zero
  // floats
  FADD,
  FSUB,
  FMUL,
  FDIV,
  FNEG,
  FABS,
  FSQRT,
  FFLOOR,
  FCEIL,
  FTRUNC,
  FROUND_EVEN,
  FMOD_PY,
  FFLOOR_DIV_PY,  // CPython's float % and //; divisor not zero
  FPOW_PY,        // CPython's float **; guards what raises or turns complex
  CPOW_PY,        // CPython's complex **; args: parts of both; two results; guards what raises
  MATH1,
  MATH2,         // libm function `text`, result as libm gives it
  FLOAT_MATH,    // function `text` of floats, or of a list of floats; guard: no result that is surely CPython's
  ROUND_DIGITS,  // args: float, digits; guard: a number of digits that is not usual
  ROUND_F32,     // args: float; to the nearest float32, kept as a double
  // tests: imm of a comparison is a Compare
  ICMP,
  FCMP,
  BAND,
  BOR,
  BXOR,
  BNOT,
  SELECT,
  // conversions
  B_TO_I,
  I_TO_F,
  U_TO_F,  // an unsigned 64-bit integer
  F_TO_I,  // truncates; guard: outside 64 bits or NaN
  TO_BITS,
  FROM_BITS,  // a leaf as a 64-bit integer and back (`prim` says to what)
  // control
  GUARD,  // args[0] must hold; guard: which
  GUARD_WARNING,  // args: last, then result, a, b of each numpy scalar operation: none would have warned; last finite says so. imm 1: of
                  // a function of math, which raises where they warn
  FAIL,
  IF,  // args[0]; bodies: then, else
  BLOCK,
  LOOP,    // bodies[0]; imm: label
  JUMP,    // imm: label; bodies[0]: what to do before
  COUNT,   // an iteration of a Python loop is complete
  POLL,    // a loop's back edge: may give the call back (Ctrl-C)
  CALL,    // imm: instance; results: `result` and on
  RETURN,  // args: the result's leaves
  // lists. Elements are `stride` leaves of 8 bytes
  LIST_NEW,  // args[0]: capacity, imm: stride
  LIST_LENGTH,
  LIST_LOAD,   // args: list, index; imm: stride << 32 | leaf; index in bounds
  LIST_STORE,  // args: list, index, value; as LIST_LOAD
  LIST_PUSH,   // args: list, leaves...; imm: stride
  LIST_POP,    // args: list; shortens it by one; not empty
  LIST_SORT,   // args: list of floats or integers; imm: 1 for floats, 2 for descending; guard: a NaN
  // arrays
  POINTER_ADD,  // args: pointer, bytes
  ARRAY_LOAD,
  ARRAY_STORE,  // args: pointer (, value); imm: DType
  MATMUL,  // args: a, b, c; m, n, p; byte strides of m and n in a, n and p in b, m and p in c. imm: DType; guard: it warns
  ARRAY_NEW,  // args: bytes, then the pointers that must stay valid; imm: slot that keeps the site's memory between executions
  ARRAY_FREE,  // args: pointer that ARRAY_NEW gave and nobody reads again; imm: its slot
  UFUNC,  // numpy's own inner loop. args: count, then pointer and byte stride of each operand; imm: ufuncCell(); guard: it warns
  // A loop whose iterations are independent (levels/multicore)
  WORTH_SPLITTING,  // args[0]: iterations; imm: loop. Whether running them on several cores pays now
  // args: iterations, what the chunks capture, then FOLD_LEAVES for each fold; imm: loop << 32 | the chunk's instance. The result
  // points to the number of chunks, then to each chunk's results in order; further results are of folds. guard: a chunk gave the
  // call back
  PARALLEL,
  COUNTERS_NEW,  // args: how many integers, all zero, in memory of the chunk's own; imm 1: as a list; guard: there is no more
};

enum class OpFamily : uint8_t { VARIABLE, INTEGER, FLOAT, TEST, CONVERSION, CONTROL, LIST, ARRAY, CORES };
constexpr OpFamily familyOf(Op op) {
  if (op <= Op::STORE) return OpFamily::VARIABLE;
  if (op <= Op::UNSIGNED_MOD) return OpFamily::INTEGER;
  if (op <= Op::ROUND_F32) return OpFamily::FLOAT;
  if (op <= Op::SELECT) return OpFamily::TEST;
  if (op <= Op::FROM_BITS) return OpFamily::CONVERSION;
  if (op <= Op::RETURN) return OpFamily::CONTROL;
  if (op <= Op::LIST_SORT) return OpFamily::LIST;
  return op <= Op::UFUNC ? OpFamily::ARRAY : OpFamily::CORES;
}

enum class Compare : uint8_t { EQ, NE, LT, LE, GT, GE };

struct Block;

struct Instruction {
  Op op;
  Prim prim = Prim::I;  // of the result
  ValueId result = 0;   // first of `results` consecutive ones
  uint32_t results = 0;
  uint32_t guard = 0;     // index into Unit::guards
  uint32_t line = 0;      // in the source; nothing that is compiled depends on it
  bool anyOrder = false;  // of a LOOP: no iteration touches memory that another writes
  int64_t imm = 0;
  double fimm = 0;
  std::vector<ValueId> args;
  std::vector<Block*> bodies;
  std::string text;
};

struct Block {
  std::vector<Instruction*> code;
};

// An array in slots: its pointer, then as many sizes and strides as it has dimensions.
struct ArrayVariable {
  uint32_t slot;
  uint32_t dims;
  DType dtype;
};

// One function for one set of argument types.
struct Instance {
  uint32_t function = 0;  // in the program
  std::string name;
  std::vector<Type> arguments;
  Type result = Types::NEVER;
  Block* body = nullptr;
  std::vector<Prim> values;  // by ValueId
  std::vector<Prim> slots;
  std::vector<std::string> slotNames;  // by slot: the variable of the source; empty: a temporary
  std::vector<ArrayVariable> arrays;   // whose leaves lie in slots
  // Of a parallel loop: its arguments are the first and the last iteration, then what it captures.
  bool isChunk = false;
  size_t resultLeaves = 0;      // of a chunk
  std::vector<FoldKind> folds;  // of a chunk: what its last results are; those that have a result of the loop first
  bool hasLoop = false;
  bool elaborating = false;  // an older frame of the elaborator is at it: this is recursion
  bool usedEarly = false;    // its result type was asked for while elaborating
  uint32_t round = 0;        // of the elaboration that made `body`
};

struct Guard {
  uint32_t line;
  std::string reason;  // "integer overflow"
};

// A str (as UTF-8) or bytes.
struct Text {
  bool isBytes = false;
  std::string content;
  bool operator==(const Text&) const = default;
};

// A program for one set of argument types, ready for a back end. instances[0] is the entry.
struct Unit {
  Types types;
  std::deque<Instance> instances;
  std::vector<Guard> guards;
  std::deque<Instruction> instructions;
  std::deque<Block> blocks;
  std::vector<uint32_t> parameterSites;
  bool needsUsualBuffer = false;  // gives numpy's results only where numpy.getbufsize() is NUMPY_BUFFER
  std::vector<Text> texts;        // that it mentions, by the number that stands for each; a call's other texts come behind
};

// Typed code as text, for people and tests.
std::string show(Unit& unit, const Instance& instance);

}  // namespace epochly::program

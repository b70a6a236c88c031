// Instructions of typed code, appended to the block that is being filled.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "levels/program/code.h"

namespace epochly::program {

// Nothing runs past here: the path gave the call back, returned or jumped. Ends the elaboration of the statement list it is in.
struct DeadCode {};

// What an instruction has besides its operands.
struct Emit {
  Prim prim = Prim::I;
  int64_t imm = 0;
  double fimm = 0;
  const char* guard = nullptr;
  std::string text;
  uint32_t results = 1;
};

// Of one function. What is settled while compiling is kept beside the leaves, and no code is made for it.
class Emitter {
 protected:
  Emitter(Unit& unit, Instance& instance) : types(unit.types), unit(unit), instance(instance) {}

  ValueId emit(Op op, std::vector<ValueId> args, Emit options);
  Instruction& emitVoid(Op op, std::vector<ValueId> args, Emit options = {});
  ValueId constI(int64_t value) {
    auto leaf = emit(Op::CONST_I, {}, {.prim = Prim::I, .imm = value});
    constants[leaf] = value;
    return leaf;
  }
  ValueId constF(double value) { return emit(Op::CONST_F, {}, {.prim = Prim::F, .fimm = value}); }
  ValueId constB(bool value) {
    auto leaf = emit(Op::CONST_B, {}, {.prim = Prim::B, .imm = value});
    known[leaf] = value;
    return leaf;
  }
  ValueId icmp(Compare compare, ValueId a, ValueId b) {
    return emit(Op::ICMP, {a, b}, {.prim = Prim::B, .imm = static_cast<int64_t>(compare)});
  }
  ValueId fcmp(Compare compare, ValueId a, ValueId b) {
    return emit(Op::FCMP, {a, b}, {.prim = Prim::B, .imm = static_cast<int64_t>(compare)});
  }
  ValueId iop(Op op, ValueId a, ValueId b, const char* guard = nullptr) {
    return emit(op, {a, b}, {.prim = Prim::I, .guard = guard});
  }
  ValueId fop(Op op, ValueId a, ValueId b) { return emit(op, {a, b}, {.prim = Prim::F}); }
  ValueId fop1(Op op, ValueId a) { return emit(op, {a}, {.prim = Prim::F}); }
  ValueId bop(Op op, ValueId a, ValueId b) { return emit(op, {a, b}, {.prim = Prim::B}); }
  ValueId bnot(ValueId a) {
    auto found = known.find(a);
    return found != known.end() ? constB(!found->second) : emit(Op::BNOT, {a}, {.prim = Prim::B});
  }
  void guard(ValueId condition, const char* reason) { emitVoid(Op::GUARD, {condition}, {.guard = reason}); }
  [[noreturn]] void fail(const std::string& reason);           // this path gives the call back
  [[noreturn]] void decline(const std::string& reason) const;  // the whole program does not compile
  uint32_t guardIndex(const std::string& reason);

  Types& types;
  Unit& unit;
  Instance& instance;
  Block* out = nullptr;
  uint32_t line = 0;
  std::map<ValueId, int64_t> constants;
  std::map<ValueId, bool> known;  // conditions settled while compiling: the other path is never looked at
};

}  // namespace epochly::program

// Writes typed code at the end of a block.
#pragma once

#include "levels/program/code.h"

namespace epochly::multicore {

class Builder {
 public:
  Builder(program::Unit& unit, program::Instance& instance, program::Block& block)
      : unit(unit), instance(instance), out(&block) {}

  program::ValueId value(program::Op op, program::Prim prim, std::vector<program::ValueId> args, int64_t imm = 0) {
    auto& made = add(op, std::move(args), imm);
    made.prim = prim;
    made.results = 1;
    made.result = instance.values.size();
    instance.values.push_back(prim);
    return made.result;
  }
  program::Instruction& add(program::Op op, std::vector<program::ValueId> args = {}, int64_t imm = 0) {
    auto& made = unit.instructions.emplace_back();
    made.op = op;
    made.args = std::move(args);
    made.imm = imm;
    out->code.push_back(&made);
    return made;
  }
  program::ValueId constI(int64_t value) { return this->value(program::Op::CONST_I, program::Prim::I, {}, value); }
  program::ValueId constB(bool value) { return this->value(program::Op::CONST_B, program::Prim::B, {}, value); }
  program::ValueId integer(program::Op op, program::ValueId a, program::ValueId b) {
    return value(op, program::Prim::I, {a, b});
  }
  program::ValueId compare(program::Compare compare, program::ValueId a, program::ValueId b) {
    return value(program::Op::ICMP, program::Prim::B, {a, b}, static_cast<int64_t>(compare));
  }
  program::ValueId both(program::ValueId a, program::ValueId b) {
    return value(program::Op::BAND, program::Prim::B, {a, b});
  }
  program::ValueId either(program::ValueId a, program::ValueId b) {
    return value(program::Op::BOR, program::Prim::B, {a, b});
  }
  program::ValueId choose(program::ValueId condition, program::ValueId then, program::ValueId otherwise) {
    return value(program::Op::SELECT, program::Prim::I, {condition, then, otherwise});
  }
  program::ValueId load(uint32_t slot) { return value(program::Op::LOAD, instance.slots[slot], {}, slot); }
  void store(uint32_t slot, program::ValueId id) { add(program::Op::STORE, {id}, slot); }
  program::Instruction& last() { return *out->code.back(); }
  program::Block& current() { return *out; }
  program::Block& newBlock() { return unit.blocks.emplace_back(); }
  void goOnIn(program::Block& block) { out = &block; }
  void append(program::Instruction* one) { out->code.push_back(one); }

 private:
  program::Unit& unit;
  program::Instance& instance;
  program::Block* out;
};

}  // namespace epochly::multicore

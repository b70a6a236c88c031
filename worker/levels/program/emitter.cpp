#include "levels/program/emitter.h"

#include "levels/program/bounds.h"
#include "levels/program/decline.h"

namespace epochly::program {

uint32_t Emitter::guardIndex(const std::string& reason) {
  unit.guards.push_back({line, reason});
  return unit.guards.size() - 1;
}

ValueId Emitter::emit(Op op, std::vector<ValueId> args, Emit options) {
  auto& made = emitVoid(op, std::move(args), options);
  made.results = options.results;
  made.result = instance.values.size();
  instance.values.insert(instance.values.end(), options.results, options.prim);
  return made.result;
}

Instruction& Emitter::emitVoid(Op op, std::vector<ValueId> args, Emit options) {
  if (unit.instructions.size() >= INSTRUCTIONS_MAX) throw Declined(line, "the function is too large to compile");
  auto& made = unit.instructions.emplace_back();
  made.op = op;
  made.line = line;
  made.prim = options.prim;
  made.imm = options.imm;
  made.fimm = options.fimm;
  made.args = std::move(args);
  made.text = std::move(options.text);
  if (options.guard) made.guard = guardIndex(options.guard);
  out->code.push_back(&made);
  return made;
}

void Emitter::fail(const std::string& reason) {
  emitVoid(Op::FAIL, {}).guard = guardIndex(reason);
  throw DeadCode();
}

void Emitter::decline(const std::string& reason) const { throw Declined(line, reason); }

}  // namespace epochly::program

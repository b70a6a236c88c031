#include <map>

#include "levels/jit/code.h"

namespace epochly::jit {

namespace {

// Appends everything that lowering reads.
class Writer {
 public:
  Writer(program::Unit& unit, std::string& out) : unit(unit), out(out) {}

  void write(const Options& options) {
    number(options.fastmath);
    number(options.careful);
    number(options.constants.size());
    for (auto [leaf, value] : options.constants) number(leaf), number(value);
    auto last = unit.instances[0].round;
    for (auto& instance : unit.instances) {
      number(instance.round == last);
      if (instance.round == last) write(instance);
    }
  }

 private:
  program::Unit& unit;
  std::string& out;

  void number(uint64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void prims(const std::vector<program::Prim>& all) {
    number(all.size());
    for (auto prim : all) out.push_back(static_cast<char>(prim));
  }
  void write(const program::Instance& instance) {
    number(instance.usedEarly);
    number(instance.resultLeaves);
    number(instance.folds.size());
    for (auto kind : instance.folds) number(static_cast<uint64_t>(kind));
    number(instance.arguments.size());
    for (auto type : instance.arguments) prims(unit.types.leaves(type));
    prims(instance.values);
    prims(instance.slots);
    write(*instance.body);
  }
  void write(const program::Block& block) {
    number(block.code.size());
    for (auto* one : block.code) write(*one);
  }
  void write(const program::Instruction& one) {
    out.push_back(static_cast<char>(one.op));
    out.push_back(static_cast<char>(one.prim));
    number(uint64_t(one.result) << 32 | one.results);
    number(one.guard);
    number(one.imm);
    out.append(reinterpret_cast<const char*>(&one.fimm), sizeof one.fimm);
    number(one.args.size());
    for (auto arg : one.args) number(arg);
    number(one.text.size());
    out += one.text;
    number(one.bodies.size());
    for (auto* body : one.bodies) write(*body);
  }
};

}  // namespace

std::string fingerprint(program::Unit& unit, const Options& options) {
  std::string text;
  Writer(unit, text).write(options);
  return text;
}

}  // namespace epochly::jit

#include "levels/program/elaborator.h"

#include "levels/program/function_elaborator.h"

namespace epochly::program {

Elaborator::Elaborator(Bindings& bindings, Dialect dialect) : bindings(bindings), dialect(dialect) {}

Type Elaborator::refType(Binding binding) {
  for (uint32_t i = 0; i < refs.size(); i++) {
    if (refs[i].what == binding.what && refs[i].name == binding.name && refs[i].i == binding.i) return unit->types.ref(i);
  }
  refs.push_back(std::move(binding));
  return unit->types.ref(refs.size() - 1);
}

std::unique_ptr<Unit> Elaborator::run(const std::function<std::vector<Type>(Types&)>& argumentTypes) {
  unit = std::make_unique<Unit>();
  for (round = 1; round <= ROUNDS_MAX; round++) {
    unit->types.changed = false;
    resultsChanged = false;
    unit->instructions.clear();
    unit->blocks.clear();
    unit->guards.clear();
    unit->guards.push_back({0, "no guard"});
    auto arguments = argumentTypes(unit->types);
    // Where sites have become one, the arguments have other types: the entry is still the first instance.
    if (!unit->instances.empty() && unit->instances[0].arguments != arguments) {
      unit->instances.clear();
      instanceIndex.clear();
    }
    instance(0, arguments, 0);
    if (!unit->types.changed && !resultsChanged) {
      if (unit->instances[0].result == Types::NEVER)
        throw Declined(0, "no path through the function returns a value that compiles");
      return std::move(unit);
    }
  }
  throw Declined(0, "the types do not settle");
}

uint32_t Elaborator::instance(uint32_t function, const std::vector<Type>& arguments, uint32_t line) {
  auto [entry, isNew] = instanceIndex.try_emplace({function, arguments}, static_cast<uint32_t>(unit->instances.size()));
  auto index = entry->second;
  if (isNew) {
    if (unit->instances.size() >= INSTANCES_MAX) throw Declined(line, "too many versions of the functions it calls");
    auto& made = unit->instances.emplace_back();
    made.function = function;
    made.arguments = arguments;
    made.name = bindings.function(function).getName().cStr();
  }
  auto& known = unit->instances[index];
  if (known.elaborating) known.usedEarly = true;
  if (known.round != round && !known.elaborating) elaborate(index);
  return index;
}

void Elaborator::elaborate(uint32_t index) {
  auto& instance = unit->instances[index];
  instance.round = round;
  instance.elaborating = true;
  instance.values.clear();
  instance.slots.clear();
  instance.slotNames.clear();
  instance.arrays.clear();
  instance.hasLoop = false;
  auto before = instance.result;
  FunctionElaborator(*this, instance, bindings.function(instance.function)).run();
  instance.elaborating = false;
  if (instance.result != before) resultsChanged = true;
}

FunctionElaborator::FunctionElaborator(Elaborator& owner, Instance& instance, schema::Function::Reader function)
    : Flow(*owner.unit, instance), owner(owner), function(function) {}

void FunctionElaborator::run() {
  instance.body = out = &unit.blocks.emplace_back();
  resultVariable = temporary();
  ValueId leaf = 0;
  auto parameters = function.getParameters();
  for (uint i = 0; i < parameters.size(); i++) {
    Value value{instance.arguments[i], {}};
    for (auto prim : std::vector<Prim>(types.leaves(value.type))) {
      value.leaves.push_back(emit(Op::ARG, {}, {.prim = prim, .imm = static_cast<int64_t>(leaf++)}));
    }
    assign(variable(parameters[i].getName().cStr()), value);
  }
  try {
    block([&](Label& label) {
      end = &label;
      list(function.getBody());
      assign(resultVariable, none());
    });
  } catch (DeadCode&) {
    emitVoid(Op::FAIL, {}).guard = guardIndex("the function never returns");
    return;
  }
  auto result = read(resultVariable);
  auto wider = types.join(instance.result, result.type);
  instance.result = wider;
  auto whole = convert(result, wider);
  emitVoid(Op::RETURN, whole.leaves);
  clearArraySlots();
}

void FunctionElaborator::clearArraySlots() {
  auto* body = out;
  out = &unit.blocks.emplace_back();
  for (auto slot : arraySlots) emitVoid(Op::STORE, {emit(Op::NULL_P, {}, {.prim = Prim::P})}, {.imm = slot});
  auto& code = instance.body->code;
  code.insert(code.begin(), out->code.begin(), out->code.end());
  out = body;
}

}  // namespace epochly::program

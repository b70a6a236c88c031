// Calls: who is called, and Python functions.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

std::vector<Value> FunctionElaborator::argumentsOf(Expression expression) {
  auto call = expression.getCall();
  if (call.getKeywords().size()) decline("keywords in this call are not compiled");
  std::vector<Value> args;
  for (auto arg : call.getArguments()) args.push_back(this->expression(arg));
  line = expression.getLine();
  return args;
}

Value FunctionElaborator::call(Expression expression) {
  auto callee = expression.getCall().getCallee();
  if (callee.isAttribute()) {
    auto parts = callee.getAttribute();
    auto of = this->expression(parts.getOf());
    line = expression.getLine();
    if (!isRef(of)) return callMethod(of, parts.getName().cStr(), expression);
  }
  auto target = this->expression(callee);
  line = expression.getLine();
  if (!isRef(target)) decline("calling " + types.show(target.type));
  auto binding = refOf(target);
  switch (binding.what) {
    case Binding::BUILTIN: return callBuiltin(binding.name, expression);
    case Binding::MATH: return callMath(binding.name, expression);
    case Binding::NUMPY: return callNumpy(binding.name, expression);
    case Binding::FUNCTION: return callFunction(binding.i, expression);
    default: decline("calling the module " + binding.name);
  }
}

Value FunctionElaborator::callFunction(uint32_t index, Expression expression) {
  auto callee = owner.bindings.function(index);
  if (callee.getReceiver()) decline("a method called as a function is not compiled");
  auto parameters = callee.getParameters();
  auto call = expression.getCall();
  std::vector<std::optional<Value>> bound(parameters.size());
  uint at = 0;
  for (auto arg : call.getArguments()) {
    if (at >= parameters.size() || parameters[at].getKind() == schema::Parameter::Kind::KEYWORD_ONLY) {
      fail("TypeError: too many arguments for " + std::string(callee.getName().cStr()));
    }
    bound[at++] = this->expression(arg);
  }
  for (auto keyword : call.getKeywords()) {
    bool found = false;
    for (uint i = 0; i < parameters.size(); i++) {
      if (parameters[i].getName() != keyword.getName() ||
          parameters[i].getKind() == schema::Parameter::Kind::POSITIONAL_ONLY)
        continue;
      if (bound[i]) fail("TypeError: an argument is given twice");
      bound[i] = this->expression(keyword.getValue());
      found = true;
    }
    if (!found) fail("TypeError: an unexpected keyword argument");
  }
  line = expression.getLine();
  std::vector<Type> argTypes;
  std::vector<ValueId> leaves;
  for (uint i = 0; i < parameters.size(); i++) {
    if (!bound[i]) {
      auto binding = owner.bindings.defaultOf(index, i);
      if (binding.what == Binding::OTHER && binding.name.empty()) fail("TypeError: a missing argument");
      bound[i] = fromBinding(binding);
    }
    argTypes.push_back(bound[i]->type);
    leaves.insert(leaves.end(), bound[i]->leaves.begin(), bound[i]->leaves.end());
  }
  auto made = owner.instance(index, argTypes, line);
  auto result = unit.instances[made].result;
  if (unit.instances[made].hasLoop) instance.hasLoop = true;
  if (result == Types::NEVER) fail("no result of " + std::string(callee.getName().cStr()));
  auto prims = types.leaves(result);
  auto& emitted = emitVoid(Op::CALL, std::move(leaves), {.imm = static_cast<int64_t>(made)});
  emitted.guard = guardIndex("too deep a recursion");
  emitted.result = instance.values.size();
  emitted.results = prims.size();
  Value value{result, {}};
  for (auto prim : prims) {
    value.leaves.push_back(instance.values.size());
    instance.values.push_back(prim);
  }
  return value;
}

}  // namespace epochly::program

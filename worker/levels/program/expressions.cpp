#include "levels/program/elaborator.h"

namespace epochly::program {

Value FunctionElaborator::fromBinding(const Binding& binding) {
  switch (binding.what) {
    case Binding::INT: return integerConst(binding.i);
    case Binding::FLOAT: return realConst(binding.f);
    case Binding::BOOL: return {Types::BOOL, {constB(binding.i != 0)}};
    case Binding::NONE: return none();
    case Binding::OTHER: decline(binding.name);
    default: return {owner.refType(binding), {}};
  }
}

const Binding& FunctionElaborator::refOf(const Value& value) const { return owner.refs[types[value.type].ref]; }

Value FunctionElaborator::expression(Expression expression) { return settle(unsettled(expression)); }

Value FunctionElaborator::settle(Value value) {
  if (!value.unchecked.empty()) guardWarnings(value.leaves[0], value.unchecked);
  value.unchecked.clear();
  return value;
}

Value FunctionElaborator::unsettled(Expression expression) {
  line = expression.getLine();
  auto made = [&]() -> Value {
    switch (expression.which()) {
      case schema::Expression::NONE: return none();
      case schema::Expression::BOOL: return boolean(constB(expression.getBool()));
      case schema::Expression::INT: return integerConst(expression.getInt());
      case schema::Expression::BIG_INT: decline("an integer constant beyond 64 bits");
      case schema::Expression::FLOAT: return realConst(expression.getFloat());
      case schema::Expression::STR: decline("strings are not compiled yet");
      case schema::Expression::LOCAL: {
        std::string name = expression.getLocal().cStr();
        return readBound(variable(name), name);
      }
      case schema::Expression::CLOSURE:
        return fromBinding(owner.bindings.name(instance.function, true, expression.getClosure().cStr()));
      case schema::Expression::GLOBAL:
        return fromBinding(owner.bindings.name(instance.function, false, expression.getGlobal().cStr()));
      case schema::Expression::UNARY: {
        auto operand = this->expression(expression.getUnary().getOperand());
        line = expression.getLine();
        return unary(expression.getUnary().getOp(), operand);
      }
      case schema::Expression::BINARY: {
        auto parts = expression.getBinary();
        // [x] * n and list + list make a list, whose site is this expression.
        auto op = parts.getOp();
        bool spreads = op == schema::BinaryOp::ADD || op == schema::BinaryOp::SUB || op == schema::BinaryOp::MUL;
        auto left = spreads ? unsettled(parts.getLeft()) : this->expression(parts.getLeft());
        auto right = spreads ? unsettled(parts.getRight()) : this->expression(parts.getRight());
        line = expression.getLine();
        bool leftList = types.is(left.type, Kind::LIST), rightList = types.is(right.type, Kind::LIST);
        if (parts.getOp() == schema::BinaryOp::MUL && leftList && isPlainInt(right.type))
          return listRepeat(left, right, expression.getId());
        if (parts.getOp() == schema::BinaryOp::MUL && rightList && isPlainInt(left.type))
          return listRepeat(right, left, expression.getId());
        if (parts.getOp() == schema::BinaryOp::ADD && leftList && rightList)
          return listConcat(left, right, expression.getId());
        return binary(parts.getOp(), left, right);
      }
      case schema::Expression::AND: return shortCircuit(expression.getAnd(), true);
      case schema::Expression::OR: return shortCircuit(expression.getOr(), false);
      case schema::Expression::COMPARE: return comparison(expression);
      case schema::Expression::CONDITIONAL: return conditional(expression);
      case schema::Expression::CALL: return call(expression);
      case schema::Expression::ATTRIBUTE: return attribute(expression);
      case schema::Expression::SUBSCRIPT: return subscript(expression);
      case schema::Expression::SLICE: decline("a slice outside of []");
      case schema::Expression::TUPLE: {
        std::vector<Value> items;
        for (auto item : expression.getTuple()) items.push_back(this->expression(item));
        return tupleOf(items);
      }
      case schema::Expression::LIST: {
        std::vector<Value> items;
        for (auto item : expression.getList()) items.push_back(this->expression(item));
        auto list = newList(expression.getId(), constI(items.size()));
        for (auto& item : items) push(list, item);
        return list;
      }
      case schema::Expression::COMPREHENSION: return comprehension(expression);
      case schema::Expression::UNSUPPORTED: decline(expression.getUnsupported().cStr());
    }
    decline("this expression is not compiled yet");
  }();
  if (made.type == Types::NEVER) throw DeadCode();
  return made;
}

Value FunctionElaborator::shortCircuit(Expressions values, bool isAnd) {
  std::function<Value(uint)> from = [&](uint at) {
    auto first = expression(values[at]);
    if (at + 1 == values.size()) return first;
    auto rest = [&] { return from(at + 1); };
    auto keep = [&] { return first; };
    return isAnd ? choose(truth(first), rest, keep) : choose(truth(first), keep, rest);
  };
  return from(0);
}

Value FunctionElaborator::conditional(Expression expression) {
  auto parts = expression.getConditional();
  return choose(
      condition(parts.getTest()), [&] { return this->expression(parts.getThen()); },
      [&] { return this->expression(parts.getElse()); });
}

Value FunctionElaborator::attribute(Expression expression) {
  auto parts = expression.getAttribute();
  auto of = this->expression(parts.getOf());
  line = expression.getLine();
  std::string name = parts.getName().cStr();
  if (isRef(of)) {
    auto binding = refOf(of);
    if (binding.what != Binding::MODULE) decline("the attribute '" + name + "' of a function");
    return fromBinding(owner.bindings.attribute(binding.name, name));
  }
  if (types.is(of.type, Kind::ARRAY)) {
    auto dims = types[of.type].dims;
    if (name == "shape") {
      std::vector<Value> shape;
      for (uint32_t i = 0; i < dims; i++) shape.push_back(integer(arrayDim(of, i)));
      return tupleOf(shape);
    }
    if (name == "ndim") return integerConst(dims);
    if (name == "size") {
      auto size = constI(1);
      for (uint32_t i = 0; i < dims; i++) size = iop(Op::MUL, size, arrayDim(of, i));
      return integer(size);
    }
    if (name == "T") {
      Value turned{of.type, {of.leaves[0]}};
      for (uint32_t i = dims; i-- > 0;) turned.leaves.push_back(arrayDim(of, i));
      for (uint32_t i = dims; i-- > 0;) turned.leaves.push_back(arrayStride(of, i));
      return turned;
    }
  }
  decline("the attribute '" + name + "' of " + types.show(of.type) + " is not compiled");
}

}  // namespace epochly::program

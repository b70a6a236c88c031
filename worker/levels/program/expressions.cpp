#include "levels/program/function_elaborator.h"

namespace epochly::program {

Value FunctionElaborator::fromBinding(const Binding& binding) {
  switch (binding.what) {
    case Binding::INT: return integerConst(binding.i);
    case Binding::FLOAT: return realConst(binding.f);
    case Binding::COMPLEX: return complex({constF(binding.f), constF(binding.imaginary)});
    case Binding::STR: return textConst(Types::STR, binding.name);
    case Binding::BYTES: return textConst(Types::BYTES, binding.name);
    case Binding::BOOL: return {Types::BOOL, {constB(binding.i != 0)}};
    case Binding::NONE: return none();
    case Binding::OTHER: decline(binding.name);
    default: return {owner.refType(binding), {}};
  }
}

const Binding& FunctionElaborator::refOf(const Value& value) const { return owner.refs[types[value.type].ref]; }

Value FunctionElaborator::expression(Expression expression) { return settle(unsettled(expression)); }

Value FunctionElaborator::settle(Value value) {
  value = settleChecks(std::move(value));
  return value.fused ? materialise(value) : value;
}

Value FunctionElaborator::settleChecks(Value value) {
  if (!value.unchecked.empty()) guardWarnings(value.leaves[0], value.unchecked);
  value.unchecked.clear();
  return value;
}

// Fused operands are read late: only what surely writes nothing may be evaluated before.
bool FunctionElaborator::mayWrite(Expression expression) {
  auto any = [&](Expressions parts) {
    for (auto part : parts) {
      if (mayWrite(part)) return true;
    }
    return false;
  };
  switch (expression.which()) {
    case schema::Expression::UNARY: return mayWrite(expression.getUnary().getOperand());
    case schema::Expression::BINARY:
      return mayWrite(expression.getBinary().getLeft()) || mayWrite(expression.getBinary().getRight());
    case schema::Expression::AND: return any(expression.getAnd());
    case schema::Expression::OR: return any(expression.getOr());
    case schema::Expression::COMPARE:
      return mayWrite(expression.getCompare().getFirst()) || any(expression.getCompare().getRest());
    case schema::Expression::ATTRIBUTE: return mayWrite(expression.getAttribute().getOf());
    case schema::Expression::SUBSCRIPT:
      return mayWrite(expression.getSubscript().getOf()) || mayWrite(expression.getSubscript().getIndex());
    case schema::Expression::SLICE: {
      auto slice = expression.getSlice();
      return mayWrite(slice.getLower()) || mayWrite(slice.getUpper()) || mayWrite(slice.getStep());
    }
    case schema::Expression::TUPLE: return any(expression.getTuple());
    case schema::Expression::CALL: {
      auto call = expression.getCall();
      if (call.getKeywords().size() || any(call.getArguments())) return true;
      auto callee = call.getCallee();
      if (!callee.isAttribute() || !callee.getAttribute().getOf().isGlobal()) return true;
      auto of = owner.bindings.name(instance.function, false, callee.getAttribute().getOf().getGlobal().cStr());
      if (of.what != Binding::MODULE) return true;
      auto what = owner.bindings.attribute(of.name, callee.getAttribute().getName().cStr()).what;
      return what != Binding::NUMPY && what != Binding::MATH;
    }
    case schema::Expression::NONE:
    case schema::Expression::BOOL:
    case schema::Expression::INT:
    case schema::Expression::FLOAT:
    case schema::Expression::IMAGINARY:
    case schema::Expression::STR:
    case schema::Expression::BYTES:
    case schema::Expression::LOCAL:
    case schema::Expression::CLOSURE:
    case schema::Expression::GLOBAL: return false;
    default: return true;
  }
}

Value FunctionElaborator::unsettled(Expression expression) {
  line = expression.getLine();
  struct Evaluated {
    uint32_t& current;
    const uint32_t outer;
    ~Evaluated() { current = outer; }
  } evaluated{currentId, currentId};
  currentId = expression.getId();
  auto made = [&]() -> Value {
    switch (expression.which()) {
      case schema::Expression::NONE: return none();
      case schema::Expression::BOOL: return boolean(constB(expression.getBool()));
      case schema::Expression::INT: return integerConst(expression.getInt());
      case schema::Expression::BIG_INT: decline("an integer constant beyond 64 bits");
      case schema::Expression::FLOAT: return realConst(expression.getFloat());
      case schema::Expression::IMAGINARY: return complex({constF(0), constF(expression.getImaginary())});
      case schema::Expression::STR:
        return textConst(Types::STR, std::string(expression.getStr().begin(), expression.getStr().end()));
      case schema::Expression::BYTES: {
        auto data = expression.getBytes();
        return textConst(Types::BYTES, std::string(data.begin(), data.end()));
      }
      case schema::Expression::LOCAL: {
        std::string name = expression.getLocal().cStr();
        return readBound(variable(name), name);
      }
      case schema::Expression::CLOSURE:
        return fromBinding(owner.bindings.name(instance.function, true, expression.getClosure().cStr()));
      case schema::Expression::GLOBAL:
        return fromBinding(owner.bindings.name(instance.function, false, expression.getGlobal().cStr()));
      case schema::Expression::UNARY: {
        auto operand = settleChecks(unsettled(expression.getUnary().getOperand()));
        line = expression.getLine();
        return unary(expression.getUnary().getOp(), operand);
      }
      case schema::Expression::BINARY: {
        auto parts = expression.getBinary();
        // [x] * n and list + list make a list, whose site is this expression.
        auto op = parts.getOp();
        bool spreads = op == schema::BinaryOp::ADD || op == schema::BinaryOp::SUB || op == schema::BinaryOp::MUL;
        auto left = unsettled(parts.getLeft());
        if (left.fused && mayWrite(parts.getRight())) left = settle(left);
        if (!spreads) left = settleChecks(left);
        auto right = unsettled(parts.getRight());
        if (!spreads) right = settleChecks(right);
        line = expression.getLine();
        bool leftList = types.is(left.type, Kind::LIST), rightList = types.is(right.type, Kind::LIST);
        if (parts.getOp() == schema::BinaryOp::MUL && leftList && isPlainInt(right.type))
          return listRepeat(left, right, expression.getId());
        if (parts.getOp() == schema::BinaryOp::MUL && rightList && isPlainInt(left.type))
          return listRepeat(right, left, expression.getId());
        if (parts.getOp() == schema::BinaryOp::ADD && leftList && rightList)
          return listConcat(left, right, expression.getId());
        bool areTuples = types.is(left.type, Kind::TUPLE) && types.is(right.type, Kind::TUPLE);
        if (parts.getOp() == schema::BinaryOp::ADD && areTuples) return tupleConcat(left, right);
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
        for (auto item : expression.getTuple()) addItem(items, item);
        return tupleOf(items);
      }
      case schema::Expression::LIST: {
        bool hasStar = false;
        for (auto item : expression.getList()) hasStar |= item.isStarred();
        if (hasStar) return listWithStars(expression);
        std::vector<Value> items;
        for (auto item : expression.getList()) items.push_back(this->expression(item));
        auto list = newList(expression.getId(), constI(items.size()));
        for (auto& item : items) push(list, item);
        return list;
      }
      case schema::Expression::NAMED: {
        auto value = this->expression(expression.getNamed().getValue());
        assignTo(expression.getNamed().getTarget(), value);
        return value;
      }
      case schema::Expression::STARRED: decline("unpacking with * is not compiled here");
      case schema::Expression::COMPREHENSION: return comprehension(expression);
      case schema::Expression::UNSUPPORTED: decline(expression.getUnsupported().cStr());
    }
    decline("this expression is not compiled yet");
  }();
  if (made.type == Types::NEVER) throw DeadCode();
  return made;
}

// An item of a tuple; of `*other`, the items of that.
void FunctionElaborator::addItem(std::vector<Value>& items, Expression item) {
  if (!item.isStarred()) return items.push_back(expression(item));
  auto of = expression(item.getStarred());
  if (!types.is(of.type, Kind::TUPLE)) decline("a tuple with the items of " + types.show(of.type) + " is not compiled");
  for (size_t i = 0; i < types[of.type].parts.size(); i++) items.push_back(tupleItem(of, i));
}

Value FunctionElaborator::listWithStars(Expression expression) {
  auto list = newList(expression.getId(), constI(0));
  for (auto item : expression.getList()) {
    auto value = this->expression(item.isStarred() ? item.getStarred() : item);
    item.isStarred() ? extend(list, value) : push(list, value);
  }
  return list;
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
  if (isPoint(of) && (name == "T" || name == "real" || name == "imag"))
    decline("the attribute '" + name + "' of an array of no dimensions is not compiled");
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
    if (name == "dtype") return fromBinding({.what = Binding::DTYPE, .i = static_cast<int64_t>(types[of.type].dtype)});
    if (name == "nbytes") return integer(iop(Op::MUL, sizeOf(shapeOf(of)), constI(bytesOf(dtypeOf(of)))));
    if (name == "itemsize") return integerConst(bytesOf(dtypeOf(of)));
    if (name == "T") return transposed(of);
    if (name == "real" || name == "imag") return partView(of, name == "imag");
  }
  return split(of, [&](const Value& one) {
    auto result = numberAttribute(one, name);
    if (!result) decline("the attribute '" + name + "' of " + types.show(one.type) + " is not compiled");
    return *result;
  });
}

}  // namespace epochly::program

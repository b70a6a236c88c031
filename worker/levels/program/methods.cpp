// Methods of lists and of numbers.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

std::optional<bool> FunctionElaborator::reverseOf(Expression expression) {
  auto keywords = expression.getCall().getKeywords();
  if (keywords.size() == 0) return false;
  if (keywords.size() != 1 || keywords[0].getName() != "reverse" || !keywords[0].getValue().isBool()) return {};
  return keywords[0].getValue().getBool();
}

Value FunctionElaborator::callMethod(const Value& self, const std::string& name, Expression expression) {
  if (isArray(self)) return arrayMethod(self, name, expression);
  auto call = expression.getCall();
  if (!types.is(self.type, Kind::LIST)) {
    if (argumentsOf(expression).size())
      decline("the method '" + name + "' of " + types.show(self.type) + " is not compiled");
    return numberMethod(self, name);
  }
  if (name == "sort" && call.getArguments().size() == 0) {
    auto reverse = reverseOf(expression);
    if (reverse) return sortList(self, *reverse), none();
  }
  auto args = argumentsOf(expression);
  std::optional<Value> result;
  if (args.empty()) result = listMethod(self, name, expression.getId());
  if (args.size() == 1) result = listMethodOf(self, name, args[0]);
  if (name == "insert" && args.size() == 2) return insertItem(self, args[0], args[1]), none();
  if (!result) decline("the method '" + name + "' of " + types.show(self.type) + " is not compiled");
  return *result;
}

std::optional<Value> FunctionElaborator::listMethod(const Value& self, const std::string& name, uint32_t id) {
  if (name == "pop") return popLast(self);
  if (name == "copy") return copyList(self, id);
  if (name == "reverse") return reverseList(self), none();
  if (name == "clear") return clearList(self), none();
  return {};
}

std::optional<Value> FunctionElaborator::listMethodOf(const Value& self, const std::string& name, const Value& arg) {
  if (name == "append") return push(self, arg), none();
  if (name == "extend") return extend(self, arg), none();
  if (name == "pop") return popAt(self, arg);
  if (name == "index") return indexOf(self, arg);
  if (name == "count") return countOf(self, arg);
  if (name == "remove") return popAt(self, indexOf(self, arg)), none();
  return {};
}

// ---- numbers -----------------------------------------------------------------------------------------------------------------

Value FunctionElaborator::numberMethod(const Value& self, const std::string& name) {
  return split(self, [&](const Value& one) {
    std::optional<Value> result;
    if (name == "conjugate") result = numberAttribute(one, "conjugate()");
    if (isPlainInt(one.type)) result = result ? result : integerMethod(integer(asInt(one)), name);
    if (one.type == Types::FLOAT && name == "is_integer") {
      auto x = one.leaves[0];
      return boolean(bop(Op::BAND, isFinite(x), fcmp(Compare::EQ, fop1(Op::FFLOOR, x), x)));
    }
    if (types.is(one.type, Kind::SCALAR) && name == "item") result = itemOf(one);
    if (!result) decline("the method '" + name + "' of " + types.show(one.type) + " is not compiled");
    return *result;
  });
}

std::optional<Value> FunctionElaborator::integerMethod(const Value& self, const std::string& name) {
  if (name == "bit_length" || name == "bit_count") return integer(intMath(name, self.leaves));
  if (name == "as_integer_ratio") return tupleOf({self, integerConst(1)});
  if (name == "is_integer" && owner.dialect.python >= 0x030c) return boolean(constB(true));
  return {};
}

// A numpy scalar's value as Python's own number.
Value FunctionElaborator::itemOf(const Value& scalar) {
  auto dtype = dtypeOf(scalar);
  if (dtype == DType::BOOL) return boolean(scalar.leaves[0]);
  if (isReal(dtype)) return real(scalar.leaves[0]);
  if (isComplex(dtype)) return complex({scalar.leaves[0], scalar.leaves[1]});
  if (dtype == DType::U64) guard(icmp(Compare::GE, scalar.leaves[0], constI(0)), "an integer does not fit 64 bits");
  return integer(scalar.leaves[0]);
}

}  // namespace epochly::program

// Builtins that make one value of one: range, int, float, abs, round and the like.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

Value FunctionElaborator::rangeOf(const std::vector<Value>& args) {
  std::vector<ValueId> leaves;
  for (auto& arg : args) {
    if (arg.type == Types::FLOAT || arg.type == Types::NONE) typeError("range of " + types.show(arg.type));
    if (!isPlainInt(arg.type) && !types.isScalar(arg.type, DType::I64))
      decline("range of " + types.show(arg.type) + " is not compiled");
    leaves.push_back(asInt(arg));
  }
  if (args.size() == 1) return {Types::RANGE, {constI(0), leaves[0], constI(1)}, 1};
  if (args.size() == 2) return {Types::RANGE, {leaves[0], leaves[1], constI(1)}, 1};
  if (args.size() != 3) typeError("range expects 1 to 3 arguments");
  guard(icmp(Compare::NE, leaves[2], constI(0)), "range() step is zero");
  return {Types::RANGE, leaves, args[2].constInt};
}

Value FunctionElaborator::toInt(const Value& value) {
  return split(value, [&](const Value& one) {
    if (isIntLike(one.type) && !types.isScalar(one.type, DType::U64)) return integer(asInt(one));
    if (isFloatLike(one.type) || types.isScalar(one.type, DType::F32)) {
      return integer(emit(Op::F_TO_I, {one.leaves[0]}, {.prim = Prim::I, .guard = "a float that is no 64-bit integer"}));
    }
    if (one.type == Types::NONE || one.type == Types::COMPLEX) typeError("int() of " + types.show(one.type));
    decline("int() of " + types.show(one.type) + " is not compiled");
  });
}

Value FunctionElaborator::toFloat(const Value& value) {
  return split(value, [&](const Value& one) {
    if (isNumber(one.type) && !types.isScalar(one.type, DType::U64)) return real(asFloat(one));
    if (auto* text = knownText(one); text && one.type == Types::STR) {
      if (auto result = floatOf(*text)) return *result;
    }
    if (one.type == Types::NONE || one.type == Types::COMPLEX) typeError("float() of " + types.show(one.type));
    decline("float() of " + types.show(one.type) + " is not compiled");
  });
}

Value FunctionElaborator::absolute(const Value& value) {
  if (isArray(value)) return settle(elementwise("absolute", {value}));
  return split(value, [&](const Value& one) -> Value {
    if (isComplexLike(one.type)) return complexAbsolute(one);
    if (types.isScalar(one.type, DType::F32)) return {one.type, {fop1(Op::FABS, one.leaves[0])}};
    if (isFloatLike(one.type)) return {one.type, {fop1(Op::FABS, one.leaves[0])}};
    if (isPlainInt(one.type) || types.isScalar(one.type, DType::I64)) {
      auto type = one.type == Types::BOOL ? Types::INT : one.type;
      return {type, {emit(Op::ABS_CHECKED, {asInt(one)}, {.prim = Prim::I, .guard = "an integer does not fit 64 bits"})}};
    }
    if (one.type == Types::NONE) typeError("abs() of None");
    decline("abs() of " + types.show(one.type) + " is not compiled");
  });
}

Value FunctionElaborator::round(const std::vector<Value>& args) {
  if (args.size() == 2 && args[1].type == Types::NONE) return round({args[0]});
  if (args.size() == 2) {
    bool isPlain = isPlainInt(args[1].type) && (args[0].type == Types::FLOAT || isPlainInt(args[0].type));
    if (!isPlain) decline("this use of round() is not compiled");
    auto digits = asInt(args[1]);
    if (args[0].type != Types::FLOAT) {
      guard(icmp(Compare::GE, digits, constI(0)), "round() of an integer to tens");
      return integer(asInt(args[0]));
    }
    return real(emit(Op::ROUND_DIGITS, {args[0].leaves[0], digits},
                     {.prim = Prim::F, .guard = "round() to digits that are not usual"}));
  }
  if (args.size() != 1) decline("this use of round() is not compiled");
  return split(args[0], [&](const Value& one) {
    if (isPlainInt(one.type)) return integer(asInt(one));
    if (one.type == Types::FLOAT) {
      auto rounded = fop1(Op::FROUND_EVEN, one.leaves[0]);
      return integer(emit(Op::F_TO_I, {rounded}, {.prim = Prim::I, .guard = "a float that is no 64-bit integer"}));
    }
    decline("round() of " + types.show(one.type) + " is not compiled");
  });
}

// ---- isinstance --------------------------------------------------------------------------------------------------------------

bool FunctionElaborator::isOfClass(Type type, const Binding& wanted) {
  if (wanted.what == Binding::DTYPE) return types.isScalar(type, static_cast<DType>(wanted.i));
  if (wanted.what != Binding::BUILTIN) decline("isinstance() of this class is not compiled");
  // numpy's float64 and complex128 are subclasses of Python's.
  static const std::map<std::string, std::pair<Kind, std::optional<DType>>> CLASSES = {
      {"bool", {Kind::BOOL, {}}},   {"float", {Kind::FLOAT, DType::F64}}, {"complex", {Kind::COMPLEX, DType::C128}},
      {"list", {Kind::LIST, {}}},   {"tuple", {Kind::TUPLE, {}}},         {"str", {Kind::STR, {}}},
      {"bytes", {Kind::BYTES, {}}}, {"range", {Kind::RANGE, {}}},         {"int", {Kind::INT, {}}},
  };
  auto found = CLASSES.find(wanted.name);
  if (found == CLASSES.end()) decline("isinstance() of this class is not compiled");
  auto [kind, dtype] = found->second;
  bool isBoolAsInt = kind == Kind::INT && type == Types::BOOL;
  return types.is(type, kind) || isBoolAsInt || (dtype && types.isScalar(type, *dtype));
}

Value FunctionElaborator::isInstance(const Value& value, const Value& classes) {
  std::vector<Value> all;
  if (types.is(classes.type, Kind::TUPLE)) {
    for (size_t i = 0; i < types[classes.type].parts.size(); i++) all.push_back(tupleItem(classes, i));
  } else {
    all.push_back(classes);
  }
  return split(value, [&](const Value& one) {
    bool is = false;
    for (auto& wanted : all) {
      if (!isRef(wanted)) decline("isinstance() with " + types.show(wanted.type) + " is not compiled");
      is |= isOfClass(one.type, refOf(wanted));
    }
    return boolean(constB(is));
  });
}

// ---- which builtin -----------------------------------------------------------------------------------------------------------

Value FunctionElaborator::listOf(Expression over, uint32_t id) {
  auto list = newList(id, constI(0));
  items(over, [&](const Value& item) { push(list, item); });
  return list;
}

Value FunctionElaborator::divmod(const Value& left, const Value& right) {
  for (auto* one : {&left, &right}) {
    if (one->type != Types::FLOAT && !isPlainInt(one->type))
      decline("divmod of " + types.show(one->type) + " is not compiled");
  }
  auto quotient = binary(schema::BinaryOp::FLOOR_DIV, left, right);
  return tupleOf({quotient, binary(schema::BinaryOp::MOD, left, right)});
}

Value FunctionElaborator::powerModulo(const std::vector<Value>& args) {
  std::vector<ValueId> leaves;
  for (auto& arg : args) {
    if (!isPlainInt(arg.type)) decline("pow() of three of " + types.show(arg.type) + " is not compiled");
    leaves.push_back(asInt(arg));
  }
  return integer(intMath("pow_mod", leaves));
}

Value FunctionElaborator::callBuiltin(const std::string& name, Expression expression) {
  if (name == "min" || name == "max") return minMax(expression, name == "min");
  if (name == "sum") return sum(expression);
  if (name == "any" || name == "all") return anyAll(expression, name == "any");
  auto parts = expression.getCall().getArguments();
  if (name == "sorted" && parts.size() == 1) {
    auto reverse = reverseOf(expression);
    if (!reverse) decline("sorted() with a key is not compiled");
    auto list = listOf(parts[0], expression.getId());
    sortList(list, *reverse);
    return list;
  }
  if (name == "list" && parts.size() == 1) return listOf(parts[0], expression.getId());
  auto args = argumentsOf(expression);
  if (name == "range") return rangeOf(args);
  if (name == "complex") return makeComplex(args);
  if (name == "round") return round(args);
  std::optional<Value> result;
  switch (args.size()) {
    case 0: result = emptyOf(name, expression.getId()); break;
    case 1: result = builtinOfOne(name, args[0]); break;
    case 2: result = builtinOfTwo(name, args[0], args[1]); break;
    default:
      if (name == "pow" && args.size() == 3) result = powerModulo(args);
  }
  if (!result) decline("this use of " + name + "() is not compiled");
  return *result;
}

std::optional<Value> FunctionElaborator::emptyOf(const std::string& name, uint32_t id) {
  if (name == "list") return newList(id, constI(0));
  if (name == "tuple") return tupleOf({});
  if (name == "int") return integerConst(0);
  if (name == "float") return realConst(0);
  if (name == "bool") return boolean(constB(false));
  return {};
}

std::optional<Value> FunctionElaborator::builtinOfOne(const std::string& name, const Value& given) {
  if (name == "len") return length(given);
  auto arg = pointElement(given);
  if (name == "abs") return absolute(arg);
  if (name == "float") return toFloat(arg);
  if (name == "int") return toInt(arg);
  if (name == "bool") return boolean(truth(arg));
  if (name == "tuple" && types.is(arg.type, Kind::TUPLE)) return arg;
  if (name == "tuple") decline("tuple() of what is as long as it is while running is not compiled");
  return {};
}

std::optional<Value> FunctionElaborator::builtinOfTwo(const std::string& name, const Value& left, const Value& right) {
  if (name == "pow") return settle(binary(schema::BinaryOp::POW, left, right));
  if (name == "divmod") return divmod(left, right);
  if (name == "isinstance") return isInstance(left, right);
  return {};
}

}  // namespace epochly::program

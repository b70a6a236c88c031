// Calls: builtins, math, methods of lists, other Python functions.
#include <algorithm>
#include <cmath>

#include "levels/program/elaborator.h"

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
    case Binding::MATH: return callMath(binding.name, argumentsOf(expression));
    case Binding::NUMPY: return callNumpy(binding.name, expression);
    case Binding::FUNCTION: return callFunction(binding.i, expression);
    default: decline("calling the module " + binding.name);
  }
}

Value FunctionElaborator::callFunction(uint32_t index, Expression expression) {
  auto callee = owner.bindings.function(index);
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

std::optional<bool> FunctionElaborator::reverseOf(Expression expression) {
  auto keywords = expression.getCall().getKeywords();
  if (keywords.size() == 0) return false;
  if (keywords.size() != 1 || keywords[0].getName() != "reverse" || !keywords[0].getValue().isBool()) return {};
  return keywords[0].getValue().getBool();
}

Value FunctionElaborator::callMethod(const Value& self, const std::string& name, Expression expression) {
  auto describe = [&] { return "the method '" + name + "' of " + types.show(self.type) + " is not compiled"; };
  if (isArray(self)) return arrayMethod(self, name, expression);
  if (name == "conjugate" && argumentsOf(expression).empty()) {
    return split(self, [&](const Value& one) {
      auto result = numberAttribute(one, "conjugate()");
      if (!result) decline("the method 'conjugate' of " + types.show(one.type) + " is not compiled");
      return *result;
    });
  }
  if (!types.is(self.type, Kind::LIST)) decline(describe());
  if (name == "sort" && expression.getCall().getArguments().size() == 0) {
    auto reverse = reverseOf(expression);
    if (reverse) return sortList(self, *reverse), none();
  }
  auto args = argumentsOf(expression);
  if (name == "append" && args.size() == 1) return push(self, args[0]), none();
  if (name == "extend" && args.size() == 1) return extend(self, args[0]), none();
  if (name == "insert" && args.size() == 2) return insertItem(self, args[0], args[1]), none();
  if (name == "pop" && args.size() == 1) return popAt(self, args[0]);
  if (name == "pop" && args.empty()) {
    auto length = listLength(self);
    guard(icmp(Compare::GT, length, constI(0)), "pop from an empty list");
    auto item = listLoad(self, iop(Op::SUB, length, constI(1)));
    types.mark(types[self.type].ref, &Site::written);
    types.mark(types[self.type].ref, &Site::resized);
    emitVoid(Op::LIST_POP, {self.leaves[0]});
    return item;
  }
  if (name == "copy" && args.empty()) {
    auto result = newList(expression.getId(), listLength(self));
    if (elementOf(self) == Types::NEVER) return result;
    forEach(iterateIndexed(self, false), [&](const Value& item, Label&) { push(result, item); });
    return result;
  }
  if (name == "reverse" && args.empty() && elementOf(self) != Types::NEVER) {
    auto low = temporary(), high = temporary();
    assign(low, integerConst(0));
    assign(high, integer(iop(Op::SUB, listLength(self), constI(1))));
    block([&](Label& done) {
      loop([&](Label&) {
        leaveUnless(icmp(Compare::LT, read(low).leaves[0], read(high).leaves[0]), done);
        auto i = read(low).leaves[0], j = read(high).leaves[0];
        auto a = listLoad(self, i), b = listLoad(self, j);
        listStore(self, i, b);
        listStore(self, j, a);
        assign(low, integer(iop(Op::ADD, i, constI(1))));
        assign(high, integer(iop(Op::SUB, j, constI(1))));
      });
    });
    return none();
  }
  decline(describe());
}

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

// min and max keep the first of equals, and compare as `<` and `>` do; so a NaN stays where it came first.
Value FunctionElaborator::minMax(Expression expression, bool isMin) {
  auto call = expression.getCall();
  if (call.getKeywords().size()) decline("min and max with keywords are not compiled");
  auto op = isMin ? schema::CompareOp::LT : schema::CompareOp::GT;
  auto better = [&](const Value& best, const Value& item) {
    auto wins = truth(compare(op, item, best));
    if (item.type == best.type && item.leaves.size() == 1) {
      return Value{item.type,
                   {emit(Op::SELECT, {wins, item.leaves[0], best.leaves[0]}, {.prim = types.leaves(item.type)[0]})}};
    }
    return choose(
        wins, [&] { return item; }, [&] { return best; });
  };
  if (call.getArguments().size() != 1) {
    auto args = argumentsOf(expression);
    if (args.empty()) typeError("min and max expect an argument");
    auto best = args[0];
    for (size_t i = 1; i < args.size(); i++) best = better(best, args[i]);
    return best;
  }
  auto best = temporary();
  assign(best, none());  // None: nothing seen yet
  auto consider = [&](const Value& item) {
    if (types.has(item.type, Types::NONE)) decline("min and max of None are not compiled");
    auto before = read(best);
    assign(best, split(before, [&](const Value& one) { return one.type == Types::NONE ? item : better(one, item); }));
  };
  auto only = call.getArguments()[0];
  if (only.isComprehension() && only.getComprehension().getLazy()) {
    auto parts = only.getComprehension();
    generators(parts.getGenerators(), 0, [&] { consider(this->expression(parts.getElement())); });
  } else {
    forEach(only, [&](const Value& item, Label&) { consider(item); });
  }
  line = expression.getLine();
  return split(take(best), [&](const Value& one) {
    if (one.type == Types::NONE) fail("ValueError: min or max of nothing");
    return one;
  });
}

Value FunctionElaborator::sum(Expression expression) {
  auto call = expression.getCall();
  auto args = call.getArguments();
  bool keyword = call.getKeywords().size() == 1 && call.getKeywords()[0].getName() == "start";
  if (args.size() < 1 || args.size() > 2 || (call.getKeywords().size() && (!keyword || args.size() == 2)))
    decline("this use of sum is not compiled");
  auto total = temporary();
  auto start = keyword            ? this->expression(call.getKeywords()[0].getValue())
               : args.size() == 2 ? this->expression(args[1])
                                  : integerConst(0);
  if (!isNumeric(start.type)) decline("sum from something else than a number is not compiled");
  assign(total, start);
  // From 3.12 on the sum of floats is compensated (Neumaier); `lost` is what rounding took so far.
  bool compensated = owner.dialect.python >= 0x030c;
  auto lost = temporary();
  if (compensated) assign(lost, realConst(0));
  auto add = [&](const Value& item) {
    if (compensated && (types.is(item.type, Kind::UNION) || types.has(item.type, Types::FLOAT))) {
      if (item.type != Types::FLOAT || !isPlainInt(start.type) || !start.constInt || *start.constInt != 0) {
        decline("a sum of mixed numbers is not compiled for this version of Python");
      }
      auto before = read(total);
      auto x = item.leaves[0];
      auto t = split(before, [&](const Value& one) { return real(asFloat(one)); }).leaves[0];
      auto sum = fop(Op::FADD, t, x);
      auto bigger = fcmp(Compare::GE, fop1(Op::FABS, t), fop1(Op::FABS, x));
      auto a = fop(Op::FADD, fop(Op::FSUB, t, sum), x), b = fop(Op::FADD, fop(Op::FSUB, x, sum), t);
      auto step = emit(Op::SELECT, {bigger, a, b}, {.prim = Prim::F});
      assign(lost, real(fop(Op::FADD, read(lost).leaves[0], step)));
      return assign(total, real(sum));
    }
    assign(total, settle(binary(schema::BinaryOp::ADD, read(total), item)));
  };
  auto over = args[0];
  if (over.isComprehension() && over.getComprehension().getLazy()) {
    auto parts = over.getComprehension();
    generators(parts.getGenerators(), 0, [&] { add(this->expression(parts.getElement())); });
  } else {
    forEach(over, [&](const Value& item, Label&) { add(item); });
  }
  line = expression.getLine();
  auto result = take(total);
  if (!compensated) return result;
  auto rest = take(lost).leaves[0];
  return split(result, [&](const Value& one) {
    if (one.type != Types::FLOAT || !isPlainInt(start.type)) return one;
    auto finite = fcmp(Compare::LT, fop1(Op::FABS, rest), constF(__builtin_inf()));
    auto useful = bop(Op::BAND, finite, fcmp(Compare::NE, rest, constF(0)));
    return real(emit(Op::SELECT, {useful, fop(Op::FADD, one.leaves[0], rest), one.leaves[0]}, {.prim = Prim::F}));
  });
}

Value FunctionElaborator::anyAll(Expression expression, bool isAny) {
  auto call = expression.getCall();
  if (call.getKeywords().size() || call.getArguments().size() != 1) typeError("any and all expect one argument");
  auto over = call.getArguments()[0];
  auto result = temporary();
  block([&](Label& done) {
    auto test = [&](ValueId holds) {
      branch(
          isAny ? bnot(holds) : holds, [] {},
          [&] {
            assign(result, boolean(constB(isAny)));
            jump(done);
            throw DeadCode();
          });
    };
    if (over.isComprehension() && over.getComprehension().getLazy()) {
      auto parts = over.getComprehension();
      generators(parts.getGenerators(), 0, [&] { test(condition(parts.getElement())); });
    } else {
      forEach(over, [&](const Value& item, Label&) { test(truth(item)); });
    }
    assign(result, boolean(constB(!isAny)));
  });
  return take(result);
}

Value FunctionElaborator::callBuiltin(const std::string& name, Expression expression) {
  if (name == "min" || name == "max") return minMax(expression, name == "min");
  if (name == "sum") return sum(expression);
  if (name == "any" || name == "all") return anyAll(expression, name == "any");
  if (name == "sorted" && expression.getCall().getArguments().size() == 1) {
    auto reverse = reverseOf(expression);
    if (!reverse) decline("sorted() with a key is not compiled");
    auto list = newList(expression.getId(), constI(0));
    forEach(iterateValue(this->expression(expression.getCall().getArguments()[0])),
            [&](const Value& item, Label&) { push(list, item); });
    sortList(list, *reverse);
    return list;
  }
  auto args = argumentsOf(expression);
  if (name == "range") return rangeOf(args);
  if (name == "complex") return makeComplex(args);
  if (name == "round") return round(args);
  if (name == "pow" && args.size() == 2) return settle(binary(schema::BinaryOp::POW, args[0], args[1]));
  if (name == "divmod" && args.size() == 2) {
    for (auto& arg : args) {
      if (arg.type != Types::FLOAT && !isPlainInt(arg.type))
        decline("divmod of " + types.show(arg.type) + " is not compiled");
    }
    auto quotient = binary(schema::BinaryOp::FLOOR_DIV, args[0], args[1]);
    return tupleOf({quotient, binary(schema::BinaryOp::MOD, args[0], args[1])});
  }
  if (name == "list" && args.empty()) return newList(expression.getId(), constI(0));
  if (name == "list" && args.size() == 1) {
    auto list = newList(expression.getId(), constI(0));
    forEach(iterateValue(args[0]), [&](const Value& item, Label&) { push(list, item); });
    return list;
  }
  if (args.size() == 1) {
    if (name == "len") return length(args[0]);
    if (name == "abs") return absolute(args[0]);
    if (name == "float") return toFloat(args[0]);
    if (name == "int") return toInt(args[0]);
    if (name == "bool") return boolean(truth(args[0]));
  }
  decline("this use of " + name + "() is not compiled");
}

// Functions of integers.
std::optional<Value> FunctionElaborator::integerMath(const std::string& name, const std::vector<Value>& args) {
  static const std::pair<const char*, size_t> NAMES[] = {{"gcd", 2},       {"lcm", 2},  {"isqrt", 1},
                                                         {"factorial", 1}, {"comb", 2}, {"perm", 2}};
  for (auto [known, count] : NAMES) {
    if (name != known || args.size() != count) continue;
    std::vector<ValueId> leaves;
    for (auto& arg : args) {
      if (arg.type == Types::FLOAT) typeError("math." + name + " of a float");
      if (!isPlainInt(arg.type)) decline("math." + name + " of " + types.show(arg.type) + " is not compiled");
      leaves.push_back(asInt(arg));
    }
    return integer(emit(Op::INT_MATH, leaves, {.prim = Prim::I, .guard = "no result within 64 bits", .text = name}));
  }
  return {};
}

Value FunctionElaborator::callMath(const std::string& name, const std::vector<Value>& args) {
  for (size_t i = 0; i < args.size(); i++) {
    if (!types.is(args[i].type, Kind::UNION)) continue;
    return split(args[i], [&](const Value& one) {
      auto known = args;
      known[i] = one;
      return callMath(name, known);
    });
  }
  for (auto& arg : args) {
    if (arg.type == Types::NONE) typeError("math." + name + " of None");
    if (!isNumber(arg.type) || types.isScalar(arg.type, DType::U64))
      decline("math." + name + " of " + types.show(arg.type) + " is not compiled");
  }
  if (auto result = integerMath(name, args)) return *result;
  auto infinity = [&] { return constF(__builtin_inf()); };
  auto isFinite = [&](ValueId x) { return fcmp(Compare::LT, fop1(Op::FABS, x), infinity()); };
  auto isNan = [&](ValueId x) { return fcmp(Compare::NE, x, x); };
  // What raises in CPython: an infinite or undefined result of finite arguments.
  auto checked1 = [&](const char* function) {
    auto x = asFloat(args[0]);
    auto r = emit(Op::MATH1, {x}, {.prim = Prim::F, .text = function});
    // A NaN in gives a NaN out; an infinity gives an infinity or a limit without a complaint, but sin(inf) is undefined.
    emitVoid(Op::GUARD_WARNING, {r, r, x, x}, {.imm = 1, .guard = "math raises here"});
    return real(r);
  };
  if (args.size() == 1) {
    for (auto* known : {"exp", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
                        "acosh", "atanh", "log1p", "cbrt"}) {
      if (name == known) return checked1(known);
    }
    auto& arg = args[0];
    if (name == "sqrt") {
      auto x = asFloat(arg);
      guard(bnot(fcmp(Compare::LT, x, constF(0))), "the square root of a negative number");
      return real(fop1(Op::FSQRT, x));
    }
    if (name == "log" || name == "log2" || name == "log10") {
      auto x = asFloat(arg);
      guard(bop(Op::BOR, fcmp(Compare::GT, x, constF(0)), isNan(x)), "the logarithm of zero or a negative number");
      return real(emit(Op::MATH1, {x}, {.prim = Prim::F, .text = name}));
    }
    if (name == "fabs") return real(fop1(Op::FABS, asFloat(arg)));
    if (name == "isnan") return boolean(isNan(asFloat(arg)));
    if (name == "isfinite") return boolean(isFinite(asFloat(arg)));
    if (name == "isinf") return boolean(fcmp(Compare::EQ, fop1(Op::FABS, asFloat(arg)), infinity()));
    if (name == "floor" || name == "ceil" || name == "trunc") {
      if (isPlainInt(arg.type)) return integer(asInt(arg));
      if (!isFloatLike(arg.type)) decline("math." + name + " of " + types.show(arg.type) + " is not compiled");
      auto op = name == "floor" ? Op::FFLOOR : name == "ceil" ? Op::FCEIL : Op::FTRUNC;
      auto whole = fop1(op, arg.leaves[0]);
      return integer(emit(Op::F_TO_I, {whole}, {.prim = Prim::I, .guard = "a float that is no 64-bit integer"}));
    }
    if (name == "radians") return real(fop(Op::FMUL, asFloat(arg), constF(M_PI / 180.0)));
    if (name == "degrees") return real(fop(Op::FMUL, asFloat(arg), constF(180.0 / M_PI)));
  }
  if (args.size() == 2) {
    auto a = asFloat(args[0]), b = asFloat(args[1]);
    if (name == "log") {
      // As CPython divides the two.
      auto x = callMath("log", {args[0]}), base = callMath("log", {args[1]});
      return floatBinary(schema::BinaryOp::DIV, x, base);
    }
    if (name == "copysign") return real(emit(Op::MATH2, {a, b}, {.prim = Prim::F, .text = "copysign"}));
    if (name == "atan2") {
      guard(bop(Op::BAND, isFinite(a), isFinite(b)), "math.atan2 of an infinity or NaN");
      return real(emit(Op::MATH2, {a, b}, {.prim = Prim::F, .text = "atan2"}));
    }
    if (name == "pow" || name == "fmod") {
      guard(bop(Op::BAND, isFinite(a), isFinite(b)), "math.pow or math.fmod of an infinity or NaN");
      auto r = emit(Op::MATH2, {a, b}, {.prim = Prim::F, .text = name});
      guard(isFinite(r), "math raises here");
      return real(r);
    }
  }
  decline("this use of math." + name + " is not compiled");
}

}  // namespace epochly::program

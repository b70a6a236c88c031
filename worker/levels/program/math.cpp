// Functions of the module math: with the libm that CPython calls, or with code of ours that gives what CPython's own gives.
#include <algorithm>
#include <cmath>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

namespace {

template <size_t N>
bool isAmong(const char* const (&names)[N], const std::string& name) {
  return std::any_of(std::begin(names), std::end(names), [&](auto* known) { return name == known; });
}

// libm's, and what is infinite or undefined of a finite argument raises.
const char* const CHECKED[] = {"exp",  "exp2", "expm1", "sin",   "cos",   "tan",   "asin",  "acos", "atan",
                               "sinh", "cosh", "tanh",  "asinh", "acosh", "atanh", "log1p", "cbrt"};
const char* const LOGARITHMS[] = {"log", "log2", "log10"};
const char* const TESTS[] = {"isnan", "isfinite", "isinf"};
const char* const ROUNDINGS[] = {"floor", "ceil", "trunc"};
// Of two arguments; what is not finite is left to CPython.
const char* const FINITE[] = {"atan2", "pow", "fmod", "remainder"};
// No libm has CPython's.
const char* const OWN[] = {"gamma", "lgamma", "sumprod", "fma"};

constexpr int64_t EXPONENT_MAX = 5000;  // past any double's, whatever it is scaled from
constexpr const char* UNSURE = "a length in the middle between two floats";
constexpr const char* RAISES = "math raises here";

}  // namespace

ValueId FunctionElaborator::isFinite(ValueId x) { return fcmp(Compare::LT, fop1(Op::FABS, x), constF(HUGE_VAL)); }

Value FunctionElaborator::libm(const char* function, const std::vector<ValueId>& args) {
  return real(emit(args.size() == 1 ? Op::MATH1 : Op::MATH2, args, {.prim = Prim::F, .text = function}));
}

Value FunctionElaborator::callMath(const std::string& name, Expression expression) {
  if (isAmong(OWN, name)) decline("math." + name + " is not compiled: CPython computes it in a way of its own");
  if (name == "prod") return product(expression);
  if (name == "fsum") return exactSum(expression);
  if (name == "isclose") return isClose(expression);
  return mathOf(name, argumentsOf(expression));
}

Value FunctionElaborator::mathOf(const std::string& name, std::vector<Value> args) {
  for (auto& arg : args) arg = pointElement(arg);
  for (size_t i = 0; i < args.size(); i++) {
    if (!types.is(args[i].type, Kind::UNION)) continue;
    return split(args[i], [&](const Value& one) {
      auto known = args;
      known[i] = one;
      return mathOf(name, known);
    });
  }
  if (name == "dist" && args.size() == 2) return distance(args[0], args[1]);
  for (auto& arg : args) {
    if (arg.type == Types::NONE) typeError("math." + name + " of None");
    if (!isNumber(arg.type) || types.isScalar(arg.type, DType::U64))
      decline("math." + name + " of " + types.show(arg.type) + " is not compiled");
  }
  if (auto result = integerMath(name, args)) return *result;
  if (name == "hypot") return norm(args);
  std::optional<Value> result;
  if (args.size() == 1) result = mathOfOne(name, args[0]);
  if (args.size() == 2) result = mathOfTwo(name, args[0], args[1]);
  if (!result) decline("this use of math." + name + " is not compiled");
  return *result;
}

// ---- integers ----------------------------------------------------------------------------------------------------------------

std::optional<Value> FunctionElaborator::integerMath(const std::string& name, const std::vector<Value>& args) {
  static const std::pair<const char*, std::pair<size_t, size_t>> COUNTS[] = {
      {"gcd", {0, 64}}, {"lcm", {0, 64}}, {"isqrt", {1, 1}}, {"factorial", {1, 1}}, {"comb", {2, 2}}, {"perm", {1, 2}}};
  for (auto& [known, count] : COUNTS) {
    if (name != known || args.size() < count.first || args.size() > count.second) continue;
    std::vector<ValueId> leaves;
    for (auto& arg : args) {
      if (arg.type == Types::FLOAT) typeError("math." + name + " of a float");
      if (!isPlainInt(arg.type)) decline("math." + name + " of " + types.show(arg.type) + " is not compiled");
      leaves.push_back(asInt(arg));
    }
    if (name == "perm" && leaves.size() == 1) return integer(intMath("factorial", leaves));
    if (name != "gcd" && name != "lcm") return integer(intMath(name, leaves));
    auto result = constI(name == "lcm");
    for (auto leaf : leaves) result = intMath(name, {result, leaf});
    return integer(result);
  }
  return {};
}

ValueId FunctionElaborator::intMath(const std::string& name, const std::vector<ValueId>& args) {
  return emit(Op::INT_MATH, args, {.prim = Prim::I, .guard = "no result within 64 bits", .text = name});
}

// ---- floats ------------------------------------------------------------------------------------------------------------------

// What raises in CPython: an infinite or undefined result of finite arguments.
Value FunctionElaborator::checkedMath(const std::string& name, ValueId x) {
  auto r = libm(name.c_str(), {x}).leaves[0];
  // A NaN in gives a NaN out; an infinity gives an infinity or a limit without a complaint, but sin(inf) is undefined.
  emitVoid(Op::GUARD_WARNING, {r, r, x, x}, {.imm = 1, .guard = RAISES});
  return real(r);
}

Value FunctionElaborator::mathTest(const std::string& name, ValueId x) {
  if (name == "isnan") return boolean(fcmp(Compare::NE, x, x));
  if (name == "isfinite") return boolean(isFinite(x));
  return boolean(fcmp(Compare::EQ, fop1(Op::FABS, x), constF(HUGE_VAL)));
}

Value FunctionElaborator::mathRounding(const std::string& name, const Value& arg) {
  if (isPlainInt(arg.type)) return integer(asInt(arg));
  if (!isFloatLike(arg.type)) decline("math." + name + " of " + types.show(arg.type) + " is not compiled");
  auto op = name == "floor" ? Op::FFLOOR : name == "ceil" ? Op::FCEIL : Op::FTRUNC;
  auto whole = fop1(op, arg.leaves[0]);
  return integer(emit(Op::F_TO_I, {whole}, {.prim = Prim::I, .guard = "a float that is no 64-bit integer"}));
}

// The distance to the next float, away from zero; of the largest, to the one before.
ValueId FunctionElaborator::unitInLastPlace(ValueId x) {
  auto size = fop1(Op::FABS, x), infinity = constF(HUGE_VAL);
  auto after = libm("nextafter", {size, infinity}).leaves[0], before = libm("nextafter", {size, constF(0)}).leaves[0];
  auto isLast = fcmp(Compare::EQ, after, infinity);
  return emit(Op::SELECT, {isLast, fop(Op::FSUB, size, before), fop(Op::FSUB, after, size)}, {.prim = Prim::F});
}

std::optional<Value> FunctionElaborator::mathOfOne(const std::string& name, const Value& arg) {
  if (isAmong(ROUNDINGS, name)) return mathRounding(name, arg);
  auto x = asFloat(arg);
  if (isAmong(CHECKED, name)) return checkedMath(name, x);
  if (isAmong(TESTS, name)) return mathTest(name, x);
  if (isAmong(LOGARITHMS, name)) {
    guard(bop(Op::BOR, fcmp(Compare::GT, x, constF(0)), fcmp(Compare::NE, x, x)),
          "the logarithm of zero or a negative number");
    return libm(name.c_str(), {x});
  }
  if (name == "sqrt") {
    guard(bnot(fcmp(Compare::LT, x, constF(0))), "the square root of a negative number");
    return real(fop1(Op::FSQRT, x));
  }
  if (name == "fabs") return real(fop1(Op::FABS, x));
  if (name == "erf" || name == "erfc") return libm(name.c_str(), {x});
  if (name == "radians") return real(fop(Op::FMUL, x, constF(M_PI / 180.0)));
  if (name == "degrees") return real(fop(Op::FMUL, x, constF(180.0 / M_PI)));
  if (name == "ulp") return real(unitInLastPlace(x));
  if (name == "modf") return tupleOf({libm("fraction", {x}), real(fop1(Op::FTRUNC, x))});
  if (name == "frexp") {
    auto exponent = libm("frexp_exponent", {x}).leaves[0];
    return tupleOf({libm("frexp_fraction", {x}), integer(emit(Op::F_TO_I, {exponent}, {.prim = Prim::I, .guard = RAISES}))});
  }
  return {};
}

std::optional<Value> FunctionElaborator::mathOfTwo(const std::string& name, const Value& left, const Value& right) {
  // As CPython divides the two.
  if (name == "log") return floatBinary(schema::BinaryOp::DIV, mathOf("log", {left}), mathOf("log", {right}));
  if (name == "ldexp") return scaledByPower(asFloat(left), right);
  auto a = asFloat(left), b = asFloat(right);
  if (name == "copysign" || name == "nextafter") return libm(name.c_str(), {a, b});
  if (!isAmong(FINITE, name)) return {};
  guard(bop(Op::BAND, isFinite(a), isFinite(b)), "math.pow or the like of an infinity or NaN");
  if (name == "atan2") return libm("atan2", {a, b});
  auto r = libm(name.c_str(), {a, b});
  guard(isFinite(r.leaves[0]), RAISES);
  return r;
}

// x * 2 ** by
Value FunctionElaborator::scaledByPower(ValueId x, const Value& by) {
  if (by.type == Types::FLOAT) typeError("math.ldexp with a float");
  if (!isPlainInt(by.type)) decline("math.ldexp with " + types.show(by.type) + " is not compiled");
  auto exponent = asInt(by), high = constI(EXPONENT_MAX), low = constI(-EXPONENT_MAX);
  exponent = emit(Op::SELECT, {icmp(Compare::GT, exponent, high), high, exponent}, {.prim = Prim::I});
  exponent = emit(Op::SELECT, {icmp(Compare::LT, exponent, low), low, exponent}, {.prim = Prim::I});
  auto result = libm("ldexp", {x, emit(Op::I_TO_F, {exponent}, {.prim = Prim::F})});
  guard(bop(Op::BOR, isFinite(result.leaves[0]), bnot(isFinite(x))), RAISES);
  return result;
}

// math.isclose(a, b, *, rel_tol, abs_tol)
Value FunctionElaborator::isClose(Expression expression) {
  auto call = expression.getCall();
  auto parts = call.getArguments();
  if (parts.size() != 2) typeError("math.isclose expects two numbers");
  auto number = [&](Expression one) {
    auto value = this->expression(one);
    if (!isNumber(value.type) || types.isScalar(value.type, DType::U64))
      decline("math.isclose of " + types.show(value.type) + " is not compiled");
    return asFloat(value);
  };
  auto a = number(parts[0]), b = number(parts[1]);
  auto relative = constF(1e-9), absolute = constF(0);
  for (auto keyword : call.getKeywords()) {
    if (keyword.getName() != "rel_tol" && keyword.getName() != "abs_tol") typeError("an unexpected keyword argument");
    (keyword.getName() == "rel_tol" ? relative : absolute) = number(keyword.getValue());
  }
  line = expression.getLine();
  auto zero = constF(0);
  guard(bnot(bop(Op::BOR, fcmp(Compare::LT, relative, zero), fcmp(Compare::LT, absolute, zero))),
        "ValueError: a negative tolerance");
  auto apart = fop1(Op::FABS, fop(Op::FSUB, b, a));
  auto within = [&](ValueId bound) { return fcmp(Compare::LE, apart, bound); };
  auto share = [&](ValueId of) { return within(fop1(Op::FABS, fop(Op::FMUL, relative, of))); };
  auto isNear = bop(Op::BOR, bop(Op::BOR, share(b), share(a)), within(absolute));
  auto bothFinite = bop(Op::BAND, bnot(truth(mathTest("isinf", a))), bnot(truth(mathTest("isinf", b))));
  return boolean(bop(Op::BOR, fcmp(Compare::EQ, a, b), bop(Op::BAND, bothFinite, isNear)));
}

// ---- lengths of vectors ------------------------------------------------------------------------------------------------------

Value FunctionElaborator::norm(const std::vector<Value>& parts) {
  if (parts.empty()) return realConst(0);
  std::vector<ValueId> leaves;
  for (auto& part : parts) leaves.push_back(asFloat(part));
  if (leaves.size() == 1) return real(fop1(Op::FABS, leaves[0]));
  if (leaves.size() > 2) return real(emit(Op::FLOAT_MATH, leaves, {.prim = Prim::F, .guard = UNSURE, .text = "norm"}));
  // A NaN of two numbers says that it is not sure of the last bit.
  auto result = libm("hypot", leaves);
  auto isNan = [&](ValueId one) { return fcmp(Compare::NE, one, one); };
  guard(bop(Op::BOR, bnot(isNan(result.leaves[0])), bop(Op::BOR, isNan(leaves[0]), isNan(leaves[1]))), UNSURE);
  return result;
}

Value FunctionElaborator::distance(const Value& from, const Value& to) {
  if (types.is(from.type, Kind::LIST) && types.is(to.type, Kind::LIST)) return distanceOfLists(from, to);
  if (!types.is(from.type, Kind::TUPLE) || !types.is(to.type, Kind::TUPLE))
    decline("math.dist of " + types.show(from.type) + " and " + types.show(to.type) + " is not compiled");
  auto count = types[from.type].parts.size();
  if (count != types[to.type].parts.size()) fail("ValueError: points of different dimensions");
  std::vector<Value> apart;
  for (size_t i = 0; i < count; i++) {
    apart.push_back(real(fop(Op::FSUB, coordinate(tupleItem(from, i)), coordinate(tupleItem(to, i)))));
  }
  return norm(apart);
}

ValueId FunctionElaborator::coordinate(const Value& value) {
  bool isPlain = isNumber(value.type) && !types.isScalar(value.type, DType::U64);
  if (!isPlain) decline("math.dist of " + types.show(value.type) + " is not compiled");
  return asFloat(value);
}

Value FunctionElaborator::distanceOfLists(const Value& from, const Value& to) {
  auto size = listLength(from);
  guard(icmp(Compare::EQ, size, listLength(to)), "ValueError: points of different dimensions");
  if (elementOf(from) == Types::NEVER || elementOf(to) == Types::NEVER) return realConst(0);
  auto apart = newList(currentId, size);
  forEach(iterateRange({Types::RANGE, {constI(0), size, constI(1)}, 1}, false), [&](const Value& at, Label&) {
    auto a = coordinate(listLoad(from, at.leaves[0])), b = coordinate(listLoad(to, at.leaves[0]));
    push(apart, real(fop(Op::FSUB, a, b)));
  });
  return real(emit(Op::FLOAT_MATH, apart.leaves, {.prim = Prim::F, .guard = UNSURE, .text = "norm"}));
}

// math.fsum: of a list of floats as it is, of everything else by way of one.
Value FunctionElaborator::exactSum(Expression expression) {
  auto call = expression.getCall();
  if (call.getArguments().size() != 1 || call.getKeywords().size()) typeError("math.fsum expects one argument");
  auto floats = newList(expression.getId(), constI(0));
  items(call.getArguments()[0], [&](const Value& item) {
    push(floats, split(item, [&](const Value& one) {
           if (!isNumber(one.type) || types.isScalar(one.type, DType::U64))
             decline("math.fsum of " + types.show(one.type) + " is not compiled");
           return real(asFloat(one));
         }));
  });
  line = expression.getLine();
  if (elementOf(floats) == Types::NEVER) return realConst(0);
  return real(emit(Op::FLOAT_MATH, floats.leaves, {.prim = Prim::F, .guard = RAISES, .text = "fsum"}));
}

}  // namespace epochly::program

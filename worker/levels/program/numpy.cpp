// Which of numpy's functions, or methods of arrays, is called.
#include <algorithm>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

namespace {

bool isReduction(const std::string& name) {
  static const char* const NAMES[] = {"sum", "prod",   "min",    "max",  "amin", "amax", "any",
                                      "all", "argmin", "argmax", "mean", "std",  "var"};
  return std::any_of(std::begin(NAMES), std::end(NAMES), [&](auto* known) { return name == known; });
}

// Of one element after the other: of an array of no dimensions they give a scalar.
bool isElementwise(const std::string& name) {
  static const char* const OTHERS[] = {
      "asarray", "ascontiguousarray", "array", "copy", "transpose", "real", "imag", "ravel", "matmul", "dot", "where"};
  return !isReduction(name) && std::none_of(std::begin(OTHERS), std::end(OTHERS), [&](auto* one) { return name == one; });
}

}  // namespace

// Positional arguments, arrays still fused where nothing behind them writes.
std::vector<Value> FunctionElaborator::arrayArguments(Expression expression) {
  auto parts = expression.getCall().getArguments();
  bool writes = false;
  for (auto part : parts) writes |= mayWrite(part);
  std::vector<Value> args;
  for (auto part : parts) args.push_back(writes ? this->expression(part) : settleChecks(unsettled(part)));
  line = expression.getLine();
  return args;
}

Value FunctionElaborator::callNumpy(const std::string& name, Expression expression) {
  auto call = expression.getCall();
  auto unknown = [&]() { decline("this use of numpy." + name + " is not compiled"); };
  if (name == "zeros" || name == "ones" || name == "empty" || name == "full" || name == "arange")
    return create(name, expression);
  if (name.ends_with("_like")) return createLike(name, expression);
  Axes along;
  if (isReduction(name)) along = axesOf(call.getKeywords());
  if (call.getKeywords().size() && !isReduction(name)) decline("keywords of numpy." + name + " are not compiled");
  auto args = arrayArguments(expression);
  for (auto& arg : args) {
    if (types.is(arg.type, Kind::UNION)) decline("numpy." + name + " of a value of several types is not compiled");
    if (isPoint(arg) && !isElementwise(name)) decline("numpy." + name + " of an array of no dimensions is not compiled");
    arg = pointElement(arg);
  }
  if (isReduction(name)) {
    bool isPositional = args.size() == 2 && along.isWhole;
    if (isPositional) addAxes(along, args[1]);
    if (args.size() != (isPositional ? 2 : 1) || !isArray(args[0])) unknown();
    return reduceAxes(name, args[0], along);
  }
  if ((name == "dot" || name == "matmul") && args.size() == 2) return matmul(args[0], args[1]);
  if (name == "where" && args.size() == 3) return where(args);
  if (args.size() == 1 && isArray(args[0])) {
    if (name == "asarray" || name == "ascontiguousarray") {
      auto array = settle(args[0]);
      if (name == "ascontiguousarray") guard(isRowMajor(array), "an array that is not contiguous");
      return array;
    }
    if (name == "array" || name == "copy") {
      if (name == "copy") guard(isRowMajor(settle(args[0])), "a copy of an array that is not contiguous");
      return elementwise("copy", args);
    }
    if (name == "transpose") return transposed(settle(args[0]));
    if (name == "real" || name == "imag") return partView(settle(args[0]), name == "imag");
    if (name == "ravel") return reshape(settle(args[0]), {integerConst(-1)});
  }
  return elementwise(name, args);
}

Value FunctionElaborator::transposed(const Value& array) {
  auto dims = types[array.type].dims;
  Value turned{array.type, {array.leaves[0]}};
  for (uint32_t i = dims; i-- > 0;) turned.leaves.push_back(arrayDim(array, i));
  for (uint32_t i = dims; i-- > 0;) turned.leaves.push_back(arrayStride(array, i));
  return turned;
}

Value FunctionElaborator::arrayMethod(const Value& self, const std::string& name, Expression expression) {
  auto call = expression.getCall();
  if (isPoint(self)) {
    bool isItem = name == "item" && call.getArguments().size() == 0 && call.getKeywords().size() == 0;
    if (!isItem) decline("the method '" + name + "' of an array of no dimensions is not compiled");
    return itemOf(pointElement(self));
  }
  if (name == "astype" && call.getArguments().size() == 1 && call.getKeywords().size() == 0) {
    auto dtype = dtypeNamed(call.getArguments()[0]);
    if (!dtype) decline("astype of this is not compiled");
    line = expression.getLine();
    return astype(self, *dtype);
  }
  Axes along;
  if (isReduction(name)) along = axesOf(call.getKeywords());
  if (call.getKeywords().size() && !isReduction(name)) decline("keywords of an array's method are not compiled");
  auto args = arrayArguments(expression);
  for (auto& arg : args) arg = settle(arg);
  if (isReduction(name) && args.size() == 1 && along.isWhole) addAxes(along, args[0]);
  if (isReduction(name) && (args.empty() || args.size() == 1)) return reduceAxes(name, self, along);
  if (name == "copy" && args.empty()) {
    guard(isRowMajor(self), "a copy of an array that is not contiguous");
    return elementwise("copy", {self});
  }
  if ((name == "conjugate" || name == "conj") && args.empty()) return settle(elementwise("conjugate", {self}));
  if (name == "fill" && args.size() == 1) {
    assignArray(self, args[0]);
    return none();
  }
  if (name == "transpose" && args.empty()) return transposed(self);
  if (name == "reshape" && !args.empty()) return reshape(self, args);
  if (name == "ravel" && args.empty()) return reshape(self, {integerConst(-1)});
  if (name == "flatten" && args.empty()) return settle(elementwise("copy", {reshape(self, {integerConst(-1)})}));
  if (name == "dot" && args.size() == 1) return matmul(self, args[0]);
  decline("the method '" + name + "' of " + types.show(self.type) + " is not compiled");
}

}  // namespace epochly::program

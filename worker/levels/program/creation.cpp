// numpy's functions that make arrays, and shapes.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

std::optional<DType> FunctionElaborator::dtypeNamed(Expression expression) {
  if (expression.isStr()) {
    for (int i = 0; i <= static_cast<int>(DType::C128); i++) {
      if (expression.getStr() == nameOf(static_cast<DType>(i))) return static_cast<DType>(i);
    }
    return {};
  }
  auto value = this->expression(expression);
  if (!isRef(value)) return {};
  auto binding = refOf(value);
  if (binding.what == Binding::DTYPE) return static_cast<DType>(binding.i);
  if (binding.what != Binding::BUILTIN) return {};
  if (binding.name == "float") return DType::F64;
  if (binding.name == "int" && owner.dialect.numpy >= 0x0200) return DType::I64;
  if (binding.name == "bool") return DType::BOOL;
  if (binding.name == "complex") return DType::C128;
  return {};
}

std::vector<ValueId> FunctionElaborator::shapeFrom(const Value& value) {
  std::vector<ValueId> shape;
  auto add = [&](const Value& one) {
    if (!isPlainInt(one.type) && !types.isScalar(one.type, DType::I64))
      decline("a shape of " + types.show(one.type) + " is not compiled");
    shape.push_back(asInt(one));
  };
  if (types.is(value.type, Kind::TUPLE)) {
    for (size_t i = 0; i < types[value.type].parts.size(); i++) add(tupleItem(value, i));
  } else {
    add(value);
  }
  if (shape.empty() || shape.size() > 4) decline("arrays of 0 or more than 4 dimensions are not compiled");
  return shape;
}

Value FunctionElaborator::create(const std::string& name, Expression expression) {
  auto call = expression.getCall();
  auto parts = call.getArguments();
  size_t plain = name == "full" ? 2 : name == "arange" ? 3 : 1;
  std::optional<DType> dtype;
  auto asDtype = [&](Expression one) {
    dtype = dtypeNamed(one);
    if (!dtype) decline("this dtype is not compiled");
  };
  std::vector<Value> args;
  for (uint i = 0; i < parts.size(); i++) {
    if (i == plain) asDtype(parts[i]);
    if (i > plain) decline("this use of numpy." + name + " is not compiled");
    if (i < plain) args.push_back(this->expression(parts[i]));
  }
  for (auto keyword : call.getKeywords()) {
    if (keyword.getName() != "dtype" || dtype) decline("this use of numpy." + name + " is not compiled");
    asDtype(keyword.getValue());
  }
  line = expression.getLine();
  if (name == "arange") return arange(args, dtype);
  if (args.size() != plain) typeError("numpy." + name + " expects another number of arguments");
  auto shape = shapeFrom(args[0]);
  auto filling = name == "full" ? args[1] : integerConst(name == "ones");
  if (!isNumeric(filling.type)) decline("numpy.full with " + types.show(filling.type) + " is not compiled");
  if (!dtype) {
    dtype = name != "full"                         ? DType::F64
            : types.is(filling.type, Kind::SCALAR) ? dtypeOf(filling)
            : filling.type == Types::FLOAT         ? DType::F64
            : filling.type == Types::COMPLEX       ? DType::C128
            : filling.type == Types::INT           ? DType::I64
                                                   : DType::BOOL;
  }
  auto made = newArray(*dtype, shape);
  if (name != "empty") fillWith(made, filling);
  return made;
}

void FunctionElaborator::fillWith(const Value& array, const Value& filling) {
  auto scalar = settleChecks(castElement(filling, dtypeOf(array)));
  fill(array, {dtypeOf(array), shapeOf(array), {}, [scalar](const Value*) { return scalar; }}, true);
}

Value FunctionElaborator::createLike(const std::string& name, Expression expression) {
  auto call = expression.getCall();
  size_t plain = name == "full_like" ? 2 : 1;
  if (call.getArguments().size() != plain) decline("this use of numpy." + name + " is not compiled");
  auto like = this->expression(call.getArguments()[0]);
  if (!isArray(like) || isPoint(like)) decline("numpy." + name + " of " + types.show(like.type) + " is not compiled");
  auto filling = plain == 2 ? this->expression(call.getArguments()[1]) : integerConst(name == "ones_like");
  auto dtype = std::optional(dtypeOf(like));
  for (auto keyword : call.getKeywords()) {
    if (keyword.getName() == "dtype") dtype = dtypeNamed(keyword.getValue());
    if (keyword.getName() != "dtype" || !dtype) decline("this use of numpy." + name + " is not compiled");
  }
  line = expression.getLine();
  if (!isNumeric(filling.type)) decline("numpy.full_like with " + types.show(filling.type) + " is not compiled");
  auto fused = fusedOf(like);
  fused.dtype = *dtype;
  auto made = newArray(*dtype, fused.shape, resultStrides(fused));
  if (name != "empty_like") fillWith(made, filling);
  return made;
}

Value FunctionElaborator::arange(const std::vector<Value>& args, std::optional<DType> dtype) {
  if (args.empty() || args.size() > 3) typeError("numpy.arange expects 1 to 3 arguments");
  bool isInteger = true;
  for (auto& arg : args) {
    if (!isPlainInt(arg.type) && arg.type != Types::FLOAT)
      decline("numpy.arange of " + types.show(arg.type) + " is not compiled");
    isInteger &= isPlainInt(arg.type);
  }
  auto result = dtype.value_or(isInteger ? DType::I64 : DType::F64);
  if (!isInteger || (result != DType::I64 && result != DType::F64)) decline("numpy.arange of floats is not compiled");
  auto start = args.size() > 1 ? asInt(args[0]) : constI(0);
  auto stop = asInt(args[args.size() > 1 ? 1 : 0]);
  auto step = args.size() > 2 ? asInt(args[2]) : constI(1);
  // The length is found in floating point.
  constexpr const char* LARGE = "numpy.arange beyond 2**53";
  for (auto one : {start, stop, step}) {
    guard(
        bop(Op::BAND, icmp(Compare::GE, one, constI(-(int64_t(1) << 52))), icmp(Compare::LE, one, constI(int64_t(1) << 52))),
        LARGE);
  }
  guard(icmp(Compare::NE, step, constI(0)), "ZeroDivisionError: a step of zero");
  auto count = length({Types::RANGE, {start, stop, step}}).leaves[0];
  auto made = newArray(result, {count});
  counted(count, true, [&](ValueId at) {
    auto value = iop(Op::ADD, start, iop(Op::MUL, at, step));
    auto where = emit(Op::POINTER_ADD, {made.leaves[0], iop(Op::MUL, at, constI(8))}, {.prim = Prim::P});
    auto leaf = result == DType::F64 ? emit(Op::I_TO_F, {value}, {.prim = Prim::F}) : value;
    emitVoid(Op::ARRAY_STORE, {where, leaf}, {.imm = static_cast<int64_t>(result)});
  });
  return made;
}

// ---- shapes and types --------------------------------------------------------------------------------------------------------

Value FunctionElaborator::astype(const Value& array, DType dtype) {
  return settle(
      combine({array}, dtype, [=, this](const std::vector<Value>& items) { return castElement(items[0], dtype); }));
}

// A view, of arrays without gaps only: numpy copies others.
Value FunctionElaborator::reshape(const Value& array, const std::vector<Value>& args) {
  std::vector<Value> sizes = args;
  if (args.size() == 1 && types.is(args[0].type, Kind::TUPLE)) {
    sizes.clear();
    for (size_t i = 0; i < types[args[0].type].parts.size(); i++) sizes.push_back(tupleItem(args[0], i));
  }
  if (sizes.empty() || sizes.size() > 4) decline("arrays of 0 or more than 4 dimensions are not compiled");
  guard(isRowMajor(array), "reshaping an array that is not contiguous");
  auto total = sizeOf(shapeOf(array));
  std::vector<ValueId> shape;
  std::optional<size_t> open;
  auto known = constI(1);
  for (size_t i = 0; i < sizes.size(); i++) {
    if (!isPlainInt(sizes[i].type)) decline("a shape of " + types.show(sizes[i].type) + " is not compiled");
    shape.push_back(asInt(sizes[i]));
    if (sizes[i].constInt == -1) {
      if (open) fail("ValueError: two unknown dimensions");
      open = i;
      continue;
    }
    guard(icmp(Compare::GE, shape[i], constI(0)), "a shape that is not known while compiling");
    known = iop(Op::MUL_CHECKED, known, shape[i], "an array beyond 64 bits");
  }
  if (open) {
    shape[*open] = iop(Op::FLOOR_DIV, total, known, "ValueError: the shapes do not fit");
    known = iop(Op::MUL, known, shape[*open]);
  }
  guard(icmp(Compare::EQ, known, total), "ValueError: the shapes do not fit");
  auto data = types[array.type];
  Value view{types.array(data.dtype, shape.size(), data.ref), {array.leaves[0]}};
  auto strides = rowMajor(data.dtype, shape);
  view.leaves.insert(view.leaves.end(), shape.begin(), shape.end());
  view.leaves.insert(view.leaves.end(), strides.begin(), strides.end());
  return view;
}

}  // namespace epochly::program

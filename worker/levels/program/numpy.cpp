// numpy's functions and the methods of arrays: creation, elementwise functions, shapes.
#include <algorithm>

#include "levels/program/elaborator.h"
#include "levels/program/ufuncs.h"

namespace epochly::program {

using schema::BinaryOp;
using schema::CompareOp;

namespace {

template <typename T>
const T* find(const std::vector<std::pair<const char*, T>>& table, const std::string& name) {
  for (auto& [known, value] : table) {
    if (name == known) return &value;
  }
  return nullptr;
}

const BinaryOp* binaryNamed(const std::string& name) {
  static const std::vector<std::pair<const char*, BinaryOp>> NAMES = {
      {"add", BinaryOp::ADD},           {"subtract", BinaryOp::SUB},
      {"multiply", BinaryOp::MUL},      {"divide", BinaryOp::DIV},
      {"true_divide", BinaryOp::DIV},   {"floor_divide", BinaryOp::FLOOR_DIV},
      {"remainder", BinaryOp::MOD},     {"bitwise_and", BinaryOp::BIT_AND},
      {"bitwise_or", BinaryOp::BIT_OR}, {"bitwise_xor", BinaryOp::BIT_XOR},
  };
  return find(NAMES, name);
}

const CompareOp* compareNamed(const std::string& name) {
  static const std::vector<std::pair<const char*, CompareOp>> NAMES = {
      {"equal", CompareOp::EQ},      {"not_equal", CompareOp::NE}, {"less", CompareOp::LT},
      {"less_equal", CompareOp::LE}, {"greater", CompareOp::GT},   {"greater_equal", CompareOp::GE},
  };
  return find(NAMES, name);
}

bool isReduction(const std::string& name) {
  static const char* const NAMES[] = {"sum", "prod",   "min",    "max",  "amin", "amax", "any",
                                      "all", "argmin", "argmax", "mean", "std",  "var"};
  return std::any_of(std::begin(NAMES), std::end(NAMES), [&](auto* known) { return name == known; });
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
  Axis along;
  if (isReduction(name)) along = axisOf(call.getKeywords());
  if (call.getKeywords().size() && !isReduction(name)) decline("keywords of numpy." + name + " are not compiled");
  auto args = arrayArguments(expression);
  for (auto& arg : args) {
    if (types.is(arg.type, Kind::UNION)) decline("numpy." + name + " of a value of several types is not compiled");
  }
  if (isReduction(name)) {
    bool isPositional = args.size() == 2 && args[1].constInt && !along.axis;
    if (isPositional) along.axis = *args[1].constInt;
    if (args.size() != (isPositional ? 2 : 1) || !isArray(args[0])) unknown();
    return reduceAxis(name, args[0], along);
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
  if (name == "astype" && call.getArguments().size() == 1 && call.getKeywords().size() == 0) {
    auto dtype = dtypeNamed(call.getArguments()[0]);
    if (!dtype) decline("astype of this is not compiled");
    line = expression.getLine();
    return astype(self, *dtype);
  }
  Axis along;
  if (isReduction(name)) along = axisOf(call.getKeywords());
  if (call.getKeywords().size() && !isReduction(name)) decline("keywords of an array's method are not compiled");
  auto args = arrayArguments(expression);
  for (auto& arg : args) arg = settle(arg);
  if (isReduction(name) && args.size() == 1 && args[0].constInt && !along.axis)
    return reduceAxis(name, self, {args[0].constInt, along.keeps});
  if (isReduction(name) && args.empty()) return reduceAxis(name, self, along);
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

// ---- creation --------------------------------------------------------------------------------------------------------------

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
  if (!isArray(like)) decline("numpy." + name + " of " + types.show(like.type) + " is not compiled");
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

// ---- elementwise functions ---------------------------------------------------------------------------------------------------

Value FunctionElaborator::where(const std::vector<Value>& args) {
  for (auto& arg : args) {
    if (!isArray(arg) && !isNumeric(arg.type)) decline("numpy.where of " + types.show(arg.type) + " is not compiled");
  }
  auto &yes = args[1], &no = args[2];
  auto typed = [&](const Value& side) { return isArray(side) || types.is(side.type, Kind::SCALAR); };
  if (!isArray(args[0])) decline("numpy.where of a scalar condition is not compiled");
  bool plain = !typed(yes) && !typed(no);
  if (plain && yes.type != no.type && yes.type != Types::FLOAT && no.type != Types::FLOAT)
    decline("numpy.where of " + types.show(yes.type) + " and " + types.show(no.type) + " is not compiled");
  bool isComplexPair = isComplexLike(yes.type) || isComplexLike(no.type);
  if (plain && isComplexPair && yes.type != no.type) decline("numpy.where of these is not compiled");
  auto dtype = !plain                                                ? resultDtype(yes, no)
               : isComplexPair                                       ? DType::C128
               : yes.type == Types::FLOAT || no.type == Types::FLOAT ? DType::F64
               : yes.type == Types::INT                              ? DType::I64
                                                                     : DType::BOOL;
  return combine({args[0], operandAs(yes, dtype), operandAs(no, dtype)}, dtype, [=, this](const std::vector<Value>& items) {
    auto a = settleChecks(castElement(items[1], dtype)), b = settleChecks(castElement(items[2], dtype));
    auto chosen = truth(settleChecks(items[0]));
    return selectElement(chosen, a, b);
  });
}

// Of one element: null where numpy's own loop has to do it.
std::optional<Value> FunctionElaborator::elementFunction(const std::string& name, const Value& item) {
  auto dtype = dtypeOf(item);
  if (isComplex(dtype)) return complexElementFunction(name, item);
  auto leaf = item.leaves[0];
  auto rounded = [&](ValueId result) {
    return dtype == DType::F32 ? emit(Op::ROUND_F32, {result}, {.prim = Prim::F}) : result;
  };
  if (name == "copy" || (name == "conjugate" && dtype != DType::BOOL)) return item;
  if (name == "logical_not") return scalarOf(DType::BOOL, bnot(truth(item)));
  if (name == "square" && dtype != DType::BOOL) return elementBinary(BinaryOp::MUL, item, item, dtype);
  if (name == "positive" && dtype != DType::BOOL) return item;
  if (isReal(dtype)) {
    auto infinity = constF(__builtin_inf());
    if (name == "negative") return scalarOf(dtype, fop1(Op::FNEG, leaf));
    if (name == "absolute" || name == "fabs") return scalarOf(dtype, fop1(Op::FABS, leaf));
    if (name == "floor") return scalarOf(dtype, fop1(Op::FFLOOR, leaf));
    if (name == "ceil") return scalarOf(dtype, fop1(Op::FCEIL, leaf));
    if (name == "trunc") return scalarOf(dtype, fop1(Op::FTRUNC, leaf));
    if (name == "rint") return scalarOf(dtype, fop1(Op::FROUND_EVEN, leaf));
    if (name == "isnan") return scalarOf(DType::BOOL, fcmp(Compare::NE, leaf, leaf));
    if (name == "isfinite") return scalarOf(DType::BOOL, fcmp(Compare::LT, fop1(Op::FABS, leaf), infinity));
    if (name == "isinf") return scalarOf(DType::BOOL, fcmp(Compare::EQ, fop1(Op::FABS, leaf), infinity));
    if (name == "sqrt" || name == "reciprocal") {
      auto one = constF(1);
      auto result = rounded(name == "sqrt" ? fop1(Op::FSQRT, leaf) : fop(Op::FDIV, one, leaf));
      auto made = scalarOf(dtype, result);
      made.unchecked = {result, leaf, leaf};
      return settleChecks(made);
    }
    return {};
  }
  if (dtype == DType::BOOL) return name == "absolute" ? std::optional(item) : std::nullopt;
  auto minus = [&] { return wrapped(iop(Op::SUB, constI(0), leaf), dtype); };
  if (name == "negative") return minus();
  if (name == "absolute" && isUnsigned(dtype)) return item;
  if (name == "absolute") {
    auto negative = icmp(Compare::LT, leaf, constI(0));
    return scalarOf(dtype, emit(Op::SELECT, {negative, minus().leaves[0], leaf}, {.prim = Prim::I}));
  }
  return {};
}

Value FunctionElaborator::elementwise(const std::string& name, const std::vector<Value>& args) {
  bool anyArray = false;
  for (auto& arg : args) {
    anyArray |= isArray(arg);
    if (!isArray(arg) && !isNumeric(arg.type)) decline("numpy." + name + " of " + types.show(arg.type) + " is not compiled");
  }
  if (args.size() == 2) {
    if (!anyArray && (binaryNamed(name) || compareNamed(name))) decline("numpy." + name + " of scalars is not compiled");
    if (auto* op = binaryNamed(name)) return arrayBinary(*op, args[0], args[1]);
    if (auto* op = compareNamed(name)) return arrayCompare(*op, args[0], args[1]);
    bool isMin = name == "minimum", isLogical = name == "logical_and" || name == "logical_or";
    if (isLogical && anyArray) {
      return combine(args, DType::BOOL, [=, this](const std::vector<Value>& items) {
        auto op = name == "logical_and" ? Op::BAND : Op::BOR;
        return scalarOf(DType::BOOL, bop(op, truth(settleChecks(items[0])), truth(settleChecks(items[1]))));
      });
    }
    if ((isMin || name == "maximum") && anyArray) {
      auto dtype = resultDtype(args[0], args[1]);
      if (!isReal(dtype) && !isComplex(dtype) && dtype != DType::BOOL) {
        return combine(
            {operandAs(args[0], dtype), operandAs(args[1], dtype)}, dtype, [=, this](const std::vector<Value>& items) {
              auto a = castElement(items[0], dtype), b = castElement(items[1], dtype);
              auto first = elementCompare(isMin ? CompareOp::LT : CompareOp::GT, a, b, dtype);
              return scalarOf(dtype, emit(Op::SELECT, {first.leaves[0], a.leaves[0], b.leaves[0]}, {.prim = Prim::I}));
            });
      }
    }
  }
  if (args.size() == 1) {
    if (args[0].type == Types::COMPLEX) decline("numpy." + name + " of complex is not compiled");
    auto item = types.is(args[0].type, Kind::SCALAR) || anyArray ? args[0]
                : args[0].type == Types::FLOAT                   ? castElement(args[0], DType::F64)
                : args[0].type == Types::INT                     ? castElement(args[0], DType::I64)
                                                                 : castElement(args[0], DType::BOOL);
    auto dtype = dtypeOf(item);
    bool widens = !isReal(dtype) && !isComplex(dtype) &&
                  (name == "sqrt" || name == "fabs" || name == "isnan" || name == "isfinite" || name == "isinf" ||
                   name == "reciprocal");
    if (widens) {
      bool toDouble = dtype == DType::I32 || dtype == DType::I64 || dtype == DType::U32 || dtype == DType::U64;
      if (name == "reciprocal" || !toDouble)
        decline("numpy." + name + " of " + types.show(args[0].type) + " is not compiled");
      item = anyArray ? combine({item}, DType::F64,
                                [=, this](const std::vector<Value>& items) { return castElement(items[0], DType::F64); })
                      : castElement(item, DType::F64);
      dtype = DType::F64;
    }
    static const char* const NATIVE[] = {"copy",     "logical_not", "square", "positive",   "negative", "absolute",
                                         "fabs",     "floor",       "ceil",   "trunc",      "rint",     "isnan",
                                         "isfinite", "isinf",       "sqrt",   "reciprocal", "conjugate"};
    static const char* const OWN[] = {"square", "absolute", "sqrt", "reciprocal"};  // of complex numbers
    bool isOwn = isComplex(dtype) && std::any_of(std::begin(OWN), std::end(OWN), [&](auto* known) { return name == known; });
    if (!isOwn && std::any_of(std::begin(NATIVE), std::end(NATIVE), [&](auto* known) { return name == known; })) {
      auto compute = [=, this](const Value& one) {
        auto result = elementFunction(name, settleChecks(one));
        if (!result) decline("numpy." + name + " of " + types.show(args[0].type) + " is not compiled");
        return *result;
      };
      if (!anyArray) return compute(item);
      bool isTest = name == "logical_not" || name.starts_with("is");
      return combine({item}, isTest ? DType::BOOL : dtype,
                     [=](const std::vector<Value>& items) { return compute(items[0]); });
    }
  }
  if (!ufuncNamed(name)) decline("numpy." + name + " is not compiled");
  return ufunc(name, args);
}

// ---- numpy's own loops -------------------------------------------------------------------------------------------------------

ValueId FunctionElaborator::scratch(size_t bytes) {
  auto slot = newSlot(Prim::P);
  arraySlots.push_back(slot);
  return emit(Op::ARRAY_NEW, {constI(bytes)}, {.prim = Prim::P, .imm = slot, .guard = "out of memory for arrays"});
}

Value FunctionElaborator::ufuncScalar(uint32_t which, DType dtype, const std::vector<Value>& args) {
  auto cells = scratch(bytesOf(DType::C128) * (args.size() + 1));
  auto step = constI(0);
  std::vector<ValueId> operands{constI(1)};
  for (size_t i = 0; i <= args.size(); i++) {
    auto cell = emit(Op::POINTER_ADD, {cells, constI(bytesOf(DType::C128) * i)}, {.prim = Prim::P});
    if (i < args.size()) storeAt(cell, settleChecks(castElement(args[i], dtype)), dtype);
    operands.push_back(cell);
    operands.push_back(step);
  }
  auto result = operands[operands.size() - 2];
  emitVoid(Op::UFUNC, operands, {.imm = ufuncCell(which, dtype), .guard = "numpy warns here"});
  return loadElement(UFUNCS[which].resultOf(dtype), result);
}

Value FunctionElaborator::ufunc(const std::string& name, const std::vector<Value>& args) {
  auto which = ufuncNamed(name);
  if (!which || UFUNCS[*which].operands != args.size()) decline("this use of numpy." + name + " is not compiled");
  bool anyArray = false;
  for (auto& arg : args) anyArray |= isArray(arg);
  auto typed = [&](const Value& arg) { return isArray(arg) || types.is(arg.type, Kind::SCALAR); };
  auto dtype = args.size() == 2 && (typed(args[0]) || typed(args[1])) ? resultDtype(args[0], args[1])
               : typed(args[0])                                       ? dtypeOf(args[0])
               : args[0].type == Types::BOOL                          ? DType::BOOL
                                                                      : DType::F64;
  if (dtype == DType::I32 || dtype == DType::I64 || dtype == DType::U32 || dtype == DType::U64) {
    bool keepsIntegers =
        name == "power" || name == "fmin" || name == "fmax" || name == "minimum" || name == "maximum" || name == "fmod";
    if (keepsIntegers) decline("numpy." + name + " of integers is not compiled");
    // Each operand is cast for itself: integers of 16 bits fit float32, also where both together would be of 32.
    bool anyWide = false;
    for (auto& arg : args) anyWide |= typed(arg) && bytesOf(dtypeOf(arg)) >= 4;
    if (!anyWide) decline("numpy." + name + " of short integers is not compiled");
    dtype = DType::F64;
  }
  if (!isReal(dtype) && !isComplex(dtype))
    decline("numpy." + name + " of " + std::string(nameOf(dtype)) + " is not compiled");
  if (!anyArray) return ufuncScalar(*which, dtype, args);
  std::vector<ValueId> operands;
  std::optional<Value> model;
  std::vector<std::pair<Value, Value>> temporaries;
  for (auto& arg : args) {
    if (!isArray(arg)) {
      auto cell = scratch(bytesOf(dtype));
      storeAt(cell, settleChecks(castElement(settleChecks(arg), dtype)), dtype);
      operands.insert(operands.end(), {cell, constI(0)});
      continue;
    }
    auto array = dtypeOf(arg) == dtype ? settle(arg) : astype(arg, dtype);
    temporaries.emplace_back(arg, array);
    auto dims = types[array.type].dims;
    if (dims > 1) guard(isRowMajor(array), "an array that is not contiguous");
    if (model) {
      if (types[model->type].dims != dims) decline("numpy." + name + " that broadcasts is not compiled");
      for (uint32_t i = 0; i < dims; i++) {
        guard(icmp(Compare::EQ, arrayDim(array, i), arrayDim(*model, i)), "arrays of different shapes");
      }
    } else {
      model = array;
    }
    operands.insert(operands.end(), {array.leaves[0], dims > 1 ? constI(bytesOf(dtype)) : arrayStride(array, 0)});
  }
  auto result = UFUNCS[*which].resultOf(dtype);
  auto made = newArray(result, shapeOf(*model));
  operands.insert(operands.begin(), sizeOf(shapeOf(*model)));
  operands.insert(operands.end(), {made.leaves[0], constI(bytesOf(result))});
  emitVoid(Op::UFUNC, operands, {.imm = ufuncCell(*which, dtype), .guard = "numpy warns here"});
  for (auto& [lazy, array] : temporaries) release(lazy, array);
  return made;
}

}  // namespace epochly::program

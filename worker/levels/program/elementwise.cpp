// numpy's functions of elements: compiled, or its own inner loops.
#include <algorithm>

#include "levels/program/function_elaborator.h"
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

}  // namespace

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
    // numpy walks arrays that all run backwards from their ends, and its loops round complex products in other ways by stride.
    if (isComplex(dtype) && dims == 1)
      guard(icmp(Compare::GE, arrayStride(array, 0), constI(0)), "a complex array that runs backwards");
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

// Reductions along axes of an array without gaps, seen as (outer, count, inner): `count` elements lie along the axes.
#include <algorithm>

#include "levels/program/function_elaborator.h"
#include "levels/program/ufuncs.h"

namespace epochly::program {

using schema::BinaryOp;
using schema::CompareOp;

namespace {

bool isMinimum(const std::string& name) { return name == "min" || name == "amin" || name == "argmin"; }
bool isMaximum(const std::string& name) { return name == "max" || name == "amax" || name == "argmax"; }

}  // namespace

// axis=k or (k, l) and keepdims=True or False; nothing where there are others.
FunctionElaborator::Axes FunctionElaborator::axesOf(capnp::List<schema::Keyword>::Reader keywords) {
  Axes result;
  for (auto keyword : keywords) {
    if (keyword.getName() == "axis") {
      addAxes(result, expression(keyword.getValue()));
    } else if (keyword.getName() == "keepdims" && keyword.getValue().isBool()) {
      result.keeps = keyword.getValue().getBool();
    } else {
      decline("the keyword '" + std::string(keyword.getName().cStr()) + "' of a reduction is not compiled");
    }
  }
  return result;
}

void FunctionElaborator::addAxes(Axes& axes, const Value& value) {
  if (value.type == Types::NONE) return;
  axes.isTuple = types.is(value.type, Kind::TUPLE);
  axes.isWhole = false;
  auto add = [&](const Value& one) {
    if (!one.constInt) decline("an axis that is no constant number is not compiled");
    axes.numbers.push_back(*one.constInt);
  };
  if (!axes.isTuple) return add(value);
  for (size_t i = 0; i < types[value.type].parts.size(); i++) add(tupleItem(value, i));
}

// In ascending order.
std::vector<size_t> FunctionElaborator::axesWithin(const Axes& axes, size_t dims) {
  std::vector<size_t> result;
  for (auto number : axes.numbers) {
    auto axis = number < 0 ? number + static_cast<int64_t>(dims) : number;
    if (axis < 0 || axis >= static_cast<int64_t>(dims)) fail("AxisError: axis is out of bounds");
    if (std::find(result.begin(), result.end(), axis) != result.end()) fail("ValueError: an axis that comes twice");
    result.push_back(axis);
  }
  std::sort(result.begin(), result.end());
  return result;
}

// Axes first .. last lie one inside of the other: without gaps they are one.
FunctionElaborator::Planes FunctionElaborator::planesOf(const Value& array, size_t first, size_t last, bool keeps) {
  auto shape = shapeOf(array);
  Planes made{constI(1), constI(1), constI(1), last + 1 == shape.size(), {}};
  for (size_t i = 0; i < shape.size(); i++) {
    auto& side = i < first ? made.outer : i > last ? made.inner : made.count;
    side = iop(Op::MUL, side, shape[i]);
    bool isReduced = i >= first && i <= last;
    if (!isReduced) made.result.push_back(shape[i]);
    if (isReduced && keeps) made.result.push_back(constI(1));
  }
  return made;
}

// A whole array's reduction, as an array of one element where its dimensions are kept.
Value FunctionElaborator::reduceWhole(const std::string& name, const Value& lazy, bool keeps) {
  auto dims = types[lazy.type].dims;
  auto result = reduce(name, lazy);
  if (!keeps) return result;
  auto dtype = dtypeOf(result);
  auto made = newArray(dtype, std::vector<ValueId>(dims, constI(1)));
  storeAt(made.leaves[0], result, dtype);
  return made;
}

Value FunctionElaborator::reduceAxes(const std::string& name, const Value& lazy, const Axes& axes) {
  auto dims = types[lazy.type].dims;
  if (axes.isTuple && name.starts_with("arg")) typeError("the position of an extreme along several axes");
  if (axes.isTuple && axes.numbers.empty()) decline("a reduction along no axis is not compiled");
  auto within = axesWithin(axes, dims);
  if (axes.isWhole || within.size() == dims) return reduceWhole(name, lazy, axes.keeps);
  auto first = within.front(), last = within.back();
  if (last - first + 1 != within.size()) decline("a reduction along axes that are not neighbours is not compiled");
  auto array = settle(lazy);
  guard(isRowMajor(array), "reducing an array that is not contiguous");
  auto planes = planesOf(array, first, last, axes.keeps);
  auto result = name == "std" || name == "var" ? varianceAxes(name, array, first, last, axes.keeps)
                : name.starts_with("arg")      ? extremeAxis(name, array, planes)
                : isReal(dtypeOf(array)) && name != "any" && name != "all" ? realsAxis(name, array, planes)
                                                                           : foldAxis(name, array, planes);
  release(lazy, array);
  return result;
}

// Along the last axis row by row, else one row onto the next, in numpy's own loops.
Value FunctionElaborator::realsAxis(const std::string& name, const Value& array, const Planes& planes) {
  auto dtype = dtypeOf(array);
  bool isSum = name == "sum" || name == "mean", isProduct = name == "prod";
  bool isExtreme = isMinimum(name) || isMaximum(name);
  if (!isSum && !isProduct && !isExtreme) decline("numpy." + name + " along an axis is not compiled");
  auto* ufunc = isSum ? "add" : isProduct ? "multiply" : isMinimum(name) ? "minimum" : "maximum";
  auto one = constI(1), step = constI(bytesOf(dtype));
  // With a side of one numpy sees a single row.
  auto across = planes.isLast ? planes.outer : planes.inner;
  guard(bop(Op::BAND, icmp(Compare::GT, across, one), icmp(Compare::GT, planes.count, one)),
        "reducing an array with a side of less than two");
  auto made = newArray(dtype, planes.result);
  auto inside = [&](ValueId pointer, ValueId at) {
    return emit(Op::POINTER_ADD, {pointer, iop(Op::MUL, at, step)}, {.prim = Prim::P});
  };
  int64_t skip = isExtreme ? 1 : 0;  // numpy starts an extreme with the first of the elements
  auto start = [&](ValueId cell, ValueId from) {
    storeAt(cell, isExtreme ? loadElement(dtype, from) : scalarOf(dtype, constF(isSum ? 0 : 1)), dtype);
  };
  counted(planes.outer, true, [&](ValueId outer) {
    auto plane = inside(array.leaves[0], iop(Op::MUL, outer, iop(Op::MUL, planes.count, planes.inner)));
    auto cells = inside(made.leaves[0], iop(Op::MUL, outer, planes.inner));
    if (planes.isLast) {
      start(cells, plane);
      return reduceRow(ufunc, dtype, cells, {plane, step, planes.count}, skip, owner.dialect.reducesInPieces());
    }
    counted(planes.inner, false, [&](ValueId at) { start(inside(cells, at), inside(plane, at)); });
    counted(iop(Op::SUB, planes.count, constI(skip)), true, [&](ValueId at) {
      auto row = inside(plane, iop(Op::MUL, iop(Op::ADD, at, constI(skip)), planes.inner));
      emitVoid(Op::UFUNC, {planes.inner, cells, step, row, step, cells, step},
               {.imm = ufuncCell(*ufuncNamed(ufunc), dtype), .guard = "numpy warns here"});
    });
  });
  return name == "mean" ? dividedArray(made, planes.count) : made;
}

Value FunctionElaborator::dividedArray(const Value& array, ValueId count) {
  auto dtype = dtypeOf(array);
  auto divisor = emit(Op::I_TO_F, {count}, {.prim = Prim::F});
  return settle(combine({array}, dtype, [=, this](const std::vector<Value>& items) {
    return elementBinary(BinaryOp::DIV, items[0], scalarOf(dtype, divisor), dtype);
  }));
}

// What does not depend on an order: integers, and tests.
Value FunctionElaborator::foldAxis(const std::string& name, const Value& array, const Planes& planes) {
  auto dtype = dtypeOf(array);
  bool isTest = name == "any" || name == "all", isSum = name == "sum", isProduct = name == "prod";
  bool isExtreme = isMinimum(name) || isMaximum(name);
  if (!(isTest || isSum || isProduct || isExtreme) || (isComplex(dtype) && !isTest))
    decline("numpy." + name + " of " + nameOf(dtype) + " along an axis is not compiled");
  auto result = isTest ? DType::BOOL : isExtreme ? dtype : isUnsigned(dtype) ? DType::U64 : DType::I64;
  if (isExtreme) guard(icmp(Compare::GT, planes.count, constI(0)), "ValueError: a reduction of nothing");
  auto made = newArray(result, planes.result);
  auto item = [&](const Value& of, DType type, ValueId at) {
    return emit(Op::POINTER_ADD, {of.leaves[0], iop(Op::MUL, at, constI(bytesOf(type)))}, {.prim = Prim::P});
  };
  auto fold = [&](const Value& before, const Value& element) {
    if (isExtreme) {
      auto wins = elementCompare(isMinimum(name) ? CompareOp::LT : CompareOp::GT, element, before, result);
      return selectElement(wins.leaves[0], element, before);
    }
    auto op = name == "any" ? BinaryOp::BIT_OR : name == "all" ? BinaryOp::BIT_AND : isSum ? BinaryOp::ADD : BinaryOp::MUL;
    return elementBinary(op, before, castElement(element, result), result);
  };
  int64_t skip = isExtreme ? 1 : 0;
  auto start = scalarOf(result, isTest ? constB(name == "all") : constI(isProduct));
  counted(planes.outer, true, [&](ValueId outer) {
    auto plane = iop(Op::MUL, outer, iop(Op::MUL, planes.count, planes.inner)), cells = iop(Op::MUL, outer, planes.inner);
    counted(planes.inner, false, [&](ValueId at) {
      auto first = isExtreme ? loadElement(dtype, item(array, dtype, iop(Op::ADD, plane, at))) : start;
      storeAt(item(made, result, iop(Op::ADD, cells, at)), first, result);
    });
    counted(iop(Op::SUB, planes.count, constI(skip)), true, [&](ValueId at) {
      auto row = iop(Op::ADD, plane, iop(Op::MUL, iop(Op::ADD, at, constI(skip)), planes.inner));
      counted(planes.inner, false, [&](ValueId across) {
        auto cell = item(made, result, iop(Op::ADD, cells, across));
        storeAt(cell, fold(loadElement(result, cell), loadElement(dtype, item(array, dtype, iop(Op::ADD, row, across)))),
                result);
      });
    });
  });
  return made;
}

// Positions of the first extreme, or of the first NaN.
Value FunctionElaborator::extremeAxis(const std::string& name, const Value& array, const Planes& planes) {
  auto dtype = dtypeOf(array);
  if (isComplex(dtype)) decline("numpy." + name + " of complex arrays is not compiled");
  guard(icmp(Compare::GT, planes.count, constI(0)), "ValueError: the position of an extreme of nothing");
  auto made = newArray(DType::I64, planes.result);
  auto prim = types.leaves(types.scalar(dtype))[0];
  auto best = newSlot(prim), position = newSlot(Prim::I);
  counted(planes.outer, true, [&](ValueId outer) {
    auto plane = iop(Op::MUL, outer, iop(Op::MUL, planes.count, planes.inner));
    counted(planes.inner, false, [&](ValueId across) {
      auto elementAt = [&](ValueId at) {
        auto place = iop(Op::ADD, plane, iop(Op::ADD, iop(Op::MUL, at, planes.inner), across));
        auto where =
            emit(Op::POINTER_ADD, {array.leaves[0], iop(Op::MUL, place, constI(bytesOf(dtype)))}, {.prim = Prim::P});
        return loadElement(dtype, where);
      };
      emitVoid(Op::STORE, {elementAt(constI(0)).leaves[0]}, {.imm = best});
      emitVoid(Op::STORE, {constI(0)}, {.imm = position});
      counted(planes.count, true, [&](ValueId at) {
        auto element = elementAt(at);
        auto before = scalarOf(dtype, emit(Op::LOAD, {}, {.prim = prim, .imm = best}));
        auto wins = winsExtreme(element, before, isMinimum(name));
        auto was = emit(Op::LOAD, {}, {.prim = Prim::I, .imm = position});
        emitVoid(Op::STORE, {selectElement(wins, element, before).leaves[0]}, {.imm = best});
        emitVoid(Op::STORE, {emit(Op::SELECT, {wins, at, was}, {.prim = Prim::I})}, {.imm = position});
      });
      auto where = iop(Op::MUL, iop(Op::ADD, iop(Op::MUL, outer, planes.inner), across), constI(bytesOf(DType::I64)));
      storeAt(emit(Op::POINTER_ADD, {made.leaves[0], where}, {.prim = Prim::P}),
              scalarOf(DType::I64, emit(Op::LOAD, {}, {.prim = Prim::I, .imm = position})), DType::I64);
    });
  });
  return made;
}

// The steps of numpy's _var().
Value FunctionElaborator::varianceAxes(const std::string& name, const Value& array, size_t first, size_t last, bool keeps) {
  auto dtype = dtypeOf(array);
  if (!isReal(dtype)) decline("numpy." + name + " of " + nameOf(dtype) + " along an axis is not compiled");
  auto average = realsAxis("mean", array, planesOf(array, first, last, true));
  auto squares = settle(combine(
      {settle(arrayBinary(BinaryOp::SUB, array, average))}, dtype,
      [=, this](const std::vector<Value>& items) { return elementBinary(BinaryOp::MUL, items[0], items[0], dtype); }));
  auto planes = planesOf(squares, first, last, keeps);
  auto result = dividedArray(realsAxis("sum", squares, planes), planes.count);
  return name == "std" ? settle(elementwise("sqrt", {result})) : result;
}

}  // namespace epochly::program

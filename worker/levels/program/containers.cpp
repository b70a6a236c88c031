// Lists, tuples and arrays.
#include <algorithm>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

namespace {

constexpr const char* INDEX_REASON = "an index out of range";

int64_t listCell(size_t stride, size_t leaf) { return static_cast<int64_t>(stride << 32 | leaf); }

// Keys of Types::site(): the expression that makes the list, in its function.
uint64_t siteKey(uint32_t function, uint32_t id) { return (uint64_t(function) + 1) << 32 | id; }

}  // namespace

// ---- tuples --------------------------------------------------------------------------------------------------------------

// The item at an index that is in bounds.
Value FunctionElaborator::tupleAt(const Value& tuple, ValueId index) {
  int64_t count = types[tuple.type].parts.size();
  if (count > int64_t(UNROLL_MAX)) decline("an index into a tuple of more than 8 items that is known only while running");
  if (count == 0) fail(INDEX_REASON);
  std::function<Value(int64_t)> from = [&](int64_t i) {
    if (i + 1 >= count) return tupleItem(tuple, i);
    return choose(
        icmp(Compare::EQ, index, constI(i)), [&] { return tupleItem(tuple, i); }, [&] { return from(i + 1); });
  };
  return from(0);
}

Value FunctionElaborator::tupleSlice(const Value& tuple, Expression slice) {
  auto parts = slice.getSlice();
  int64_t count = types[tuple.type].parts.size();
  auto constant = [&](Expression one, int64_t missing) {
    if (one.isNone()) return missing;
    auto value = expression(one);
    if (!value.constInt) decline("a slice of a tuple with bounds that are known only while running is not compiled");
    return *value.constInt;
  };
  auto step = constant(parts.getStep(), 1);
  if (step != 1 && step != -1) decline("a slice of a tuple with a step is not compiled");
  bool rises = step > 0;
  int64_t low = rises ? 0 : -1, high = rises ? count : count - 1;
  auto bound = [&](Expression one, int64_t missing) {
    auto at = constant(one, missing);
    if (at < 0 && !one.isNone()) at += count;
    return std::clamp(at, low, high);
  };
  auto start = bound(parts.getLower(), rises ? low : high), stop = bound(parts.getUpper(), rises ? high : low);
  std::vector<Value> items;
  for (auto at = start; rises ? at < stop : at > stop; at += step) items.push_back(tupleItem(tuple, at));
  return tupleOf(items);
}

Value FunctionElaborator::tupleConcat(const Value& left, const Value& right) {
  std::vector<Value> items;
  for (auto* side : {&left, &right}) {
    for (size_t i = 0; i < types[side->type].parts.size(); i++) items.push_back(tupleItem(*side, i));
  }
  if (items.size() > TUPLE_MAX) decline("a tuple of more than 64 items is not compiled");
  return tupleOf(items);
}

// ---- lists ---------------------------------------------------------------------------------------------------------------

Type FunctionElaborator::elementOf(const Value& list) const { return types(types[list.type].ref).element; }

Value FunctionElaborator::newList(uint32_t id, ValueId capacity) {
  auto site = types.site(siteKey(instance.function, id));
  auto type = types.list(site);
  auto stride = types.leaves(types(site).element).size();
  return {type,
          {emit(Op::LIST_NEW, {capacity},
                {.prim = Prim::P, .imm = static_cast<int64_t>(stride), .guard = "out of memory for lists"})}};
}

void FunctionElaborator::push(const Value& list, const Value& item) {
  auto site = types[list.type].ref;
  types.mark(site, &Site::written);
  types.mark(site, &Site::resized);
  noteEscape(item.type);
  types.widen(site, item.type);
  auto stored = convert(item, types(site).element);
  std::vector<ValueId> args{list.leaves[0]};
  args.insert(args.end(), stored.leaves.begin(), stored.leaves.end());
  emitVoid(Op::LIST_PUSH, std::move(args),
           {.imm = static_cast<int64_t>(stored.leaves.size()), .guard = "out of memory for lists"});
}

ValueId FunctionElaborator::listLength(const Value& list) { return emit(Op::LIST_LENGTH, list.leaves, {.prim = Prim::I}); }

Value FunctionElaborator::listLoad(const Value& list, ValueId index) {
  Value item{elementOf(list), {}};
  if (item.type == Types::NEVER) fail("an item of an empty list");
  auto prims = types.leaves(item.type);
  for (size_t leaf = 0; leaf < prims.size(); leaf++) {
    item.leaves.push_back(
        emit(Op::LIST_LOAD, {list.leaves[0], index}, {.prim = prims[leaf], .imm = listCell(prims.size(), leaf)}));
  }
  return item;
}

void FunctionElaborator::listStore(const Value& list, ValueId index, const Value& item) {
  auto site = types[list.type].ref;
  types.mark(site, &Site::written);
  noteEscape(item.type);
  types.widen(site, item.type);
  auto stored = convert(item, types(site).element);
  for (size_t leaf = 0; leaf < stored.leaves.size(); leaf++) {
    emitVoid(Op::LIST_STORE, {list.leaves[0], index, stored.leaves[leaf]}, {.imm = listCell(stored.leaves.size(), leaf)});
  }
}

Value FunctionElaborator::listRepeat(const Value& list, const Value& count, uint32_t id) {
  auto times = asInt(count);
  auto length = listLength(list);
  auto result = newList(
      id, iop(Op::MUL_CHECKED, emit(Op::SELECT, {icmp(Compare::GT, times, constI(0)), times, constI(0)}, {.prim = Prim::I}),
              length, "a list beyond 64 bits"));
  if (elementOf(list) == Types::NEVER) return result;
  auto step = constI(1);
  forEach(iterateRange({Types::RANGE, {constI(0), times, step}, 1}, false), [&](const Value&, Label&) {
    forEach(iterateRange({Types::RANGE, {constI(0), length, step}, 1}, false),
            [&](const Value& at, Label&) { push(result, listLoad(list, at.leaves[0])); });
  });
  return result;
}

Value FunctionElaborator::listConcat(const Value& left, const Value& right, uint32_t id) {
  auto result = newList(id, iop(Op::ADD, listLength(left), listLength(right)));
  for (auto* side : {&left, &right}) {
    if (elementOf(*side) == Types::NEVER) continue;
    forEach(iterateIndexed(*side, false), [&](const Value& item, Label&) { push(result, item); });
  }
  return result;
}

// PySlice_AdjustIndices.
FunctionElaborator::Slice FunctionElaborator::sliceOf(Expression slice, ValueId length) {
  auto parts = slice.getSlice();
  auto zero = constI(0);
  auto pick = [&](ValueId condition, ValueId yes, ValueId no) {
    return emit(Op::SELECT, {condition, yes, no}, {.prim = Prim::I});
  };
  auto bound = [&](Expression one) {
    auto value = expression(one);
    bool isIndex =
        isIntLike(value.type) && !types.isScalar(value.type, DType::BOOL) && !types.isScalar(value.type, DType::U64);
    if (!isIndex) decline("a slice bound of type " + types.show(value.type) + " is not compiled");
    return value;
  };
  std::optional<Value> lower, upper;
  if (!parts.getLower().isNone()) lower = bound(parts.getLower());
  if (!parts.getUpper().isNone()) upper = bound(parts.getUpper());
  auto by = parts.getStep().isNone() ? integerConst(1) : bound(parts.getStep());
  auto step = asInt(by);
  if (!by.constInt)
    guard(bop(Op::BAND, icmp(Compare::NE, step, zero), icmp(Compare::NE, step, constI(INT64_MIN))), "a slice step of zero");
  if (by.constInt && (*by.constInt == 0 || *by.constInt == INT64_MIN)) fail("a slice step of zero");
  bool rises = by.constInt && *by.constInt > 0;
  auto rising = by.constInt ? constB(rises) : icmp(Compare::GT, step, zero);
  auto last = iop(Op::SUB, length, constI(1));
  auto byDirection = [&](ValueId up, ValueId down) { return by.constInt ? (rises ? up : down) : pick(rising, up, down); };
  auto lowest = byDirection(zero, constI(-1)), highest = byDirection(length, last);
  auto clamp = [&](const std::optional<Value>& value, ValueId missing) {
    if (!value) return missing;
    auto at = asInt(*value);
    at = pick(icmp(Compare::LT, at, zero), iop(Op::ADD, at, length), at);
    at = pick(icmp(Compare::LT, at, lowest), lowest, at);
    return pick(icmp(Compare::GT, at, highest), highest, at);
  };
  auto start = clamp(lower, byDirection(zero, last)), stop = clamp(upper, byDirection(length, constI(-1)));
  auto width = byDirection(iop(Op::SUB, stop, start), iop(Op::SUB, start, stop));
  auto stride = byDirection(step, iop(Op::SUB, zero, step));
  auto count = width;
  if (by.constInt != 1) {
    auto whole = iop(Op::FLOOR_DIV, iop(Op::SUB, width, constI(1)), stride, "a slice step of zero");
    count = iop(Op::ADD, whole, constI(1));
  }
  return {start, step, pick(icmp(Compare::GT, width, zero), count, zero)};
}

Value FunctionElaborator::listSlice(const Value& list, Expression slice, uint32_t id) {
  auto part = sliceOf(slice, listLength(list));
  auto result = newList(id, part.count);
  if (elementOf(list) == Types::NEVER) return result;
  forEach(iterateRange({Types::RANGE, {constI(0), part.count, constI(1)}, 1}, false), [&](const Value& at, Label&) {
    push(result, listLoad(list, iop(Op::ADD, part.start, iop(Op::MUL, at.leaves[0], part.step))));
  });
  return result;
}

Value FunctionElaborator::length(const Value& value) {
  auto& data = types[value.type];
  switch (data.kind) {
    case Kind::LIST: return integer(listLength(value));
    case Kind::TUPLE: return integerConst(data.parts.size());
    case Kind::ARRAY:
      if (isPoint(value)) typeError("len() of an array of no dimensions");
      return integer(arrayDim(value, 0));
    case Kind::RANGE: {
      auto start = value.leaves[0], stop = value.leaves[1], step = value.leaves[2];
      auto rising = icmp(Compare::GT, step, constI(0));
      auto pick = [&](ValueId a, ValueId b) { return emit(Op::SELECT, {rising, a, b}, {.prim = Prim::I}); };
      auto low = pick(start, stop), high = pick(stop, start);
      auto width = iop(Op::SUB_CHECKED, high, low, "a range beyond 64 bits");
      auto by = pick(step, emit(Op::NEG_CHECKED, {step}, {.prim = Prim::I, .guard = "a range beyond 64 bits"}));
      auto count = iop(Op::ADD, iop(Op::FLOOR_DIV, iop(Op::SUB, width, constI(1)), by, "range() step is zero"), constI(1));
      return integer(emit(Op::SELECT, {icmp(Compare::GT, width, constI(0)), count, constI(0)}, {.prim = Prim::I}));
    }
    default: break;
  }
  if (isNumber(value.type) || value.type == Types::NONE) typeError("an object without a length");
  decline("the length of " + types.show(value.type) + " is not compiled");
}

// ---- subscripts ----------------------------------------------------------------------------------------------------------

ValueId FunctionElaborator::checkedIndex(const Value& index, ValueId length) {
  if (!isIntLike(index.type) || types.isScalar(index.type, DType::BOOL)) {
    if (index.type == Types::FLOAT || index.type == Types::NONE) typeError("an index of type " + types.show(index.type));
    decline("an index of type " + types.show(index.type) + " is not compiled");
  }
  if (types.isScalar(index.type, DType::U64)) decline("an index of type numpy.uint64 is not compiled");
  auto at = asInt(index);
  if (!index.constInt) {
    auto negative = icmp(Compare::LT, at, constI(0));
    at = emit(Op::SELECT, {negative, iop(Op::ADD, at, length), at}, {.prim = Prim::I});
  } else if (*index.constInt < 0) {
    at = iop(Op::ADD, at, length);
  }
  guard(bop(Op::BAND, icmp(Compare::GE, at, constI(0)), icmp(Compare::LT, at, length)), INDEX_REASON);
  return at;
}

Value FunctionElaborator::subscript(Expression expression) {
  auto parts = expression.getSubscript();
  auto base = this->expression(parts.getOf());
  line = expression.getLine();
  return split(base, [&](const Value& one) { return subscriptValue(one, parts.getIndex(), expression.getId()); });
}

Value FunctionElaborator::subscriptValue(const Value& base, Expression index, uint32_t id) {
  switch (types.kind(base.type)) {
    case Kind::LIST: {
      if (index.isSlice()) return listSlice(base, index, id);
      auto at = expression(index);
      return listLoad(base, checkedIndex(at, listLength(base)));
    }
    case Kind::TUPLE: {
      if (index.isSlice()) return tupleSlice(base, index);
      auto at = expression(index);
      auto parts = types[base.type].parts;
      int64_t count = parts.size();
      if (at.constInt) {
        auto known = *at.constInt < 0 ? *at.constInt + count : *at.constInt;
        if (known < 0 || known >= count) fail(INDEX_REASON);
        return tupleItem(base, known);
      }
      return tupleAt(base, checkedIndex(at, constI(count)));
    }
    case Kind::ARRAY: return arraySubscript(base, index);
    case Kind::RANGE: {
      if (index.isSlice()) decline("a slice of a range is not compiled");
      auto at = checkedIndex(expression(index), length(base).leaves[0]);
      return integer(iop(Op::ADD, base.leaves[0], iop(Op::MUL, at, base.leaves[2])));
    }
    default: break;
  }
  if (isNumber(base.type) || base.type == Types::NONE) typeError("not subscriptable: " + types.show(base.type));
  decline("an item of " + types.show(base.type) + " is not compiled");
}

}  // namespace epochly::program

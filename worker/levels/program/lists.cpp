// Methods of lists: those that move items, and those that look for one.
#include "levels/program/function_elaborator.h"

namespace epochly::program {

void FunctionElaborator::extend(const Value& list, const Value& items) {
  if (!types.is(items.type, Kind::LIST)) {
    forEach(iterateValue(items), [&](const Value& item, Label&) { push(list, item); });
    return;
  }
  if (elementOf(items) == Types::NEVER) return;
  // As many as there are now: it may be the same list.
  auto count = listLength(items);
  forEach(iterateRange({Types::RANGE, {constI(0), count, constI(1)}, 1}, false),
          [&](const Value& at, Label&) { push(list, listLoad(items, at.leaves[0])); });
}

void FunctionElaborator::insertItem(const Value& list, const Value& index, const Value& item) {
  if (!isPlainInt(index.type)) decline("an index of type " + types.show(index.type) + " is not compiled");
  auto zero = constI(0), one = constI(1);
  auto length = listLength(list);
  auto pick = [&](ValueId condition, ValueId yes, ValueId no) {
    return emit(Op::SELECT, {condition, yes, no}, {.prim = Prim::I});
  };
  auto at = asInt(index);
  at = pick(icmp(Compare::LT, at, zero), iop(Op::ADD, at, length), at);
  at = pick(icmp(Compare::LT, at, zero), zero, at);
  at = pick(icmp(Compare::GT, at, length), length, at);
  push(list, item);
  forEach(iterateRange({Types::RANGE, {length, at, constI(-1)}, -1}, false),
          [&](const Value& to, Label&) { listStore(list, to.leaves[0], listLoad(list, iop(Op::SUB, to.leaves[0], one))); });
  listStore(list, at, item);
}

Value FunctionElaborator::popLast(const Value& list) {
  auto length = listLength(list);
  guard(icmp(Compare::GT, length, constI(0)), "pop from an empty list");
  auto item = listLoad(list, iop(Op::SUB, length, constI(1)));
  shorten(list);
  return item;
}

void FunctionElaborator::shorten(const Value& list) {
  types.mark(types[list.type].ref, &Site::written);
  types.mark(types[list.type].ref, &Site::resized);
  emitVoid(Op::LIST_POP, {list.leaves[0]});
}

void FunctionElaborator::clearList(const Value& list) {
  forEach(iterateRange({Types::RANGE, {constI(0), listLength(list), constI(1)}, 1}, false),
          [&](const Value&, Label&) { shorten(list); });
}

Value FunctionElaborator::copyList(const Value& list, uint32_t id) {
  auto result = newList(id, listLength(list));
  if (elementOf(list) == Types::NEVER) return result;
  forEach(iterateIndexed(list, false), [&](const Value& item, Label&) { push(result, item); });
  return result;
}

void FunctionElaborator::reverseList(const Value& list) {
  if (elementOf(list) == Types::NEVER) return;
  auto low = temporary(), high = temporary();
  assign(low, integerConst(0));
  assign(high, integer(iop(Op::SUB, listLength(list), constI(1))));
  block([&](Label& done) {
    loop([&](Label&) {
      leaveUnless(icmp(Compare::LT, read(low).leaves[0], read(high).leaves[0]), done);
      auto i = read(low).leaves[0], j = read(high).leaves[0];
      auto a = listLoad(list, i), b = listLoad(list, j);
      listStore(list, i, b);
      listStore(list, j, a);
      assign(low, integer(iop(Op::ADD, i, constI(1))));
      assign(high, integer(iop(Op::SUB, j, constI(1))));
    });
  });
}

// ---- looking for an item -----------------------------------------------------------------------------------------------------

// Calls `found` with the position of each item that is `wanted`, in order.
void FunctionElaborator::matches(const Value& list, const Value& wanted, const std::function<void(ValueId at)>& found) {
  if (elementOf(list) == Types::NEVER) return;
  forEach(iterateRange({Types::RANGE, {constI(0), listLength(list), constI(1)}, 1}, false), [&](const Value& at, Label&) {
    branch(
        sameItem(listLoad(list, at.leaves[0]), wanted), [&] { found(at.leaves[0]); }, [] {});
  });
}

// The position of the first; -1: there is none.
Value FunctionElaborator::find(const Value& list, const Value& wanted) {
  auto position = temporary();
  assign(position, integerConst(-1));
  block([&](Label& done) {
    matches(list, wanted, [&](ValueId at) {
      assign(position, integer(at));
      jump(done);
      throw DeadCode();
    });
  });
  return take(position);
}

Value FunctionElaborator::indexOf(const Value& list, const Value& wanted) {
  auto position = find(list, wanted);
  guard(icmp(Compare::GE, position.leaves[0], constI(0)), "ValueError: it is not in the list");
  return position;
}

Value FunctionElaborator::countOf(const Value& list, const Value& wanted) {
  auto total = temporary();
  assign(total, integerConst(0));
  matches(list, wanted, [&](ValueId) { assign(total, integer(iop(Op::ADD, read(total).leaves[0], constI(1)))); });
  return take(total);
}

Value FunctionElaborator::popAt(const Value& list, const Value& index) {
  auto length = listLength(list);
  auto at = checkedIndex(index, length);
  auto item = listLoad(list, at);
  auto one = constI(1);
  forEach(iterateRange({Types::RANGE, {at, iop(Op::SUB, length, one), one}, 1}, false),
          [&](const Value& to, Label&) { listStore(list, to.leaves[0], listLoad(list, iop(Op::ADD, to.leaves[0], one))); });
  shorten(list);
  return item;
}

void FunctionElaborator::sortList(const Value& list, bool reverse) {
  auto element = elementOf(list);
  if (element == Types::NEVER) return;
  if (element != Types::FLOAT && element != Types::INT)
    decline("sorting a list of " + types.show(element) + " is not compiled");
  types.mark(types[list.type].ref, &Site::written);
  emitVoid(Op::LIST_SORT, {list.leaves[0]}, {.imm = (element == Types::FLOAT) | reverse << 1, .guard = "sorting NaN"});
}

// list[i:j] = value, of as many items.
void FunctionElaborator::assignSlice(const Value& list, Expression slice, const Value& value) {
  if (!types.is(value.type, Kind::LIST)) decline("assigning " + types.show(value.type) + " to a slice is not compiled");
  auto part = sliceOf(slice, listLength(list));
  guard(icmp(Compare::EQ, part.count, listLength(value)), "assigning another number of items to a slice");
  // It may be the same list.
  guard(icmp(Compare::NE, emit(Op::TO_BITS, {list.leaves[0]}, {.prim = Prim::I}),
             emit(Op::TO_BITS, {value.leaves[0]}, {.prim = Prim::I})),
        "assigning a list to a slice of itself");
  if (elementOf(value) == Types::NEVER) return;
  forEach(iterateRange({Types::RANGE, {constI(0), part.count, constI(1)}, 1}, false), [&](const Value& at, Label&) {
    listStore(list, iop(Op::ADD, part.start, iop(Op::MUL, at.leaves[0], part.step)), listLoad(value, at.leaves[0]));
  });
}

}  // namespace epochly::program

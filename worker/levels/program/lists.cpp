// Methods of lists that move items.
#include "levels/program/elaborator.h"

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

Value FunctionElaborator::popAt(const Value& list, const Value& index) {
  auto length = listLength(list);
  auto at = checkedIndex(index, length);
  auto item = listLoad(list, at);
  auto one = constI(1);
  types.mark(types[list.type].ref, &Site::resized);
  forEach(iterateRange({Types::RANGE, {at, iop(Op::SUB, length, one), one}, 1}, false),
          [&](const Value& to, Label&) { listStore(list, to.leaves[0], listLoad(list, iop(Op::ADD, to.leaves[0], one))); });
  types.mark(types[list.type].ref, &Site::written);
  emitVoid(Op::LIST_POP, {list.leaves[0]});
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

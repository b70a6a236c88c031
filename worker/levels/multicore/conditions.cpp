#include "levels/multicore/conditions.h"

#include "levels/program/decline.h"

namespace epochly::multicore {

using program::ArrayVariable;
using program::Compare;
using program::Op;
using program::Prim;
using program::ValueId;

ValueId Conditions::compute(const Poly& poly) {
  std::optional<ValueId> sum;
  for (auto& [product, factor] : poly.terms()) {
    auto term = build.constI(factor);
    for (auto symbol : product) term = build.integer(Op::MUL, term, compute(symbol));
    sum = sum ? build.integer(Op::ADD, *sum, term) : term;
  }
  return sum ? *sum : build.constI(0);
}

ValueId Conditions::compute(Symbol symbol) {
  auto& data = flow.symbol(symbol);
  if (data.kind == SymbolData::STRIDE) return compute(*data.of);
  if (data.kind == SymbolData::LENGTH && flow.varies(symbol, loop))
    return build.value(Op::LIST_LENGTH, Prim::I, {compute(data.of->terms().begin()->first[0])});
  if (data.hasValue) return data.value;
  for (uint32_t slot = 0; slot < loop.entry.size(); slot++) {
    if (loop.entry[slot].value->is(symbol)) return build.load(slot);
  }
  throw program::Declined(loop.line, "internal: a value that is not known before the loop");
}

ValueId Conditions::tripCount() {
  std::optional<ValueId> shortest;
  for (auto& trip : verdict.trips) {
    auto from = compute(trip.from), to = compute(trip.to);
    auto count = trip.movesAway
                     ? build.choose(build.compare(Compare::LT, from, to), build.constI(INT64_MAX), build.constI(0))
                     : build.integer(Op::SUB, to, from);
    shortest = shortest ? build.choose(build.compare(Compare::LT, count, *shortest), count, *shortest) : count;
  }
  return *shortest;
}

ValueId Conditions::hold(ValueId count) {
  auto all = build.constB(true);
  auto zero = build.constI(0);
  for (auto& [first, growth] : verdict.requirements.notNegative) {
    auto low = compute(first);
    auto steps = build.integer(Op::MUL, compute(growth), build.integer(Op::SUB, count, build.constI(1)));
    auto high = build.integer(Op::ADD, low, steps);
    all = build.both(all, build.both(build.compare(Compare::GE, low, zero), build.compare(Compare::GE, high, zero)));
  }
  for (auto& array : verdict.requirements.few)
    all = build.both(all, build.compare(Compare::LE, sizeOf(array, 0), build.constI(COUNTERS_MAX)));
  for (auto list : verdict.requirements.fewInList) {
    auto length = build.value(Op::LIST_LENGTH, Prim::I, {compute(list)});
    all = build.both(all, build.compare(Compare::LE, length, build.constI(COUNTERS_MAX)));
  }
  for (auto& [one, other] : verdict.requirements.others) {
    auto place = [&](Symbol list) { return build.value(Op::TO_BITS, Prim::I, {compute(list)}); };
    all = build.both(all, build.compare(Compare::NE, place(one), place(other)));
  }
  for (auto& array : verdict.requirements.distinct) all = build.both(all, isDistinct(array));
  for (auto& [written, other] : verdict.requirements.apart) all = build.both(all, areApart(written, other));
  return all;
}

ValueId Conditions::sizeOf(const ArrayVariable& array, uint32_t dim) { return build.load(array.slot + 1 + dim); }
ValueId Conditions::strideOf(const ArrayVariable& array, uint32_t dim) {
  auto stride = build.load(array.slot + 1 + array.dims + dim);
  auto zero = build.constI(0);
  return build.choose(build.compare(Compare::LT, stride, zero), build.integer(Op::SUB, zero, stride), stride);
}

// Each stride reaches over everything that those after it reach, in C's order or in Fortran's.
ValueId Conditions::isDistinct(const ArrayVariable& array) {
  auto inOrder = [&](bool backwards) {
    auto reach = build.constI(program::bytesOf(array.dtype));
    auto all = build.constB(true);
    for (uint32_t i = 0; i < array.dims; i++) {
      auto dim = backwards ? array.dims - 1 - i : i;
      auto size = sizeOf(array, dim), stride = strideOf(array, dim);
      auto single = build.compare(Compare::LE, size, build.constI(1));
      all = build.both(all, build.either(single, build.compare(Compare::GE, stride, reach)));
      auto further = build.integer(Op::MUL, stride, build.integer(Op::SUB, size, build.constI(1)));
      reach = build.integer(Op::ADD, reach, build.choose(single, build.constI(0), further));
    }
    return all;
  };
  auto rows = inOrder(true);
  return array.dims == 1 ? rows : build.either(rows, inOrder(false));
}

std::pair<ValueId, ValueId> Conditions::extentOf(const ArrayVariable& array) {
  auto zero = build.constI(0);
  auto low = build.value(Op::TO_BITS, Prim::I, {build.load(array.slot)});
  auto high = build.integer(Op::ADD, low, build.constI(program::bytesOf(array.dtype)));
  for (uint32_t dim = 0; dim < array.dims; dim++) {
    auto stride = build.load(array.slot + 1 + array.dims + dim);
    auto reach = build.integer(Op::MUL, stride, build.integer(Op::SUB, sizeOf(array, dim), build.constI(1)));
    auto falls = build.compare(Compare::LT, reach, zero);
    low = build.integer(Op::ADD, low, build.choose(falls, reach, zero));
    high = build.integer(Op::ADD, high, build.choose(falls, zero, reach));
  }
  return {low, high};
}

// An array of no elements has an extent of nonsense, but then nothing is read or written.
ValueId Conditions::areApart(const ArrayVariable& a, const ArrayVariable& b) {
  auto [lowA, highA] = extentOf(a);
  auto [lowB, highB] = extentOf(b);
  return build.either(build.compare(Compare::LE, highA, lowB), build.compare(Compare::LE, highB, lowA));
}

}  // namespace epochly::multicore

// How often a loop runs, and what its integers are by iteration.
#include <algorithm>

#include "levels/multicore/judge.h"

namespace epochly::multicore {

using program::Block;
using program::Compare;
using program::Instruction;
using program::Op;

const Instruction* Judge::leavingTest(const Block& block, const Loop& loop) {
  for (auto* one : block.code) {
    if (one->op == Op::BLOCK) return leavingTest(*one->bodies[0], loop);
    if (one->op != Op::IF) continue;
    auto& otherwise = one->bodies[1]->code;
    bool leaves = otherwise.size() == 1 && otherwise[0]->op == Op::JUMP &&
                  std::find(loop.exits.begin(), loop.exits.end(), otherwise[0]) != loop.exits.end();
    return leaves ? one : nullptr;
  }
  return nullptr;
}

void Judge::findTest() {
  verdict.test = leavingTest(*loop.loop->bodies[0], loop);
  if (loop.back.empty()) decline(0, "it runs once at most");
  if (!verdict.test) decline(0, "how often it runs is not known before it begins", "while");
  for (auto* exit : loop.exits) {
    if (exit != verdict.test->bodies[1]->code[0]) decline(exit->line, "it may end early, by break or return", "carried");
  }
}

void Judge::countTrips() {
  auto comparisons = flow.comparisons(verdict.test->args[0]);
  if (comparisons.empty()) decline(0, "how often it runs is not known before it begins", "while");
  for (auto& one : comparisons) verdict.trips.push_back(tripOf(one));
}

Trip Judge::tripOf(const Comparison& one) {
  auto left = resolve(*one.left), right = resolve(*one.right);
  auto slope = left.slope(trips[loop.index]);
  bool fixed = slope && slope->isConstant() && !variesBesides(right) && canKnow(right);
  if (fixed) {
    auto from = left.with(trips[loop.index], Poly());
    auto one64 = Poly::constant(1);
    auto step = slope->constantPart();
    if (canKnow(from)) {
      if (step == 1 && one.compare == Compare::LT) return {from, right};
      if (step == 1 && one.compare == Compare::LE) return {from, right.plus(one64)};
      if (step == -1 && one.compare == Compare::GT) return {right, from};
      if (step == -1 && one.compare == Compare::GE) return {right, from.plus(one64)};
      if (step == -1 && one.compare == Compare::LT) return {from, right, true};
    }
  }
  decline(0, "how often it runs is not known before it begins", "while");
}

bool Judge::variesBesides(const Poly& poly) const {
  for (auto& [product, factor] : poly.terms()) {
    for (auto symbol : product) {
      if (flow.varies(symbol, loop) && !isKnownLength(symbol)) return true;
    }
  }
  return false;
}

bool Judge::isKnownLength(Symbol symbol) const {
  auto& data = flow.symbol(symbol);
  return data.kind == SymbolData::LENGTH && !flow.varies(*data.of, loop) && canKnow(*data.of);
}

bool Judge::canKnow(const Poly& poly) const {
  for (auto& [product, factor] : poly.terms()) {
    for (auto symbol : product) {
      if (!canKnow(symbol)) return false;
    }
  }
  return true;
}

bool Judge::canKnow(Symbol symbol) const {
  auto& data = flow.symbol(symbol);
  if (isKnownLength(symbol)) return true;
  if (flow.varies(symbol, loop)) return false;
  if (data.kind == SymbolData::STRIDE) return canKnow(*data.of);
  if (data.hasValue) return true;
  return std::any_of(loop.entry.begin(), loop.entry.end(), [&](auto& slot) { return slot.value->is(symbol); });
}

Poly Judge::resolve(Poly poly) {
  for (int rounds = 0; rounds < 32; rounds++) {
    bool changed = false;
    for (auto symbol : symbolsOf(poly)) {
      auto data = flow.symbol(symbol);
      if (data.kind == SymbolData::HEAD && flow.varies(symbol, loop)) {
        auto& of = flow.loops()[data.loop];
        auto step = stepOf(of, data.slot);
        if (!step) continue;
        poly = poly.with(symbol, of.entry[data.slot].value->plus(step->times(Poly::of(trips[data.loop]))));
        changed = true;
      } else if (data.kind == SymbolData::WRAPPED && flow.varies(symbol, loop)) {
        auto inner = resolve(*data.of);
        if (!isNotNegative(inner)) continue;
        poly = poly.with(symbol, inner);
        changed = true;
      }
      if (changed) break;
    }
    if (!changed || poly.isTooLarge()) break;
  }
  return poly;
}

std::vector<Symbol> Judge::symbolsOf(const Poly& poly) {
  std::vector<Symbol> found;
  for (auto& [product, factor] : poly.terms()) found.insert(found.end(), product.begin(), product.end());
  return found;
}

bool Judge::isNotNegative(const Poly& index) {
  auto mine = trips[loop.index];
  auto slope = index.slope(mine);
  if (!slope || flow.varies(*slope, loop) || !canKnow(*slope)) return false;
  Poly first;
  auto atFirst = index.with(mine, Poly());
  for (auto& [product, factor] : atFirst.terms()) {
    bool isInner = product.size() == 1 && flow.symbol(product[0]).kind == SymbolData::TRIP;
    if (isInner && factor > 0) continue;  // an inner loop's counter only adds to it
    Poly term = Poly::constant(factor);
    for (auto symbol : product) {
      if (!canKnow(symbol) || flow.varies(symbol, loop)) return false;
      term = term.times(Poly::of(symbol));
    }
    first = first.plus(term);
  }
  bool settled = first.isConstant() && first.constantPart() >= 0 && slope->isConstant() && slope->constantPart() >= 0;
  auto wanted = std::pair(first, *slope);
  auto& all = verdict.requirements.notNegative;
  if (!settled && std::find(all.begin(), all.end(), wanted) == all.end()) all.push_back(wanted);
  return true;
}

}  // namespace epochly::multicore

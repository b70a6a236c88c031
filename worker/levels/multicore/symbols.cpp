#include "levels/multicore/symbols.h"

#include <algorithm>

namespace epochly::multicore {

namespace {

int64_t wrapping(uint64_t value) { return static_cast<int64_t>(value); }

}  // namespace

Poly Poly::constant(int64_t value) {
  Poly made;
  made.add({}, value);
  return made;
}

Poly Poly::of(Symbol symbol) {
  Poly made;
  made.add({symbol}, 1);
  return made;
}

int64_t Poly::constantPart() const {
  auto found = all.find({});
  return found == all.end() ? 0 : found->second;
}

bool Poly::is(Symbol symbol) const {
  return all.size() == 1 && all.begin()->second == 1 && all.begin()->first == Product{symbol};
}

bool Poly::contains(Symbol symbol) const {
  return std::any_of(all.begin(), all.end(), [&](auto& term) {
    return std::find(term.first.begin(), term.first.end(), symbol) != term.first.end();
  });
}

bool Poly::isTooLarge() const {
  return all.size() > TERMS_MAX ||
         std::any_of(all.begin(), all.end(), [](auto& term) { return term.first.size() > DEGREE_MAX; });
}

void Poly::add(const Product& product, int64_t factor) {
  auto& sum = all[product];
  sum = wrapping(static_cast<uint64_t>(sum) + static_cast<uint64_t>(factor));
  if (sum == 0) all.erase(product);
}

Poly Poly::plus(const Poly& other) const {
  auto sum = *this;
  for (auto& [product, factor] : other.all) sum.add(product, factor);
  return sum;
}

Poly Poly::times(const Poly& other) const {
  Poly result;
  for (auto& [left, a] : all) {
    for (auto& [right, b] : other.all) {
      Product both;
      std::merge(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(both));
      result.add(both, wrapping(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)));
    }
  }
  return result;
}

Poly Poly::with(Symbol symbol, const Poly& by) const {
  Poly result;
  for (auto& [product, factor] : all) {
    auto rest = product;
    auto times = std::count(rest.begin(), rest.end(), symbol);
    rest.erase(std::remove(rest.begin(), rest.end(), symbol), rest.end());
    Poly term;
    term.add(rest, factor);
    for (; times > 0; times--) term = term.times(by);
    result = result.plus(term);
  }
  return result;
}

std::unique_ptr<Poly> Poly::slope(Symbol symbol) const {
  auto result = std::make_unique<Poly>();
  for (auto& [product, factor] : all) {
    auto times = std::count(product.begin(), product.end(), symbol);
    if (times == 0) continue;
    if (times > 1) return nullptr;
    auto rest = product;
    rest.erase(std::find(rest.begin(), rest.end(), symbol));
    result->add(rest, factor);
  }
  return result;
}

}  // namespace epochly::multicore

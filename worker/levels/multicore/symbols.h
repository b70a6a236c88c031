// What integers and addresses of typed code are made of: polynomials in symbols. Sums wrap around at 64 bits, as the code's do.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "levels/program/code.h"

namespace epochly::multicore {

using Symbol = uint32_t;

// Larger ones become a symbol of their own: nothing that a loop steps through evenly is so long.
constexpr size_t TERMS_MAX = 16;
constexpr size_t DEGREE_MAX = 4;

class Poly {
 public:
  using Product = std::vector<Symbol>;  // in order
  Poly() = default;
  static Poly constant(int64_t value);
  static Poly of(Symbol symbol);

  const std::map<Product, int64_t>& terms() const { return all; }
  bool operator==(const Poly& other) const { return all == other.all; }
  bool operator<(const Poly& other) const { return all < other.all; }
  bool isConstant() const { return all.empty() || (all.size() == 1 && all.begin()->first.empty()); }
  int64_t constantPart() const;
  // It is this symbol and nothing else.
  bool is(Symbol symbol) const;
  bool contains(Symbol symbol) const;
  bool isTooLarge() const;

  Poly plus(const Poly& other) const;
  Poly minus(const Poly& other) const { return plus(other.times(constant(-1))); }
  Poly times(const Poly& other) const;
  // With `symbol` replaced.
  Poly with(Symbol symbol, const Poly& by) const;
  // a where it is a * symbol + b, neither of which has the symbol in it; nullptr: it is something else.
  std::unique_ptr<Poly> slope(Symbol symbol) const;

 private:
  std::map<Product, int64_t> all;  // no zeros
  void add(const Product& product, int64_t factor);
};

using PolyPtr = std::shared_ptr<const Poly>;
inline PolyPtr share(Poly poly) { return std::make_shared<const Poly>(std::move(poly)); }

// What a symbol stands for.
struct SymbolData {
  enum Kind : uint8_t {
    VALUE,    // whatever `value` is
    HEAD,     // what `slot` holds when an iteration of `loop` begins
    MERGED,   // of several paths
    WRAPPED,  // `of` where that is not below zero, else a length more: Python's negative indices
    LENGTH,   // of the list `of`
    STRIDE,   // of an array's dimension: `of`, under one name
    TRIP,     // the number of the iteration of `loop`, from zero
  };
  Kind kind;
  int loop = -1;  // the innermost loop in which it may change; -1: none
  program::ValueId value = 0;
  bool hasValue = false;
  bool isPointer = false;
  bool isFresh = false;  // a pointer to memory that nothing else pointed to when it was made
  bool isArgument = false;
  uint32_t slot = 0;
  PolyPtr of;
};

}  // namespace epochly::multicore

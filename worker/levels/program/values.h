// Values while a function is elaborated: their types, and the leaves of typed code that hold them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "levels/program/code.h"

namespace epochly::program {

struct Fused;

// An expression's value: its type and the leaves that hold it.
struct Value {
  Type type = Types::NEVER;
  std::vector<ValueId> leaves;
  // Known while compiling.
  std::optional<int64_t> constInt;
  std::optional<double> constFloat;
  // numpy additions and products inside this value that have not been checked for a warning yet: result, operands. A result that is
  // not finite stays not finite through further ones, so one look at the last covers all while it is finite.
  std::vector<ValueId> unchecked;
  // An array that has a shape but no memory yet: its elements are computed where it is settled. `leaves` holds the shape.
  std::shared_ptr<const Fused> fused;
};

// An operand of an elementwise loop.
struct Stream {
  DType dtype;
  ValueId pointer;
  std::vector<ValueId> strides;  // bytes, one for each dimension of the result; 0 where it is broadcast
};

// Elementwise operations on arrays that run as one loop. Operands are not written between here and the loop: whoever evaluates
// something that may write settles first.
struct Fused {
  DType dtype;
  std::vector<ValueId> shape;
  std::vector<Stream> streams;
  std::function<Value(const Value* items)> compute;  // the element, of items[i] of streams[i]
};

}  // namespace epochly::program

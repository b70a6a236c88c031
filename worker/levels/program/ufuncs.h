// numpy's universal functions whose own inner loops compiled code calls: what they give may differ from libm in the last bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "levels/program/types.h"

namespace epochly::program {

struct Ufunc {
  const char* name;
  uint8_t operands;         // 1 or 2
  bool realResult = false;  // of complex operands too
  constexpr DType resultOf(DType dtype) const { return realResult && isComplex(dtype) ? partOf(dtype) : dtype; }
};

// The order is part of compiled code.
constexpr Ufunc UFUNCS[] = {
    {"add", 2},        {"multiply", 2}, {"minimum", 2}, {"maximum", 2},   {"power", 2},       {"floor_divide", 2},
    {"remainder", 2},  {"exp", 1},      {"exp2", 1},    {"expm1", 1},     {"log", 1},         {"log2", 1},
    {"log10", 1},      {"log1p", 1},    {"sin", 1},     {"cos", 1},       {"tan", 1},         {"arcsin", 1},
    {"arccos", 1},     {"arctan", 1},   {"sinh", 1},    {"cosh", 1},      {"tanh", 1},        {"arcsinh", 1},
    {"arccosh", 1},    {"arctanh", 1},  {"cbrt", 1},    {"arctan2", 2},   {"hypot", 2},       {"copysign", 2},
    {"fmod", 2},       {"fmin", 2},     {"fmax", 2},    {"logaddexp", 2}, {"bitwise_and", 2}, {"logical_and", 2},
    {"logical_or", 2}, {"divide", 2},   {"square", 1},  {"sqrt", 1},      {"reciprocal", 1},  {"absolute", 1, true},
};
constexpr size_t UFUNC_COUNT = std::size(UFUNCS);

inline std::optional<uint32_t> ufuncNamed(const std::string& name) {
  for (uint32_t i = 0; i < UFUNC_COUNT; i++) {
    if (name == UFUNCS[i].name) return i;
  }
  return {};
}

// numpy.getbufsize() where nobody has called numpy.setbufsize(): elements in a piece.
constexpr int64_t NUMPY_BUFFER_BITS = 13, NUMPY_BUFFER = 1 << NUMPY_BUFFER_BITS;

// Op::UFUNC's imm: the loop whose operands are of that dtype.
constexpr int64_t ufuncCell(uint32_t ufunc, DType dtype) {
  return static_cast<int64_t>(ufunc) << 8 | static_cast<int64_t>(dtype);
}

}  // namespace epochly::program

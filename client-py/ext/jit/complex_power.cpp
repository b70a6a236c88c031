#include "ext/jit/complex_power.h"

#include <Python.h>

#include <cerrno>
#include <cmath>

#include "levels/jit/runtime.h"

namespace epochly::ext::jit {

namespace {

// Whole exponents up to here are multiplied out, as complexobject.c has it.
constexpr double WHOLE_MAX = 100.0;

Py_complex raised(Py_complex base, long exponent) {
  Py_complex result = {1.0, 0.0};
  for (auto n = std::labs(exponent); n; n >>= 1) {
    if (n & 1) result = _Py_c_prod(result, base);
    base = _Py_c_prod(base, base);
  }
  return exponent > 0 ? result : _Py_c_quot({1.0, 0.0}, result);
}

// Needs no GIL. Whatever errno says is for CPython to tell: it may raise, or not.
int32_t power(double real, double imag, double exponentReal, double exponentImag, double* out) {
  errno = 0;
  bool isWhole = exponentImag == 0 && exponentReal == std::floor(exponentReal) && std::fabs(exponentReal) <= WHOLE_MAX;
  auto result = isWhole ? raised({real, imag}, static_cast<long>(exponentReal))
                        : _Py_c_pow({real, imag}, {exponentReal, exponentImag});
  out[0] = result.real;
  out[1] = result.imag;
  return errno != 0;
}

}  // namespace

void provideComplexPower() { epochly::jit::complexPower() = &power; }

}  // namespace epochly::ext::jit

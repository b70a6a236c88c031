// What a program's free names mean. The host (the Python extension) answers, and remembers what it was asked, so that it can check
// before the next call that the answers still hold.
#pragma once

#include <cstdint>
#include <string>

#include "program.capnp.h"

namespace epochly::program {

struct Binding {
  enum What : uint8_t {
    INT,
    FLOAT,
    COMPLEX,
    STR,
    BYTES,  // a constant: `name` is its content
    BOOL,
    NONE,      // a constant: `i`, `f`, `imaginary`
    MODULE,    // `name`: "math", "numpy"
    BUILTIN,   // `name`: "range"
    MATH,      // function of the math module, `name`
    NUMPY,     // function of numpy, `name`
    DTYPE,     // a numpy scalar type: `i` is its DType
    FUNCTION,  // a Python function: `i` is its index in the program
    OTHER,     // `name` says what it is, for the decline
  };
  What what;
  int64_t i = 0;
  double f = 0;
  double imaginary = 0;
  std::string name;
};

class Bindings {
 public:
  virtual ~Bindings() = default;
  virtual Binding name(uint32_t function, bool closure, const std::string& name) = 0;
  virtual Binding attribute(const std::string& module, const std::string& name) = 0;
  // The default of a parameter; OTHER if it has none.
  virtual Binding defaultOf(uint32_t function, uint32_t parameter) = 0;
  // Stays valid for the compilation.
  virtual schema::Function::Reader function(uint32_t index) = 0;
};

// What differs between interpreters.
struct Dialect {
  uint16_t python = 0x030b;  // major << 8 | minor
  uint16_t numpy = 0;        // major << 8 | minor; 0: not imported

  // Before 2.3 numpy hands every reduction to its inner loop in pieces of its buffer's size, later only those that cast.
  bool reducesInPieces() const { return numpy < 0x0203; }
};

}  // namespace epochly::program

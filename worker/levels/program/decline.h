// Why a program was not compiled. Thrown inside the elaborator and the lowering, caught where a compilation starts.
#pragma once

#include <cstdint>
#include <string>

namespace epochly::program {

struct Declined {
  Declined(uint32_t line, std::string reason) : line(line), reason(std::move(reason)) {}
  uint32_t line;       // in the file; 0: no line is to blame
  std::string reason;  // a sentence for the user
};

}  // namespace epochly::program

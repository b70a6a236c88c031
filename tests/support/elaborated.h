// Typed code of small programs, as tests look at it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "levels/program/elaborator.h"
#include "support/program_text.h"

namespace epochly::test {

struct Elaborated {
  std::unique_ptr<program::Unit> unit;
  std::string result() { return unit->types.show(unit->instances[0].result); }
  std::string code() { return show(*unit, unit->instances[0]); }
  // Instructions that begin so.
  size_t count(const std::string& instruction) {
    size_t found = 0;
    auto text = code();
    for (auto at = text.find(instruction + " "); at != std::string::npos; at = text.find(instruction + " ", at + 1)) {
      bool isWhole = at > 0 && text[at - 1] == ' ';
      found += isWhole;
    }
    return found;
  }
};

inline Elaborated elaborate(const std::string& text,
                            const std::function<std::vector<program::Type>(program::Types&)>& arguments,
                            program::Dialect dialect = {}) {
  ProgramText program(text);
  return {program::Elaborator(program, dialect).run(arguments)};
}

inline Elaborated elaborate(const std::string& text, std::vector<program::Type> arguments) {
  return elaborate(text, [=](program::Types&) { return arguments; });
}

// Why it declines, behind its line; "compiles".
inline std::string reasonOf(const std::string& text,
                            const std::function<std::vector<program::Type>(program::Types&)>& arguments,
                            program::Dialect dialect = {}) {
  try {
    elaborate(text, arguments, dialect);
  } catch (program::Declined& declined) {
    return std::to_string(declined.line) + ": " + declined.reason;
  }
  return "compiles";
}

inline std::string reasonOf(const std::string& text, std::vector<program::Type> arguments) {
  return reasonOf(text, [=](program::Types&) { return arguments; });
}

inline std::vector<program::Type> floatList(program::Types& types) {
  auto site = types.site(0);
  types.widen(site, program::Types::FLOAT);
  return {types.list(site)};
}

// Array parameters, each of its own memory.
inline auto arrays(std::vector<std::pair<program::DType, uint32_t>> all) {
  return [all](program::Types& types) {
    std::vector<program::Type> result;
    uint32_t site = 0;
    for (auto [dtype, dims] : all) result.push_back(types.array(dtype, dims, types.site(site++)));
    return result;
  };
}

inline constexpr program::Dialect NUMPY2{.python = 0x030b, .numpy = 0x0204};

}  // namespace epochly::test

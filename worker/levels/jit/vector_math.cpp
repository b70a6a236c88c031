#include "levels/jit/vector_math.h"

#include <dlfcn.h>

#include <cmath>
#include <deque>

#include "levels/jit/runtime.h"

namespace epochly::jit::vectors {

namespace {

constexpr const char* PREFIX = "epochly_math_";
constexpr const char* NAMES[] = {"exp",  "expm1", "sin",   "cos",   "tan", "asin", "acos",  "atan",  "sinh", "cosh",
                                 "tanh", "asinh", "acosh", "atanh", "log", "log2", "log10", "log1p", "cbrt"};

struct Library {
  std::vector<std::string> functions[2];  // by LANES
  std::deque<std::string> names;          // that the symbols point to
  std::vector<RuntimeSymbol> symbols;
};

// Never unloaded: compiled code calls it.
const Library& library() {
  static const auto& one = *[] {
    auto* made = new Library;
    auto* handle = dlopen("libmvec.so.1", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; handle && i < std::size(LANES); i++) {
      for (auto* name : NAMES) {
        auto* address = dlsym(handle, (std::string(LANES[i] == 8 ? "_ZGVeN8v_" : "_ZGVdN4v_") + name).c_str());
        if (!address) continue;  // of a later glibc
        made->functions[i].push_back(std::string(PREFIX) + name);
        made->names.push_back(nameOf(made->functions[i].back(), LANES[i]));
        made->symbols.push_back({made->names.back().c_str(), address});
      }
    }
    made->symbols.push_back({SINE_AND_COSINE, reinterpret_cast<void*>(&::sincos)});
    return made;
  }();
  return one;
}

}  // namespace

std::string nameOf(const std::string& function, unsigned lanes) { return function + std::to_string(lanes); }

const std::vector<std::string>& functions(unsigned lanes) { return library().functions[lanes == 8]; }

const std::vector<RuntimeSymbol>& symbols() { return library().symbols; }

}  // namespace epochly::jit::vectors

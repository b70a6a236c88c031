// Files that are installed beside epochly._jit.
#pragma once

#include <string>

namespace epochly::ext::jit {

std::string pathBeside(const char* file);

}  // namespace epochly::ext::jit

// Files that are installed beside epochly._jit.
#pragma once

#include <string>

namespace epochly::ext::jit {

std::string pathBeside(const char* file);
// epochly._jit's own.
std::string ownPath();
// Size and time of change of a file, as text: what was built or edited anew has another.
std::string stampOf(const std::string& path);

}  // namespace epochly::ext::jit

#include "ext/jit/beside.h"

#include <dlfcn.h>

namespace epochly::ext::jit {

std::string pathBeside(const char* file) {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(&pathBeside), &info)) return file;
  std::string own = info.dli_fname;
  return own.substr(0, own.rfind('/') + 1) + file;
}

}  // namespace epochly::ext::jit

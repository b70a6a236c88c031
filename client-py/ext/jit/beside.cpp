#include "ext/jit/beside.h"

#include <dlfcn.h>
#include <sys/stat.h>

namespace epochly::ext::jit {

std::string ownPath() {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(&pathBeside), &info) ? info.dli_fname : "";
}

std::string pathBeside(const char* file) {
  auto own = ownPath();
  return own.substr(0, own.rfind('/') + 1) + file;
}

std::string stampOf(const std::string& path) {
  struct stat status = {};
  stat(path.c_str(), &status);
  return std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec) + "\n";
}

}  // namespace epochly::ext::jit

#include "ext/jit/team_library.h"

#include <dlfcn.h>

#include "ext/jit/beside.h"

namespace epochly::ext::jit {

namespace {

// Never unloaded: its threads run in it.
struct Loaded {
  const TeamLibrary* library = nullptr;
  std::string whyNot;

  Loaded() {
#ifdef EPOCHLY_HAS_MULTICORE
    auto* handle = dlopen(pathBeside(TEAM_FILE).c_str(), RTLD_NOW | RTLD_LOCAL);
    library = handle ? static_cast<const TeamLibrary*>(dlsym(handle, TEAM_SYMBOL)) : nullptr;
    if (!library) whyNot = std::string("oneTBB: level 3 cannot be loaded: ") + dlerror();
#else
    whyNot = "epochly was built without oneTBB, which level 3 needs";
#endif
  }
};

const Loaded& loaded() {
  static const Loaded& one = *new Loaded;
  return one;
}

}  // namespace

const TeamLibrary* teamOrNone() { return loaded().library; }

const std::string& whyNoTeam() { return loaded().whyNot; }

}  // namespace epochly::ext::jit

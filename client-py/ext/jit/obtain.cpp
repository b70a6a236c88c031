#include "ext/jit/obtain.h"

#include <dlfcn.h>

#include <chrono>

#include "ext/jit/beside.h"
#include "ext/jit/compiler_library.h"
#include "levels/jit/cache.h"
#include "levels/program/decline.h"

namespace epochly::ext::jit {

namespace {

int64_t nowNs() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

const std::string& compilerPath() {
  static const std::string path = pathBeside(COMPILER_FILE);
  return path;
}

// Never unloaded: LLVM's own threads and tables live in it.
const CompilerLibrary& compiler() {
  static const CompilerLibrary& library = []() -> const CompilerLibrary& {
    auto* handle = dlopen(compilerPath().c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw program::Declined(0, std::string("LLVM: it cannot be loaded: ") + dlerror());
    auto* found = dlsym(handle, COMPILER_SYMBOL);
    if (!found) throw program::Declined(0, "LLVM: the compiler is of another version");
    return *static_cast<const CompilerLibrary*>(found);
  }();
  return library;
}

// A compiler that was built anew is another one, whatever its version says.
std::string maker() { return "epochly " EPOCHLY_VERSION " " + stampOf(compilerPath()) + epochly::jit::processorText(); }

epochly::jit::Cache& cache() {
  static auto& one = *new epochly::jit::Cache(epochly::jit::cacheFolder(), maker());
  return one;
}

std::shared_ptr<epochly::jit::Code> fromDisk(const std::string& key) {
  auto object = cache().find(key);
  if (!object) return nullptr;
  try {
    auto code = epochly::jit::link(*object);
    code->fromDisk = true;
    return code;
  } catch (program::Declined&) {
    return nullptr;  // compiled anew, and written anew
  }
}

}  // namespace

std::shared_ptr<epochly::jit::Code> obtain(program::Unit& unit, const epochly::jit::Options& options) {
  auto start = nowNs();
  auto key = epochly::jit::fingerprint(unit, options);
  auto code = fromDisk(key);
  if (!code) {
    auto object = compiler().object(unit, options);
    code = epochly::jit::link(object);
    cache().store(key, object);
  }
  code->compileNs = nowNs() - start;
  return code;
}

std::string intermediate(program::Unit& unit, const epochly::jit::Options& options) {
  return compiler().intermediate(unit, options);
}

std::string assembly(program::Unit& unit, const epochly::jit::Options& options) {
  return compiler().assembly(unit, options);
}

}  // namespace epochly::ext::jit

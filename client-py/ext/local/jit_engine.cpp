#include "ext/local/jit_engine.h"

#include "ext/jit/api.h"
#include "ext/local/call.h"
#include "ext/local/levels.h"
#include "ext/local/loops.h"

namespace epochly::ext {

namespace {

// epochly._jit, loaded by the first call that asks for level 2. Guarded by the GIL.
class Compiler {
 public:
  const jit::Api* load() { return api != nullptr || whyNot.size() > 0 ? api : loadOnce(); }
  kj::StringPtr reason() const { return whyNot; }
  const jit::Api* loaded() const { return api; }

 private:
  const jit::Api* api = nullptr;
  kj::String whyNot;  // not empty: it does not load, and is not tried again

  const jit::Api* loadOnce() {
    PyObject* module = PyImport_ImportModule("epochly._jit");
    PyObject* capsule = module == nullptr ? nullptr : PyObject_GetAttrString(module, "_api");
    if (capsule != nullptr) api = static_cast<const jit::Api*>(PyCapsule_GetPointer(capsule, jit::API_NAME));
    Py_XDECREF(capsule);
    Py_XDECREF(module);  // sys.modules keeps it
    if (api == nullptr) whyNot = kj::str("the JIT engine does not load: ", takeError());
    return api;
  }

  static kj::String takeError() {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject* text = value == nullptr ? nullptr : PyObject_Str(value);
    const char* utf8 = text == nullptr ? nullptr : PyUnicode_AsUTF8(text);
    auto result = kj::str(utf8 == nullptr ? "unknown error" : utf8);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_Clear();
    return result;
  }
};

Compiler& compiler() {
  static Compiler& one = *new Compiler;
  return one;
}

bool fastmathOf(const PythonCall& call) {
  if (call.through != nullptr) return fastmathAsked(call.through);
  return levelChoice.contextUsed && contextFastmath();
}

// A session that counts this thread's loops learns of those that ran compiled.
bool callCounted(const jit::Api& api, jit::Asked asked, PyObject* const* args, size_t nargs, PyObject* names,
                 PyObject*& result, const char*& reason) {
  if (!loops::active) return api.call(asked, args, nargs, names, result, reason);
  auto before = api.loopIterations();
  bool ran = api.call(asked, args, nargs, names, result, reason);
  if (loops::active) loops::add(api.loopIterations() - before);
  return ran;
}

// Level 2, or level 3, which is level 2 with loops on several cores.
class JitEngine final : public run::LevelEngine {
 public:
  explicit JitEngine(Level own) : own(own) {}

  Level level() const override { return own; }

  kj::Maybe<kj::String> declines(run::Invocation& call) const override {
    auto& c = static_cast<PythonCall&>(call);  // this process makes no other
    auto* api = compiler().load();
    if (api == nullptr) return kj::str(compiler().reason());
    const char* reason = api->declines(askedOf(c), c.args, PyVectorcall_NARGS(c.nargsf), c.names);
    if (reason == nullptr) return nullptr;
    return kj::str(reason);
  }

  bool run(run::Invocation& call) override {
    auto& c = static_cast<PythonCall&>(call);
    const char* reason = nullptr;
    if (callCounted(*compiler().load(), askedOf(c), c.args, PyVectorcall_NARGS(c.nargsf), c.names, c.result, reason)) {
      return c.result != nullptr;
    }
    call.gaveBack(kj::str(reason));
    return call.callPlain();
  }

 private:
  const Level own;

  jit::Asked askedOf(const PythonCall& c) const { return {c.callable, fastmathOf(c), own == Level::MULTICORE}; }
};

// This process's, of levels 2 and 3; null: none. Written while the module loads.
const run::LevelEngine* added[2] = {};

[[maybe_unused]] kj::Own<run::LevelEngine> make(Level level) {
  auto engine = kj::heap<JitEngine>(level);
  added[level == Level::MULTICORE] = engine.get();
  return engine;
}

}  // namespace

bool callAtJit(Level level, PyObject* function, PyObject* const* args, size_t nargsf, PyObject* names, PyObject*& result) {
#ifdef EPOCHLY_HAS_JIT
  auto* api = compiler().load();
  if (api == nullptr) return false;
  const char* reason = nullptr;
  auto nargs = PyVectorcall_NARGS(nargsf);
  jit::Asked asked{function, contextFastmath(), level >= Level::MULTICORE};
  if (asked.multicore && api->declines(asked, args, nargs, names) != nullptr) asked.multicore = false;
  return callCounted(*api, asked, args, nargs, names, result, reason);
#else
  return false;
#endif
}

bool compiles(const PythonCall& c) {
#ifdef EPOCHLY_HAS_JIT
  auto* api = compiler().load();
  return api != nullptr &&
         api->declines({c.callable, fastmathOf(c)}, c.args, PyVectorcall_NARGS(c.nargsf), c.names) == nullptr;
#else
  return false;
#endif
}

uint64_t madeCodeNs() {
  auto* api = compiler().loaded();
  return api == nullptr ? 0 : api->madeCodeNs();
}

bool runsCompiled(const run::LevelEngine& engine) {
#ifdef EPOCHLY_HAS_JIT
  return &engine == added[0] || &engine == added[1];
#else
  return false;
#endif
}

uint64_t compiledIterations() {
  auto* api = compiler().loaded();
  return api == nullptr ? 0 : api->loopIterations();
}

// What a user can do where an engine is not in the build.
[[maybe_unused]] static constexpr kj::StringPtr REMEDY = "; build it where that is installed, or ask for level 0"_kj;

void addJitEngine(levels::Engines& engines) {
#ifdef EPOCHLY_HAS_JIT
  engines.add(make(Level::JIT), "LLVM");
#else
  engines.setAbsent(Level::JIT, kj::str("epochly was built without LLVM 19, which level 2 needs", REMEDY));
#endif
#ifdef EPOCHLY_HAS_MULTICORE
  engines.add(make(Level::MULTICORE), "oneTBB");
#elif defined(EPOCHLY_HAS_JIT)
  engines.setAbsent(Level::MULTICORE,
                    kj::str("epochly was built without oneTBB, which compiled loops need at level 3", REMEDY));
#else
  engines.setAbsent(Level::MULTICORE, kj::str("epochly was built without LLVM 19, which levels 2 and 3 need", REMEDY));
#endif
}

}  // namespace epochly::ext

#include "ext/local/jit_engine.h"

#include "ext/jit/api.h"
#include "ext/local/call.h"

namespace epochly::ext {

namespace {

// Guarded by the GIL. epochly._jit and LLVM are loaded by the first call that asks for level 2.
class JitEngine final : public run::LevelEngine {
 public:
  Level level() const override { return Level::JIT; }

  kj::Maybe<kj::String> declines(run::Invocation& call) const override {
    auto& c = static_cast<PythonCall&>(call);  // this process makes no other
    if (!load()) return kj::str(whyNot);
    const char* reason = api->declines(c.callable, c.args, PyVectorcall_NARGS(c.nargsf), c.names);
    if (reason == nullptr) return nullptr;
    return kj::str(reason);
  }

  bool run(run::Invocation& call) override {
    auto& c = static_cast<PythonCall&>(call);
    const char* reason = nullptr;
    if (api->call(c.callable, c.args, PyVectorcall_NARGS(c.nargsf), c.names, c.result, reason)) return c.result != nullptr;
    call.gaveBack(kj::str(reason));
    return call.callPlain();
  }

 private:
  mutable const jit::Api* api = nullptr;
  mutable kj::String whyNot;  // not empty: it does not load, and is not tried again

  bool load() const {
    if (api != nullptr) return true;
    if (whyNot.size() > 0) return false;
    PyObject* module = PyImport_ImportModule("epochly._jit");
    PyObject* capsule = module == nullptr ? nullptr : PyObject_GetAttrString(module, "_api");
    if (capsule != nullptr) api = static_cast<const jit::Api*>(PyCapsule_GetPointer(capsule, jit::API_NAME));
    Py_XDECREF(capsule);
    Py_XDECREF(module);  // sys.modules keeps it
    if (api != nullptr) return true;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject* text = value == nullptr ? nullptr : PyObject_Str(value);
    const char* utf8 = text == nullptr ? nullptr : PyUnicode_AsUTF8(text);
    whyNot = kj::str("the JIT engine does not load: ", utf8 == nullptr ? "unknown error" : utf8);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_Clear();
    return false;
  }
};

}  // namespace

void addJitEngine(levels::Engines& engines) {
#ifdef EPOCHLY_HAS_JIT
  engines.add(kj::heap<JitEngine>());
#else
  engines.setAbsent(Level::JIT, kj::str("epochly was built without LLVM 19, which level 2 needs"));
#endif
}

}  // namespace epochly::ext

#include "ext/executor_functions.h"

#include "ext/codec.h"
#include "ext/local/function.h"
#include "ext/local/loops.h"

namespace epochly::ext {

namespace {

PythonVersion thisPython() { return {static_cast<uint16_t>(PY_MAJOR_VERSION << 8 | PY_MINOR_VERSION)}; }

Failure wrongPython(const FunctionStore::Function& function) {
  return Failure::of(ErrorCode::FUNCTION_UNAVAILABLE,
                     kj::str(function.name, " was pickled as bytecode of Python ", toString(function.pythonVersion),
                             " and cannot run on Python ", toString(thisPython()),
                             ": put it into a module that workers can import, or start a worker with that Python"));
}

// What to do depends on what is missing, which Python code finds out.
Failure cannotLoad(const FunctionStore::Function& function, const nb::object& error) {
  nb::object explain = nb::module_::import_("epochly.executor").attr("explain_load_failure");
  auto message = nb::cast<nb::str>(explain(function.name.cStr(), function.module.cStr(), error));
  return Failure::of(ErrorCode::FUNCTION_UNAVAILABLE, kj::str(message.c_str()));
}

}  // namespace

void FunctionStore::add(schema::Function::Reader definition) {
  Function function{kj::str(definition.getName()),
                    kj::heapArray<byte>(definition.getCode()),
                    PythonVersion{definition.getPythonVersion()},
                    kj::str(definition.getModule()),
                    nb::object(),
                    {},
                    monitor::CallSampler(monitor::LOOP_COUNTING_INITIAL_NS, loops::SESSION_COST_NS)};
  functions.try_emplace(definition.getId(), kj::mv(function));
}

FunctionStore::Function* FunctionStore::find(uint32_t id) {
  auto found = functions.find(id);
  return found == functions.end() ? nullptr : &found->second;
}

kj::Maybe<Failure> FunctionStore::load(Function& function) {
  if (function.callable.is_valid()) {
    loaded.splice(loaded.end(), loaded, function.loadedAt);
    return nullptr;
  }
  if (function.pythonVersion.value != 0 && !(function.pythonVersion == thisPython())) return wrongPython(function);
  nb::object callable;
  try {
    callable = decode(function.code, {});
  } catch (nb::python_error& error) {
    return cannotLoad(function, nb::borrow(error.value()));
  }
  // Measured here, and not once more inside.
  if (isFunction(callable.ptr())) callable = nb::borrow(reinterpret_cast<ext::Function*>(callable.ptr())->wrapped);
  if (function.callable.is_valid()) return nullptr;  // another thread was faster
  if (loaded.size() >= FUNCTIONS_LOADED_MAX) {
    auto oldest = loaded.front();
    loaded.pop_front();
    oldest->callable.reset();
  }
  function.callable = kj::mv(callable);
  function.loadedAt = loaded.insert(loaded.end(), &function);
  return nullptr;
}

}  // namespace epochly::ext

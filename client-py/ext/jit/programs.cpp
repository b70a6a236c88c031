#include "ext/jit/programs.h"

#include <marshal.h>

#include <cstring>

#include "ext/jit/beside.h"
#include "ext/jit/reference.h"
#include "levels/jit/cache.h"

namespace epochly::ext::jit {

namespace {

// Of marshal: the last that writes no references, which depend on who else holds an object.
constexpr int MARSHAL_VERSION = 2;

std::string textOf(PyObject* object) {
  const char* utf8 = object && PyUnicode_Check(object) ? PyUnicode_AsUTF8(object) : nullptr;
  PyErr_Clear();
  return utf8 ? utf8 : "";
}

// The encoder is epochly._program, and what this module makes of its tuples.
std::string maker() {
  Reference package(PyImport_ImportModule("epochly"));
  Reference file(package ? PyObject_GetAttrString(package.get(), "__file__") : nullptr);
  auto path = textOf(file.get());
  PyErr_Clear();
  return "epochly " EPOCHLY_VERSION " " PY_VERSION "\n" + stampOf(path.substr(0, path.rfind('/') + 1) + "_program.py") +
         stampOf(ownPath());
}

epochly::jit::Cache& cache() {
  static auto& one = *new epochly::jit::Cache(epochly::jit::cacheFolder(), maker(), epochly::jit::CACHE_BYTES_MAX,
                                              epochly::jit::PROGRAM_FILES);
  return one;
}

// Whether its program was made without a source, see epochly._program.add().
bool wasAdded(PyObject* code) {
  Reference name(PyUnicode_FromString("epochly._program"));
  Reference module(name ? PyImport_GetModule(name.get()) : nullptr);
  Reference added(module ? PyObject_GetAttrString(module.get(), "_added") : nullptr);
  bool isIn = added && PyDict_Check(added.get()) && PyDict_Contains(added.get(), code) != 0;
  PyErr_Clear();
  return isIn;
}

}  // namespace

std::string programKey(PyObject* callable) {
  if (!PyFunction_Check(callable) || cache().path().empty()) return "";
  auto* function = reinterpret_cast<PyFunctionObject*>(callable);
  if (wasAdded(function->func_code)) return "";
  Reference bytes(PyMarshal_WriteObjectToString(function->func_code, MARSHAL_VERSION));
  PyErr_Clear();
  if (!bytes || !PyBytes_Check(bytes.get())) return "";
  std::string key(PyBytes_AS_STRING(bytes.get()), PyBytes_GET_SIZE(bytes.get()));
  return key + textOf(function->func_module) + "." + textOf(function->func_qualname);
}

kj::Array<capnp::word> findProgram(const std::string& key) {
  if (key.empty()) return nullptr;
  auto found = cache().find(key);
  if (!found || found->size() % sizeof(capnp::word)) return nullptr;
  auto words = kj::heapArray<capnp::word>(found->size() / sizeof(capnp::word));
  std::memcpy(words.begin(), found->data(), found->size());
  return words;
}

void storeProgram(const std::string& key, kj::ArrayPtr<const capnp::word> message) {
  if (key.empty()) return;
  auto bytes = message.asBytes();
  cache().store(key, std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size()));
}

}  // namespace epochly::ext::jit

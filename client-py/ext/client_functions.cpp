#include "ext/client_functions.h"

#include <algorithm>

#include "ext/local/function.h"
#include "wire/task_spec.h"
#include "wire/text.h"

namespace epochly::ext {

namespace {

kj::String textOf(nb::handle text) {
  Py_ssize_t size;
  auto utf8 = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (utf8 == nullptr) throw nb::python_error();
  return kj::str(kj::ArrayPtr<const char>(utf8, size));
}

// Where epochly.serialize.describe puts what.
enum Field { HASH_HIGH, HASH_LOW, NAME, CODE, PYTHON_VERSION, MODULE, HAS_LOOP, IS_COROUTINE, WAITS, CHECKS };
// epochly.serialize's kinds of checks.
enum Kind { ITEM, ABSENT, CELL, FUNCTION_CODE, DEFAULTS, KWDEFAULTS, MAPPED, LENGTH };

bool sameItem(nb::handle mapping, nb::handle key, nb::handle value) {
  PyObject* found = PyObject_GetItem(mapping.ptr(), key.ptr());
  if (found == nullptr) PyErr_Clear();
  Py_XDECREF(found);
  return found == value.ptr();
}

bool sameCell(nb::handle cell, nb::handle value) {
  PyObject* content = PyCell_Get(cell.ptr());
  Py_XDECREF(content);
  return content == value.ptr();
}

// An unset field is a null pointer here and None in Python.
bool sameField(PyObject* field, nb::handle value) { return (field != nullptr ? field : Py_None) == value.ptr(); }

}  // namespace

bool FunctionCache::Check::holds() const {
  switch (kind) {
    case ITEM: return PyDict_GetItemWithError(holder.ptr(), key.ptr()) == value.ptr();
    case ABSENT: return PyDict_Contains(holder.ptr(), key.ptr()) == 0;
    case CELL: return sameCell(holder, value);
    case FUNCTION_CODE: return PyFunction_GetCode(holder.ptr()) == value.ptr();
    case DEFAULTS: return sameField(PyFunction_GetDefaults(holder.ptr()), value);
    case KWDEFAULTS: return sameField(PyFunction_GetKwDefaults(holder.ptr()), value);
    case MAPPED: return sameItem(holder, key, value);
    case LENGTH: return PyObject_Size(holder.ptr()) == PyLong_AsSsize_t(value.ptr());
  }
  return false;
}

std::shared_ptr<const client::Function> FunctionCache::find(nb::handle function) {
  auto found = byObject.find(function.ptr());
  if (found != byObject.end()) {
    auto& checks = found->second.checks;
    if (std::all_of(checks.begin(), checks.end(), [](auto& check) { return check.holds(); })) return found->second.described;
  }
  return describe(function);
}

std::unique_ptr<client::Workload> FunctionCache::workloadOf(nb::handle function) {
  if (!isFunction(function.ptr())) return nullptr;
  auto found = byObject.find(function.ptr());
  if (found != byObject.end()) {
    auto& cached = found->second;
    if (++cached.asked < cached.readAt) return nullptr;
    cached.readAt *= 2;
  }
  auto figures = monitor::figuresOf(reinterpret_cast<Function*>(function.ptr())->ledger->read());
  if (figures.cpuSamples == 0) return nullptr;
  auto samples = static_cast<uint32_t>(std::min<uint64_t>(figures.cpuSamples, UINT32_MAX));
  return std::make_unique<client::Workload>(
      client::Workload{figures.ioWaitRatio, figures.avgLoopIterations, figures.avgDataSize, samples});
}

std::shared_ptr<const client::Function> FunctionCache::describe(nb::handle function) {
  nb::object facts = nb::module_::import_("epochly.serialize").attr("describe")(function);
  auto at = [&facts](Field field) { return nb::handle(PyTuple_GET_ITEM(facts.ptr(), field)); };
  auto described = std::make_shared<client::Function>();
  described->hash = {nb::cast<uint64_t>(at(HASH_HIGH)), nb::cast<uint64_t>(at(HASH_LOW))};
  described->name = cut(textOf(at(NAME)), NAME_BYTES_MAX);
  described->code =
      kj::heapArray<byte>(reinterpret_cast<const byte*>(PyBytes_AsString(at(CODE).ptr())), PyBytes_GET_SIZE(at(CODE).ptr()));
  described->pythonVersion = {nb::cast<uint16_t>(at(PYTHON_VERSION))};
  described->module = textOf(at(MODULE));
  described->hasLoop = nb::cast<bool>(at(HAS_LOOP));
  described->isCoroutine = nb::cast<bool>(at(IS_COROUTINE));
  described->waits = nb::cast<bool>(at(WAITS));
  auto result = shared(kj::mv(described));
  if (!at(CHECKS).is_none()) remember(function, result, at(CHECKS));
  return result;
}

std::shared_ptr<const client::Function> FunctionCache::shared(std::shared_ptr<const client::Function> function) {
  if (byHash.size() >= FUNCTIONS_CACHED_MAX) std::erase_if(byHash, [](auto& row) { return row.second.expired(); });
  auto& known = byHash[function->hash];
  if (auto same = known.lock()) return same;
  known = function;
  return function;
}

void FunctionCache::remember(nb::handle function, std::shared_ptr<const client::Function> described, nb::handle checks) {
  size_t bytes = described->code.size();
  if (byObject.size() >= FUNCTIONS_CACHED_MAX || cachedBytes + bytes > FUNCTIONS_CACHED_BYTES_MAX) forgetAll();
  cachedBytes += bytes;
  Cached cached{nb::borrow(function), kj::mv(described), {}};
  for (nb::handle check : checks) {
    auto part = [&check](Py_ssize_t i) { return nb::borrow(PyTuple_GET_ITEM(check.ptr(), i)); };
    cached.checks.push_back(Check{nb::cast<int>(part(0)), part(1), part(2), part(3)});
  }
  std::swap(byObject[function.ptr()], cached);  // what was there goes at the end: its destructors may run Python code
}

void FunctionCache::forgetAll() {
  std::unordered_map<PyObject*, Cached> forgotten;
  forgotten.swap(byObject);
  cachedBytes = 0;
}

}  // namespace epochly::ext

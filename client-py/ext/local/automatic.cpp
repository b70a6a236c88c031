#include "ext/local/automatic.h"

#include <cmath>

#include "ext/local/jit_engine.h"

namespace epochly::ext {

namespace {

using choice::Shape;
using choice::Stage;

// Sizes are told apart by powers of this.
constexpr int SIZE_STEP_BITS = 2;
// Arguments whose types are looked at: more make a key no better.
constexpr Py_ssize_t ARGUMENTS_MAX = 16;

uint64_t mixed(uint64_t key, uint64_t with) { return (key ^ with) * 0x9E3779B97F4A7C15u ^ key >> 29; }

uint64_t pointerKey(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// The type, and of a list that of its first item, of a numpy array its dtype: what decides which code runs. No code of the program
// is called.
uint64_t kindOf(PyObject* argument) {
  auto* type = Py_TYPE(argument);
  uint64_t key = pointerKey(type);
  if (type == &PyList_Type && PyList_GET_SIZE(argument) > 0)
    return mixed(key, pointerKey(Py_TYPE(PyList_GET_ITEM(argument, 0))));
  static PyObject* const dtypeName = PyUnicode_InternFromString("dtype");
  if (strcmp(type->tp_name, "numpy.ndarray") != 0) return key;
  PyObject* dtype = PyObject_GetAttr(argument, dtypeName);
  if (dtype == nullptr) PyErr_Clear();
  key = mixed(key, pointerKey(dtype));
  Py_XDECREF(dtype);
  return key;
}

int sizeStep(double elements) { return elements >= 1 ? std::ilogb(elements) / SIZE_STEP_BITS : -1; }

Py_ssize_t countOf(const PythonCall& call) {
  Py_ssize_t named = call.names == nullptr ? 0 : PyTuple_GET_SIZE(call.names);
  return PyVectorcall_NARGS(call.nargsf) + named;
}

uint64_t keyOf(const PythonCall& call, double elements) {
  uint64_t key = mixed(static_cast<uint64_t>(sizeStep(elements) + 1), pointerKey(call.names));
  for (Py_ssize_t i = 0; i < std::min(countOf(call), ARGUMENTS_MAX); ++i) key = mixed(key, kindOf(call.args[i]));
  return key;
}

kj::String textOf(const PythonCall& call, double elements) {
  kj::Vector<kj::StringPtr> types;
  for (Py_ssize_t i = 0; i < std::min(countOf(call), ARGUMENTS_MAX); ++i) types.add(Py_TYPE(call.args[i])->tp_name);
  auto text = kj::str("(", kj::strArray(types, ", "), ")");
  int step = sizeStep(elements);
  if (step < 0) return text;
  uint64_t from = uint64_t(1) << (step * SIZE_STEP_BITS);
  return kj::str(text, " with ", from, " to ", (from << SIZE_STEP_BITS) - 1, " elements");
}

// The guide's tree over what was measured: epochly._choice.suited(function), a new reference to (level, why); null with an
// exception set. Level 0 stands for: leave it.
PyObject* suited(Function* root) {
  PyObject* module = PyImport_ImportModule("epochly._choice");
  PyObject* answer = module == nullptr ? nullptr : PyObject_CallMethod(module, "suited", "O", root);
  Py_XDECREF(module);
  return answer;
}

void consider(Function* root, choice::Choice& choice, Shape& shape) {
  PyObject* answer = suited(root);
  int level = 0;
  const char* why = nullptr;
  bool understood = answer != nullptr && PyArg_ParseTuple(answer, "is", &level, &why);
  if (!understood) {
    PyErr_WriteUnraisable(reinterpret_cast<PyObject*>(root));  // a fault of ours must not be the call's
    choice.refuse(shape, kj::str("internal: no level could be chosen"));
  } else if (level == 0) {
    choice.refuse(shape, kj::str(why));
  } else {
    auto proposed = static_cast<Level>(level);
    choice.propose(shape, proposed, proposed > Level::JIT ? Level::JIT : Level::MONITOR, kj::str(why));
  }
  Py_XDECREF(answer);
}

const char* nameOf(Stage stage) {
  switch (stage) {
    case Stage::WATCHED: return "watched";
    case Stage::TRIED: return "tried";
    case Stage::KEPT: return "kept";
    case Stage::REFUSED: return "refused";
  }
  KJ_UNREACHABLE;
}

PyObject* millisecondsOf(const choice::Mean& mean) {
  return mean.count() == 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(mean.get() / 1e6);
}

PyObject* rowOf(const Shape& shape) {
  return Py_BuildValue("(ssiNNIs)", shape.text.cStr(), nameOf(shape.stage), static_cast<int>(shape.level),
                       millisecondsOf(shape.atLevel), millisecondsOf(shape.plain), shape.trials, shape.why.cStr());
}

}  // namespace

Function* rootOf(Function* f) {
  while (f->origin != nullptr) f = reinterpret_cast<Function*>(f->origin);
  return f;
}

Turn::Turn(Function* f, PythonCall& call, double elements) {
  Function* root = rootOf(f);
  if (root->automatic == nullptr) root->automatic = new Automatic;
  choice = &root->automatic->choice;
  shape = choice->find(keyOf(call, elements), [&]() { return textOf(call, elements); });
  if (shape == nullptr) return;
  if (choice->isDue(*shape)) consider(root, *choice, *shape);
  asked = choice->next(*shape);
  if (asked != Level::MONITOR) madeBefore = madeCodeNs();
}

void Turn::picked(const levels::Engines::Pick& pick) {
  if (shape == nullptr || asked == Level::MONITOR) return;
  auto level = pick.engine.level();
  if (level != Level::MONITOR) {
    choice->took(*shape, level);
    asked = level;
    return;
  }
  auto& outcome = pick.standing != nullptr ? *pick.standing : *pick.fresh;
  if (shape->stage == Stage::TRIED && outcome.declined.size() > 0) {
    choice->declined(*shape, kj::str(outcome.declined.back().reason));
  }
}

void Turn::ended(monitor::Nanos wall) {
  if (shape == nullptr) return;
  auto made = asked == Level::MONITOR ? 0 : madeCodeNs() - madeBefore;
  choice->note(*shape, asked, wall, made);
}

PyObject* trialsOf(Function* f) {
  PyObject* rows = PyList_New(0);
  auto* automatic = rootOf(f)->automatic;
  if (automatic == nullptr || rows == nullptr) return rows;
  for (auto& shape : automatic->choice.all()) {
    PyObject* row = rowOf(shape);
    int failed = row == nullptr ? -1 : PyList_Append(rows, row);
    Py_XDECREF(row);
    if (failed != 0) {
      Py_DECREF(rows);
      return nullptr;
    }
  }
  return rows;
}

}  // namespace epochly::ext

// Writes what epochly._program.encode() gives: see there for the tuples.
#include "ext/jit/encode.h"

#include <map>

#include "ext/jit/programs.h"
#include "ext/jit/reference.h"

namespace epochly::ext::jit {

namespace {

using Expression = schema::Expression;
using Statement = schema::Statement;

// A tuple that is not as _program.py writes them: a bug of ours, told as such.
struct Malformed {};

PyObject* item(PyObject* sequence, Py_ssize_t at) {
  PyObject* found = PyTuple_Check(sequence)  ? (at < PyTuple_GET_SIZE(sequence) ? PyTuple_GET_ITEM(sequence, at) : nullptr)
                    : PyList_Check(sequence) ? (at < PyList_GET_SIZE(sequence) ? PyList_GET_ITEM(sequence, at) : nullptr)
                                             : nullptr;
  if (!found) throw Malformed();
  return found;
}

Py_ssize_t sizeOf(PyObject* sequence) {
  return PyTuple_Check(sequence) ? PyTuple_GET_SIZE(sequence) : PyList_GET_SIZE(sequence);
}

std::string text(PyObject* value) {
  const char* utf8 = PyUnicode_Check(value) ? PyUnicode_AsUTF8(value) : nullptr;
  if (!utf8) throw Malformed();
  return utf8;
}

int64_t number(PyObject* value) {
  auto result = PyLong_AsLongLong(value);
  if (result == -1 && PyErr_Occurred()) throw Malformed();
  return result;
}

void write(PyObject* node, Expression::Builder to);

template <typename Init>
void writeAll(PyObject* nodes, Init init) {
  auto list = init(sizeOf(nodes));
  for (Py_ssize_t i = 0; i < sizeOf(nodes); i++) write(item(nodes, i), list[i]);
}

void writeCall(PyObject* node, Expression::Builder to) {
  auto call = to.initCall();
  write(item(node, 3), call.initCallee());
  writeAll(item(node, 4), [&](size_t n) { return call.initArguments(n); });
  PyObject* keywords = item(node, 5);
  auto list = call.initKeywords(sizeOf(keywords));
  for (Py_ssize_t i = 0; i < sizeOf(keywords); i++) {
    list[i].setName(text(item(item(keywords, i), 0)));
    write(item(item(keywords, i), 1), list[i].initValue());
  }
}

void writeComprehension(PyObject* node, Expression::Builder to) {
  auto made = to.initComprehension();
  write(item(node, 3), made.initElement());
  PyObject* generators = item(node, 4);
  auto list = made.initGenerators(sizeOf(generators));
  for (Py_ssize_t i = 0; i < sizeOf(generators); i++) {
    PyObject* one = item(generators, i);
    write(item(one, 0), list[i].initTarget());
    write(item(one, 1), list[i].initIterable());
    writeAll(item(one, 2), [&](size_t n) { return list[i].initConditions(n); });
  }
  made.setLazy(item(node, 5) == Py_True);
}

void writeCompare(PyObject* node, Expression::Builder to) {
  auto made = to.initCompare();
  write(item(node, 3), made.initFirst());
  PyObject* ops = item(node, 4);
  auto list = made.initOps(sizeOf(ops));
  for (Py_ssize_t i = 0; i < sizeOf(ops); i++) list.set(i, static_cast<schema::CompareOp>(number(item(ops, i))));
  writeAll(item(node, 5), [&](size_t n) { return made.initRest(n); });
}

using ExpressionWriter = void (*)(PyObject*, Expression::Builder);

const std::map<std::string, ExpressionWriter>& expressionWriters() {
  static const std::map<std::string, ExpressionWriter> writers = {
      {"none", [](PyObject*, Expression::Builder to) { to.setNone(); }},
      {"bool", [](PyObject* n, Expression::Builder to) { to.setBool(item(n, 3) == Py_True); }},
      {"int", [](PyObject* n, Expression::Builder to) { to.setInt(number(item(n, 3))); }},
      {"bigInt", [](PyObject* n, Expression::Builder to) { to.setBigInt(text(item(n, 3))); }},
      {"float", [](PyObject* n, Expression::Builder to) { to.setFloat(PyFloat_AsDouble(item(n, 3))); }},
      {"imaginary", [](PyObject* n, Expression::Builder to) { to.setImaginary(PyFloat_AsDouble(item(n, 3))); }},
      {"bytes",
       [](PyObject* n, Expression::Builder to) {
         PyObject* value = item(n, 3);
         auto* data = reinterpret_cast<const kj::byte*>(PyBytes_AS_STRING(value));
         to.setBytes(kj::arrayPtr(data, PyBytes_GET_SIZE(value)));
       }},
      {"str", [](PyObject* n, Expression::Builder to) { to.setStr(text(item(n, 3))); }},
      {"local", [](PyObject* n, Expression::Builder to) { to.setLocal(text(item(n, 3))); }},
      {"closure", [](PyObject* n, Expression::Builder to) { to.setClosure(text(item(n, 3))); }},
      {"global", [](PyObject* n, Expression::Builder to) { to.setGlobal(text(item(n, 3))); }},
      {"unsupported", [](PyObject* n, Expression::Builder to) { to.setUnsupported(text(item(n, 3))); }},
      {"unary",
       [](PyObject* n, Expression::Builder to) {
         auto made = to.initUnary();
         made.setOp(static_cast<schema::UnaryOp>(number(item(n, 3))));
         write(item(n, 4), made.initOperand());
       }},
      {"binary",
       [](PyObject* n, Expression::Builder to) {
         auto made = to.initBinary();
         made.setOp(static_cast<schema::BinaryOp>(number(item(n, 3))));
         write(item(n, 4), made.initLeft());
         write(item(n, 5), made.initRight());
       }},
      {"and", [](PyObject* n, Expression::Builder to) { writeAll(item(n, 3), [&](size_t c) { return to.initAnd(c); }); }},
      {"or", [](PyObject* n, Expression::Builder to) { writeAll(item(n, 3), [&](size_t c) { return to.initOr(c); }); }},
      {"tuple",
       [](PyObject* n, Expression::Builder to) { writeAll(item(n, 3), [&](size_t c) { return to.initTuple(c); }); }},
      {"list", [](PyObject* n, Expression::Builder to) { writeAll(item(n, 3), [&](size_t c) { return to.initList(c); }); }},
      {"compare", writeCompare},
      {"conditional",
       [](PyObject* n, Expression::Builder to) {
         auto made = to.initConditional();
         write(item(n, 3), made.initTest());
         write(item(n, 4), made.initThen());
         write(item(n, 5), made.initElse());
       }},
      {"call", writeCall},
      {"attribute",
       [](PyObject* n, Expression::Builder to) {
         auto made = to.initAttribute();
         write(item(n, 3), made.initOf());
         made.setName(text(item(n, 4)));
       }},
      {"subscript",
       [](PyObject* n, Expression::Builder to) {
         auto made = to.initSubscript();
         write(item(n, 3), made.initOf());
         write(item(n, 4), made.initIndex());
       }},
      {"slice",
       [](PyObject* n, Expression::Builder to) {
         auto made = to.initSlice();
         write(item(n, 3), made.initLower());
         write(item(n, 4), made.initUpper());
         write(item(n, 5), made.initStep());
       }},
      {"comprehension", writeComprehension},
      {"named",
       [](PyObject* n, Expression::Builder to) {
         auto made = to.initNamed();
         write(item(n, 3), made.initTarget());
         write(item(n, 4), made.initValue());
       }},
      {"starred", [](PyObject* n, Expression::Builder to) { write(item(n, 3), to.initStarred()); }},
  };
  return writers;
}

void write(PyObject* node, Expression::Builder to) {
  auto found = expressionWriters().find(text(item(node, 0)));
  if (found == expressionWriters().end()) throw Malformed();
  to.setLine(number(item(node, 1)));
  to.setId(number(item(node, 2)));
  found->second(node, to);
}

template <typename Init>
void writeStatements(PyObject* nodes, Init init);

void write(PyObject* node, Statement::Builder to) {
  auto kind = text(item(node, 0));
  to.setLine(number(item(node, 1)));
  if (kind == "assign") {
    auto made = to.initAssign();
    writeAll(item(node, 2), [&](size_t n) { return made.initTargets(n); });
    write(item(node, 3), made.initValue());
  } else if (kind == "augment") {
    auto made = to.initAugment();
    write(item(node, 2), made.initTarget());
    made.setOp(static_cast<schema::BinaryOp>(number(item(node, 3))));
    write(item(node, 4), made.initWith());
  } else if (kind == "expression") {
    write(item(node, 2), to.initExpression());
  } else if (kind == "if") {
    auto made = to.initIf();
    write(item(node, 2), made.initTest());
    writeStatements(item(node, 3), [&](size_t n) { return made.initThen(n); });
    writeStatements(item(node, 4), [&](size_t n) { return made.initElse(n); });
  } else if (kind == "while") {
    auto made = to.initWhile();
    write(item(node, 2), made.initTest());
    writeStatements(item(node, 3), [&](size_t n) { return made.initBody(n); });
    writeStatements(item(node, 4), [&](size_t n) { return made.initElse(n); });
  } else if (kind == "for") {
    auto made = to.initFor();
    write(item(node, 2), made.initTarget());
    write(item(node, 3), made.initIterable());
    writeStatements(item(node, 4), [&](size_t n) { return made.initBody(n); });
    writeStatements(item(node, 5), [&](size_t n) { return made.initElse(n); });
  } else if (kind == "return") {
    write(item(node, 2), to.initReturn());
  } else if (kind == "break") {
    to.setBreak();
  } else if (kind == "continue") {
    to.setContinue();
  } else if (kind == "pass") {
    to.setPass();
  } else if (kind == "raise") {
    to.setRaise();
  } else if (kind == "assert") {
    write(item(node, 2), to.initAssert());
  } else if (kind == "delete") {
    writeAll(item(node, 2), [&](size_t n) { return to.initDelete(n); });
  } else if (kind == "unsupported") {
    to.setUnsupported(text(item(node, 2)));
  } else {
    throw Malformed();
  }
}

template <typename Init>
void writeStatements(PyObject* nodes, Init init) {
  auto list = init(sizeOf(nodes));
  for (Py_ssize_t i = 0; i < sizeOf(nodes); i++) write(item(nodes, i), list[i]);
}

void write(PyObject* made, schema::Function::Builder to) {
  to.setName(text(item(made, 0)));
  to.setFile(text(item(made, 1)));
  PyObject* parameters = item(made, 2);
  auto list = to.initParameters(sizeOf(parameters));
  for (Py_ssize_t i = 0; i < sizeOf(parameters); i++) {
    list[i].setName(text(item(item(parameters, i), 0)));
    list[i].setKind(static_cast<schema::Parameter::Kind>(number(item(item(parameters, i), 1))));
  }
  writeStatements(item(made, 3), [&](size_t n) { return to.initBody(n); });
  to.setNodes(number(item(made, 4)));
  to.setReceiver(item(made, 5) == Py_True);
}

// The pending exception's text; clears it.
std::string takeError() {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  Reference owned[] = {Reference(type), Reference(value), Reference(traceback)};
  Reference shown(value ? PyObject_Str(value) : nullptr);
  const char* utf8 = shown ? PyUnicode_AsUTF8(shown.get()) : nullptr;
  std::string result = utf8 ? utf8 : "an error without a text";
  PyErr_Clear();
  return result;
}

}  // namespace

std::unique_ptr<Encoded> encode(PyObject* function, std::string& reason) {
  auto key = programKey(function);
  if (auto words = findProgram(key); words.size()) return std::make_unique<Encoded>(kj::mv(words));
  Reference module(PyImport_ImportModule("epochly._program"));
  Reference made(module ? PyObject_CallMethod(module.get(), "encode", "O", function) : nullptr);
  if (!made) {
    reason = takeError();
    return nullptr;
  }
  capnp::MallocMessageBuilder message;
  try {
    write(made.get(), message.initRoot<schema::Function>());
  } catch (Malformed&) {
    PyErr_Clear();
    reason = "internal: its program is malformed";
    return nullptr;
  }
  auto words = capnp::messageToFlatArray(message);
  storeProgram(key, words);
  return std::make_unique<Encoded>(kj::mv(words));
}

}  // namespace epochly::ext::jit

// Programs for tests, written as s-expressions: (def f (x y) (return (+ x y))). Numbers with a point are floats, 'a is a str; names are
// parameters or locals; every other head is a call of a builtin or of a function of the same text. Keywords of calls of builtins, math
// and numpy come last: (np sum a :axis 0).
#pragma once

#include <capnp/message.h>

#include <cctype>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "levels/program/bindings.h"

namespace epochly::test {

struct Node {
  std::string atom;  // empty: a list
  std::vector<Node> items;
  const std::string& head() const { return items.at(0).atom; }
};

class Reader {
 public:
  explicit Reader(const std::string& text) : text(text) {}
  std::vector<Node> all() {
    std::vector<Node> result;
    for (skip(); at < text.size(); skip()) result.push_back(one());
    return result;
  }

 private:
  const std::string text;
  size_t at = 0;
  void skip() {
    while (at < text.size() && std::isspace(text[at])) at++;
  }
  Node one() {
    skip();
    Node node;
    if (text.at(at) != '(') {
      while (at < text.size() && !std::isspace(text[at]) && text[at] != '(' && text[at] != ')') node.atom += text[at++];
      return node;
    }
    at++;
    for (skip(); text.at(at) != ')'; skip()) node.items.push_back(one());
    at++;
    return node;
  }
};

// The functions of a text; also the meaning of their free names.
class ProgramText final : public program::Bindings {
 public:
  explicit ProgramText(const std::string& text) {
    for (auto& node : Reader(text).all()) {
      names[node.items[1].atom] = functions.size();
      functions.push_back(std::make_unique<capnp::MallocMessageBuilder>());
      definitions.push_back(node);
    }
    for (size_t i = 0; i < definitions.size(); i++) write(definitions[i], functions[i]->initRoot<schema::Function>());
  }

  program::Binding name(uint32_t, bool, const std::string& name) override {
    auto found = names.find(name);
    if (found != names.end()) return {.what = program::Binding::FUNCTION, .i = static_cast<int64_t>(found->second)};
    if (name == "math" || name == "numpy") return {.what = program::Binding::MODULE, .name = name};
    return {.what = program::Binding::BUILTIN, .name = name};
  }
  program::Binding attribute(const std::string& module, const std::string& name) override {
    return {.what = module == "math" ? program::Binding::MATH : program::Binding::NUMPY, .name = name};
  }
  program::Binding defaultOf(uint32_t, uint32_t) override { return {.what = program::Binding::OTHER}; }
  schema::Function::Reader function(uint32_t index) override {
    return functions[index]->getRoot<schema::Function>().asReader();
  }

 private:
  std::vector<std::unique_ptr<capnp::MallocMessageBuilder>> functions;
  std::vector<Node> definitions;
  std::map<std::string, size_t> names;
  std::set<std::string> locals;
  uint32_t ids = 0;
  uint32_t line = 0;

  void write(const Node& node, schema::Function::Builder to) {
    to.setName(node.items[1].atom);
    auto parameters = to.initParameters(node.items[2].items.size());
    locals.clear();
    line = 0;
    for (uint i = 0; i < parameters.size(); i++) {
      parameters[i].setName(node.items[2].items[i].atom);
      parameters[i].setKind(schema::Parameter::Kind::POSITIONAL);
      locals.insert(node.items[2].items[i].atom);
    }
    collect(node);
    statements(node, 3, to.initBody(node.items.size() - 3));
  }
  void collect(const Node& node) {
    static const std::set<std::string> ASSIGN = {"set", "for", "aug", "named"};
    if (node.items.size() > 1 && ASSIGN.count(node.head())) {
      locals.insert(node.items[node.head() == "aug" ? 2 : 1].atom);
    }
    for (auto& item : node.items) collect(item);
  }
  void statements(const Node& node, size_t from, capnp::List<schema::Statement>::Builder to) {
    for (size_t i = from; i < node.items.size(); i++) statement(node.items[i], to[i - from]);
  }
  // (set x v) (aug + x v) (if t (do ..) (do ..)) (while t ..) (for x over ..) (return v) (break) (continue) (raise) (expr v)
  void statement(const Node& node, schema::Statement::Builder to) {
    to.setLine(++line);
    auto& head = node.head();
    if (head == "set") {
      auto made = to.initAssign();
      expression(node.items[1], made.initTargets(1)[0]);
      expression(node.items[2], made.initValue());
    } else if (head == "aug") {
      auto made = to.initAugment();
      made.setOp(binaryOps().at(node.items[1].atom));
      expression(node.items[2], made.initTarget());
      expression(node.items[3], made.initWith());
    } else if (head == "if") {
      auto made = to.initIf();
      expression(node.items[1], made.initTest());
      statements(node.items[2], 1, made.initThen(node.items[2].items.size() - 1));
      if (node.items.size() > 3) statements(node.items[3], 1, made.initElse(node.items[3].items.size() - 1));
    } else if (head == "while") {
      auto made = to.initWhile();
      expression(node.items[1], made.initTest());
      statements(node, 2, made.initBody(node.items.size() - 2));
    } else if (head == "for") {
      auto made = to.initFor();
      expression(node.items[1], made.initTarget());
      expression(node.items[2], made.initIterable());
      statements(node, 3, made.initBody(node.items.size() - 3));
    } else if (head == "return") {
      expression(node.items[1], to.initReturn());
    } else if (head == "break") {
      to.setBreak();
    } else if (head == "continue") {
      to.setContinue();
    } else if (head == "raise") {
      to.setRaise();
    } else if (head == "expr") {
      expression(node.items[1], to.initExpression());
    } else if (head == "del") {
      expression(node.items[1], to.initDelete(1)[0]);
    } else if (head == "unsupported") {
      to.setUnsupported(node.items[1].atom);
    } else {
      throw std::invalid_argument(head);
    }
  }
  static const std::map<std::string, schema::BinaryOp>& binaryOps() {
    using Op = schema::BinaryOp;
    static const std::map<std::string, Op> ops = {{"+", Op::ADD},     {"-", Op::SUB},        {"*", Op::MUL},
                                                  {"/", Op::DIV},     {"//", Op::FLOOR_DIV}, {"%", Op::MOD},
                                                  {"**", Op::POW},    {"<<", Op::LSHIFT},    {">>", Op::RSHIFT},
                                                  {"&", Op::BIT_AND}, {"|", Op::BIT_OR},     {"^", Op::BIT_XOR}};
    return ops;
  }
  static const std::map<std::string, schema::CompareOp>& compareOps() {
    using Op = schema::CompareOp;
    static const std::map<std::string, Op> ops = {{"==", Op::EQ}, {"!=", Op::NE}, {"<", Op::LT},  {"<=", Op::LE},
                                                  {">", Op::GT},  {">=", Op::GE}, {"is", Op::IS}, {"in", Op::IN}};
    return ops;
  }
  void atom(const std::string& text, schema::Expression::Builder to) {
    bool isNumber = std::isdigit(text[0]) || (text.size() > 1 && text[0] == '-' && std::isdigit(text[1]));
    if (text == "none") return to.setNone();
    if (text[0] == '\'') return to.setStr(text.substr(1));
    if (text == "true" || text == "false") return to.setBool(text == "true");
    if (isNumber && text.find_first_of(".e") != std::string::npos) return to.setFloat(std::stod(text));
    if (isNumber) return to.setInt(std::stoll(text));
    locals.count(text) ? to.setLocal(text) : to.setGlobal(text);
  }
  void expression(const Node& node, schema::Expression::Builder to) {
    to.setLine(line);
    to.setId(ids++);
    if (!node.atom.empty()) return atom(node.atom, to);
    auto& head = node.head();
    auto list = [&](auto made, size_t from) {
      for (size_t i = from; i < node.items.size(); i++) expression(node.items[i], made[i - from]);
    };
    if (binaryOps().count(head)) {
      auto made = to.initBinary();
      made.setOp(binaryOps().at(head));
      expression(node.items[1], made.initLeft());
      expression(node.items[2], made.initRight());
    } else if (compareOps().count(head)) {
      auto made = to.initCompare();
      expression(node.items[1], made.initFirst());
      made.initOps(1).set(0, compareOps().at(head));
      expression(node.items[2], made.initRest(1)[0]);
    } else if (head == "tuple") {
      list(to.initTuple(node.items.size() - 1), 1);
    } else if (head == "list") {
      list(to.initList(node.items.size() - 1), 1);
    } else if (head == "item") {
      auto made = to.initSubscript();
      expression(node.items[1], made.initOf());
      expression(node.items[2], made.initIndex());
    } else if (head == "named") {
      auto made = to.initNamed();
      expression(node.items[1], made.initTarget());
      expression(node.items[2], made.initValue());
    } else if (head == "attribute") {  // (attribute real z)
      auto made = to.initAttribute();
      made.setName(node.items[1].atom);
      expression(node.items[2], made.initOf());
    } else if (head == "math" || head == "np") {  // (math sqrt x)
      auto made = to.initCall();
      auto callee = made.initCallee().initAttribute();
      callee.initOf().setGlobal(head == "np" ? "numpy" : "math");
      callee.setName(node.items[1].atom);
      arguments(node, 2, made);
    } else if (head == "append" || head == "method") {  // (append l x), (method sum a)
      bool isNamed = head == "method";
      auto made = to.initCall();
      auto callee = made.initCallee().initAttribute();
      expression(node.items[isNamed ? 2 : 1], callee.initOf());
      callee.setName(isNamed ? node.items[1].atom : head);
      list(made.initArguments(node.items.size() - (isNamed ? 3 : 2)), isNamed ? 3 : 2);
    } else {
      auto made = to.initCall();
      made.initCallee().setGlobal(head);
      arguments(node, 1, made);
    }
  }
  template <typename Call>
  void arguments(const Node& node, size_t from, Call call) {
    auto first = from;
    while (first < node.items.size() && node.items[first].atom[0] != ':') first++;
    auto plain = call.initArguments(first - from);
    for (size_t i = from; i < first; i++) expression(node.items[i], plain[i - from]);
    auto named = call.initKeywords((node.items.size() - first) / 2);
    for (uint i = 0; i < named.size(); i++) {
      named[i].setName(node.items[first + 2 * i].atom.substr(1));
      expression(node.items[first + 2 * i + 1], named[i].initValue());
    }
  }
};

}  // namespace epochly::test

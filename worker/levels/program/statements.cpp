#include <algorithm>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

namespace {

constexpr const char* POINT_WRITTEN = "writing an array of no dimensions is not compiled";

}  // namespace

void FunctionElaborator::list(Statements statements) {
  for (auto one : statements) statement(one);
}

void FunctionElaborator::statement(Statement statement) {
  line = statement.getLine();
  switch (statement.which()) {
    case schema::Statement::ASSIGN: {
      auto parts = statement.getAssign();
      auto value = expression(parts.getValue());
      for (auto target : parts.getTargets()) assignTo(target, value);
      return;
    }
    case schema::Statement::AUGMENT: return augment(statement);
    case schema::Statement::EXPRESSION: {
      auto only = statement.getExpression();
      if (only.isStr()) return;  // a docstring
      expression(only);
      return;
    }
    case schema::Statement::IF: return ifStatement(statement);
    case schema::Statement::WHILE: return whileStatement(statement);
    case schema::Statement::FOR: return forStatement(statement);
    case schema::Statement::RETURN: return returnStatement(statement);
    case schema::Statement::BREAK: jump(*loops.back().onBreak); throw DeadCode();
    case schema::Statement::CONTINUE: jump(*loops.back().onContinue); throw DeadCode();
    case schema::Statement::PASS: return;
    case schema::Statement::RAISE: fail("an exception is raised");
    case schema::Statement::ASSERT: {
      auto holds = condition(statement.getAssert());
      line = statement.getLine();
      return guard(holds, "an assertion fails");
    }
    case schema::Statement::DELETE:
      for (auto target : statement.getDelete()) remove(target);
      return;
    case schema::Statement::UNSUPPORTED: decline(statement.getUnsupported().cStr());
  }
}

void FunctionElaborator::assignTo(Expression target, const Value& value) {
  switch (target.which()) {
    case schema::Expression::LOCAL: return assign(variable(target.getLocal().cStr()), value);
    case schema::Expression::TUPLE: return unpack(target.getTuple(), value);
    case schema::Expression::LIST: return unpack(target.getList(), value);
    case schema::Expression::SUBSCRIPT: return assignSubscript(target, value);
    case schema::Expression::CLOSURE:
    case schema::Expression::GLOBAL: decline("assigning a name of an outer scope is not compiled");
    case schema::Expression::UNSUPPORTED: decline(target.getUnsupported().cStr());
    default: decline("assigning to this is not compiled");
  }
}

void FunctionElaborator::unpack(Expressions targets, const Value& value) {
  for (uint i = 0; i < targets.size(); i++) {
    if (targets[i].isStarred()) return unpackStarred(targets, i, value);
  }
  size_t count = targets.size();
  constexpr const char* REASON = "ValueError: the number of values to unpack";
  auto& data = types[value.type];
  std::vector<Value> items;
  switch (data.kind) {
    case Kind::TUPLE:
      if (data.parts.size() != count) fail(REASON);
      for (size_t i = 0; i < count; i++) items.push_back(tupleItem(value, i));
      break;
    case Kind::LIST:
      guard(icmp(Compare::EQ, listLength(value), constI(count)), REASON);
      for (size_t i = 0; i < count; i++) items.push_back(listLoad(value, constI(i)));
      break;
    case Kind::ARRAY:
      if (isPoint(value)) typeError("unpacking an array of no dimensions");
      guard(icmp(Compare::EQ, arrayDim(value, 0), constI(count)), REASON);
      for (size_t i = 0; i < count; i++) items.push_back(arrayItem(value, constI(i)));
      break;
    default: decline("unpacking " + types.show(value.type) + " is not compiled");
  }
  for (size_t i = 0; i < count; i++) assignTo(targets[i], items[i]);
}

// a, *b, c = value: what is left between the first and the last becomes a list.
void FunctionElaborator::unpackStarred(Expressions targets, size_t star, const Value& value) {
  bool isList = types.is(value.type, Kind::LIST);
  if (!isList && !types.is(value.type, Kind::TUPLE))
    decline("unpacking " + types.show(value.type) + " with * is not compiled");
  size_t plain = targets.size() - 1, after = plain - star;
  auto size = isList ? listLength(value) : constI(types[value.type].parts.size());
  guard(icmp(Compare::GE, size, constI(plain)), "ValueError: not enough values to unpack");
  if (!isList && types[value.type].parts.size() < plain) throw DeadCode();
  auto last = iop(Op::SUB, size, constI(after));
  auto count = isList ? 0 : types[value.type].parts.size();
  auto item = [&](size_t i) {
    if (!isList) return tupleItem(value, i < star ? i : count - plain + i);
    return listLoad(value, i < star ? constI(i) : iop(Op::ADD, last, constI(i - star)));
  };
  std::vector<Value> items;
  for (size_t i = 0; i < plain; i++) items.push_back(item(i));
  auto rest = newList(targets[star].getId(), constI(0));
  if (!isList) {
    for (size_t i = star; i + after < count; i++) push(rest, tupleItem(value, i));
  } else if (elementOf(value) != Types::NEVER) {
    forEach(iterateRange({Types::RANGE, {constI(star), last, constI(1)}, 1}, false),
            [&](const Value& at, Label&) { push(rest, listLoad(value, at.leaves[0])); });
  }
  for (size_t i = 0; i <= plain; i++) {
    if (i == star) {
      assignTo(targets[i].getStarred(), rest);
    } else {
      assignTo(targets[i], items[i < star ? i : i - 1]);
    }
  }
}

// del name, del list[i]
void FunctionElaborator::remove(Expression target) {
  line = target.getLine();
  if (target.isLocal()) {
    std::string name = target.getLocal().cStr();
    readBound(variable(name), name);
    return assign(variable(name), {Types::UNBOUND, {}});
  }
  if (!target.isSubscript()) decline("this del is not compiled");
  auto parts = target.getSubscript();
  auto base = expression(parts.getOf());
  if (!types.is(base.type, Kind::LIST) || parts.getIndex().isSlice())
    decline("del of an item of " + types.show(base.type) + " is not compiled");
  popAt(base, expression(parts.getIndex()));
}

void FunctionElaborator::assignSubscript(Expression target, const Value& value) {
  auto parts = target.getSubscript();
  split(expression(parts.getOf()), [&](const Value& base) {
    if (types.is(base.type, Kind::LIST)) {
      if (parts.getIndex().isSlice()) return assignSlice(base, parts.getIndex(), value), none();
      auto index = expression(parts.getIndex());
      line = target.getLine();
      return listStore(base, checkedIndex(index, listLength(base)), value), none();
    }
    line = target.getLine();
    if (isPoint(base)) decline(POINT_WRITTEN);
    if (!isArray(base)) decline("assigning to an item of " + types.show(base.type) + " is not compiled");
    return assignToArray(base, parts.getIndex(), [&](const Value&) { return value; }), none();
  });
}

void FunctionElaborator::augment(Statement statement) {
  auto parts = statement.getAugment();
  auto target = parts.getTarget();
  auto apply = [&](const Value& before) {
    if (types.is(before.type, Kind::LIST)) {
      if (parts.getOp() != schema::BinaryOp::ADD) decline("this augmented assignment of a list is not compiled");
      extend(before, expression(parts.getWith()));
      return before;
    }
    auto op = parts.getOp();
    bool spreads = op == schema::BinaryOp::ADD || op == schema::BinaryOp::SUB || op == schema::BinaryOp::MUL;
    auto with = unsettled(parts.getWith());
    if (!spreads) with = settleChecks(with);
    line = statement.getLine();
    if (!isArray(before)) return settle(binary(op, before, with));
    // In place: what the array's type cannot hold raises.
    if (!isArray(with) && !isNumber(with.type)) decline("this augmented assignment is not compiled");
    auto result = settleChecks(binary(op, before, with));
    // numpy multiplies a single complex number in place in another way than all others.
    bool isProduct = op == schema::BinaryOp::MUL || op == schema::BinaryOp::DIV;
    if (isComplex(dtypeOf(before)) && isProduct)
      guard(icmp(Compare::NE, sizeOf(shapeOf(before)), constI(1)), "a single complex number that is changed in place");
    if (!isArray(result) || !castsInPlace(dtypeOf(result), dtypeOf(before)))
      fail("UFuncTypeError: the result does not fit the array");
    return result;
  };
  if (target.isLocal()) {
    std::string name = target.getLocal().cStr();
    auto before = readBound(variable(name), name);
    auto changesItself = [&](Type type) { return types.is(type, Kind::ARRAY) || types.is(type, Kind::LIST); };
    auto members = types.members(before.type);
    if (std::none_of(members.begin(), members.end(), changesItself)) return assign(variable(name), apply(before));
    return assign(variable(name), split(before, [&](const Value& one) {
                    if (isPoint(one)) decline(POINT_WRITTEN);
                    if (!isArray(one)) return apply(one);
                    assignArray(one, apply(one));
                    return one;
                  }));
  }
  if (!target.isSubscript()) decline("this augmented assignment is not compiled");
  auto subscript = target.getSubscript();
  auto base = expression(subscript.getOf());
  if (types.is(base.type, Kind::LIST)) {
    if (subscript.getIndex().isSlice()) decline("assigning to a slice is not compiled yet");
    auto index = expression(subscript.getIndex());
    auto before = listLoad(base, checkedIndex(index, listLength(base)));
    for (auto type : types.members(before.type)) {
      if (types.is(type, Kind::ARRAY)) decline("an array that a list holds is not changed in place by compiled code");
    }
    auto result = apply(before);
    return listStore(base, checkedIndex(index, listLength(base)), result);
  }
  if (isPoint(base)) decline(POINT_WRITTEN);
  if (types.is(base.type, Kind::ARRAY)) {
    return assignToArray(base, subscript.getIndex(), apply);
  }
  decline("assigning to an item of " + types.show(base.type) + " is not compiled");
}

void FunctionElaborator::ifStatement(Statement statement) {
  auto parts = statement.getIf();
  branch(
      condition(parts.getTest()), [&] { list(parts.getThen()); }, [&] { list(parts.getElse()); });
}

void FunctionElaborator::returnStatement(Statement statement) {
  auto value = expression(statement.getReturn());
  assign(resultVariable, value);
  jump(*end);
  throw DeadCode();
}

}  // namespace epochly::program

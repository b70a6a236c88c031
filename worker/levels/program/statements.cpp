#include "levels/program/elaborator.h"

namespace epochly::program {

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
  size_t count = targets.size();
  auto& data = types[value.type];
  std::vector<Value> items;
  switch (data.kind) {
    case Kind::TUPLE:
      if (data.parts.size() != count) fail("ValueError: the number of values to unpack");
      for (size_t i = 0; i < count; i++) items.push_back(tupleItem(value, i));
      break;
    case Kind::LIST:
      guard(icmp(Compare::EQ, listLength(value), constI(count)), "ValueError: the number of values to unpack");
      for (size_t i = 0; i < count; i++) items.push_back(listLoad(value, constI(i)));
      break;
    case Kind::ARRAY:
      guard(icmp(Compare::EQ, arrayDim(value, 0), constI(count)), "ValueError: the number of values to unpack");
      for (size_t i = 0; i < count; i++) items.push_back(arrayItem(value, constI(i)));
      break;
    default: decline("unpacking " + types.show(value.type) + " is not compiled");
  }
  for (size_t i = 0; i < count; i++) assignTo(targets[i], items[i]);
}

void FunctionElaborator::assignSubscript(Expression target, const Value& value) {
  auto parts = target.getSubscript();
  auto base = expression(parts.getOf());
  if (types.is(base.type, Kind::LIST)) {
    if (parts.getIndex().isSlice()) return assignSlice(base, parts.getIndex(), value);
    auto index = expression(parts.getIndex());
    line = target.getLine();
    return listStore(base, checkedIndex(index, listLength(base)), value);
  }
  if (types.is(base.type, Kind::ARRAY)) {
    line = target.getLine();
    return assignToArray(base, parts.getIndex(), [&](const Value&) { return value; });
  }
  decline("assigning to an item of " + types.show(base.type) + " is not compiled");
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
    if (!isArray(result) || !castsInPlace(dtypeOf(result), dtypeOf(before)))
      fail("UFuncTypeError: the result does not fit the array");
    return result;
  };
  if (target.isLocal()) {
    std::string name = target.getLocal().cStr();
    auto before = readBound(variable(name), name);
    if (isArray(before)) return assignArray(before, apply(before));
    return assign(variable(name), apply(before));
  }
  if (!target.isSubscript()) decline("this augmented assignment is not compiled");
  auto subscript = target.getSubscript();
  auto base = expression(subscript.getOf());
  if (types.is(base.type, Kind::LIST)) {
    if (subscript.getIndex().isSlice()) decline("assigning to a slice is not compiled yet");
    auto index = expression(subscript.getIndex());
    auto before = listLoad(base, checkedIndex(index, listLength(base)));
    auto result = apply(before);
    return listStore(base, checkedIndex(index, listLength(base)), result);
  }
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

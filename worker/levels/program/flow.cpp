// Variables, the labels where paths meet, and values that can be of more than one type.
#include <algorithm>
#include <utility>

#include "levels/program/flow.h"

namespace epochly::program {

uint32_t Flow::variable(const std::string& name) {
  auto [entry, isNew] = variables.try_emplace(name, variableCount);
  if (isNew) named.insert(variableCount++);
  return entry->second;
}

std::string Flow::variableName(uint32_t variable) const {
  for (auto& [name, index] : variables) {
    if (index == variable) return name;
  }
  return {};
}

uint32_t Flow::temporary() { return variableCount++; }

uint32_t Flow::slotsOf(uint32_t variable, Type type) {
  auto [entry, isNew] = slotIndex.try_emplace({variable, type}, static_cast<uint32_t>(instance.slots.size()));
  if (isNew) {
    auto& leaves = types.leaves(type);
    instance.slots.insert(instance.slots.end(), leaves.begin(), leaves.end());
    instance.slotNames.resize(entry->second);
    instance.slotNames.resize(instance.slots.size(), variableName(variable));
    auto& data = types[type];
    if (data.kind == Kind::ARRAY && data.dims) instance.arrays.push_back({entry->second, data.dims, data.dtype});
  }
  return entry->second;
}

void Flow::assign(uint32_t variable, const Value& given) {
  auto value = settle(given);
  auto slot = slotsOf(variable, value.type);
  for (auto leaf : value.leaves) emitVoid(Op::STORE, {leaf}, {.imm = slot++});
  if (env.size() <= variable) env.resize(variable + 1, Types::UNBOUND);
  env[variable] = value.type;
}

Value Flow::read(uint32_t variable) {
  Value value{typeOf(variable), {}};
  auto slot = slotsOf(variable, value.type);
  for (auto prim : std::vector<Prim>(types.leaves(value.type))) {
    value.leaves.push_back(emit(Op::LOAD, {}, {.prim = prim, .imm = slot++}));
  }
  return value;
}

Value Flow::take(uint32_t variable) {
  auto value = read(variable);
  env[variable] = Types::UNBOUND;
  return value;
}

Value Flow::readBound(uint32_t variable, const std::string& name) {
  auto value = read(variable);
  if (value.type == Types::UNBOUND) fail("'" + name + "' is read before it is assigned");
  if (!types.has(value.type, Types::UNBOUND)) return value;
  guard(icmp(Compare::NE, value.leaves[0], constI(types.tag(value.type, Types::UNBOUND))),
        "a variable is read before it is assigned");
  // The tag stays as it is where several bound members are left: rebuild it for the smaller union.
  auto bound = types[value.type].parts;
  std::erase(bound, Types::UNBOUND);
  if (bound.size() == 1) return member(value, bound[0]);
  auto smaller = types.unionOf(bound);
  auto tag = constI(0);
  for (auto part : bound) {
    auto is = icmp(Compare::EQ, value.leaves[0], constI(types.tag(value.type, part)));
    tag = emit(Op::SELECT, {is, constI(types.tag(smaller, part)), tag}, {.prim = Prim::I});
  }
  Value result{smaller, {tag}};
  auto count = types.leaves(smaller).size();
  for (size_t i = 1; i < count; i++) result.leaves.push_back(value.leaves[i]);
  return result;
}

Value Flow::convert(const Value& value, Type type) {
  if (value.type == type) return value;
  if (types.is(type, Kind::TUPLE) && types.is(value.type, Kind::TUPLE)) {
    std::vector<Value> items;
    auto parts = types[type].parts;
    for (size_t i = 0; i < parts.size(); i++) items.push_back(convert(tupleItem(value, i), parts[i]));
    return tupleOf(items);
  }
  if (!types.is(type, Kind::UNION)) {
    // Sites that became one while this round was under way: the round is done again, with them as one from its start.
    if (types.leaves(type).size() == value.leaves.size()) return {type, value.leaves};
    decline("internal: no conversion from " + types.show(value.type) + " to " + types.show(type));
  }
  Value result{type, {}};
  auto width = types.leaves(type).size();
  if (types.is(value.type, Kind::UNION)) {
    auto parts = types[value.type].parts;
    auto tag = constI(0);
    for (auto part : parts) {
      auto target = part;
      if (!types.has(type, part)) {
        for (auto candidate : types.members(type)) {
          if (types.isFamily(candidate, part) && types.leaves(candidate).size() == types.leaves(part).size())
            target = candidate;
        }
      }
      auto is = icmp(Compare::EQ, value.leaves[0], constI(types.tag(value.type, part)));
      tag = emit(Op::SELECT, {is, constI(types.tag(type, target)), tag}, {.prim = Prim::I});
    }
    result.leaves = {tag};
    result.leaves.insert(result.leaves.end(), value.leaves.begin() + 1, value.leaves.end());
  } else {
    auto target = value.type;
    auto source = value;
    if (!types.has(type, target)) {
      for (auto candidate : types.members(type)) {
        if (types.isFamily(candidate, target) && types.leaves(candidate).size() == types.leaves(target).size())
          target = candidate;
      }
      source = convert(value, target);
    }
    result.leaves = {constI(types.tag(type, target))};
    for (auto leaf : source.leaves) result.leaves.push_back(emit(Op::TO_BITS, {leaf}, {.prim = Prim::I}));
  }
  while (result.leaves.size() < width) result.leaves.push_back(constI(0));
  return result;
}

Value Flow::member(const Value& value, Type member) {
  Value result{member, {}};
  size_t at = 1;
  for (auto prim : std::vector<Prim>(types.leaves(member))) {
    result.leaves.push_back(emit(Op::FROM_BITS, {value.leaves[at++]}, {.prim = prim}));
  }
  return result;
}

Flow::Label& Flow::openLabel() {
  auto& label = labels.emplace_back(Label{labelCount++, variableCount, {}});
  open.push_back(&label);
  return label;
}

void Flow::jump(Label& label) {
  auto& made = emitVoid(Op::JUMP, {}, {.imm = label.id});
  made.bodies.push_back(&unit.blocks.emplace_back());
  label.jumps.emplace_back(&made, env);
}

Flow::Env Flow::joined(const Label& label) {
  Env result;
  for (auto& [jump, from] : label.jumps) {
    if (result.empty()) {
      result = from;
      continue;
    }
    auto size = std::max(result.size(), from.size());
    result.resize(size, Types::UNBOUND);
    for (size_t i = 0; i < size; i++) result[i] = types.join(result[i], i < from.size() ? from[i] : Types::UNBOUND);
  }
  for (uint32_t i = label.variables; i < result.size(); i++) {
    if (!named.count(i)) result[i] = Types::UNBOUND;
  }
  return result;
}

void Flow::fillJumps(Label& label, const Env& target) {
  auto* before = out;
  auto envBefore = env;
  for (auto& [jump, from] : label.jumps) {
    out = jump->bodies[0];
    env = from;
    for (uint32_t i = 0; i < target.size(); i++) {
      if (target[i] == typeOf(i) || target[i] == Types::UNBOUND) continue;
      assign(i, convert(read(i), target[i]));
    }
  }
  out = before;
  env = envBefore;
}

void Flow::closeLabel(Label& label) {
  open.erase(std::find(open.begin(), open.end(), &label));
  if (label.jumps.empty()) throw DeadCode();
  auto target = joined(label);
  fillJumps(label, target);
  env = target;
}

Flow::Mark Flow::mark() {
  Mark mark{out->code.size(), out, {}, env};
  for (auto* label : open) mark.jumps.push_back(label->jumps.size());
  return mark;
}

void Flow::rollback(const Mark& mark) {
  out = mark.block;
  out->code.resize(mark.code);
  open.resize(mark.jumps.size());
  for (size_t i = 0; i < open.size(); i++) open[i]->jumps.resize(mark.jumps[i]);
  env = mark.env;
}

void Flow::path(Block* body, Label& next, const std::function<void()>& code) {
  auto* before = std::exchange(out, body);
  try {
    code();
    jump(next);
  } catch (DeadCode&) {
  }
  out = before;
}

Flow::Label& Flow::labelled(Op op, const std::function<void(Label&)>& body) {
  auto& made = emitVoid(op, {});
  made.bodies.push_back(&unit.blocks.emplace_back());
  auto& label = openLabel();
  made.imm = label.id;
  path(made.bodies[0], label, [&] { body(label); });
  return label;
}

void Flow::block(const std::function<void(Label& end)>& body) { closeLabel(labelled(Op::BLOCK, body)); }

void Flow::branch(ValueId condition, const std::function<void()>& then, const std::function<void()>& otherwise) {
  auto settled = known.find(condition);
  if (settled != known.end()) return settled->second ? then() : otherwise();
  block([&](Label& end) {
    auto& made = emitVoid(Op::IF, {condition});
    made.bodies = {&unit.blocks.emplace_back(), &unit.blocks.emplace_back()};
    auto envBefore = env;
    path(made.bodies[0], end, then);
    env = envBefore;
    path(made.bodies[1], end, otherwise);
    throw DeadCode();  // both sides have jumped
  });
}

Value Flow::choose(ValueId condition, const std::function<Value()>& then, const std::function<Value()>& otherwise) {
  auto result = temporary();
  branch(
      condition, [&] { assign(result, then()); }, [&] { assign(result, otherwise()); });
  return take(result);
}

Value Flow::split(const Value& value, const std::function<Value(const Value&)>& use) {
  if (value.type == Types::NEVER) throw DeadCode();
  if (!types.is(value.type, Kind::UNION)) return use(value);
  auto result = temporary();
  auto parts = types[value.type].parts;
  std::function<void(size_t)> cases = [&](size_t at) {
    auto one = [&] { assign(result, use(member(value, parts[at]))); };
    if (at + 1 == parts.size()) return one();
    branch(icmp(Compare::EQ, value.leaves[0], constI(types.tag(value.type, parts[at]))), one, [&] { cases(at + 1); });
  };
  cases(0);
  return take(result);
}

Value Flow::tupleOf(const std::vector<Value>& items) {
  std::vector<Type> parts;
  Value result;
  for (auto& item : items) {
    parts.push_back(item.type);
    result.leaves.insert(result.leaves.end(), item.leaves.begin(), item.leaves.end());
  }
  result.type = types.tuple(parts);
  return result;
}

Value Flow::tupleItem(const Value& tuple, size_t index) {
  auto parts = types[tuple.type].parts;
  size_t at = 0;
  for (size_t i = 0; i < index; i++) at += types.leaves(parts[i]).size();
  Value item{parts[index], {}};
  auto count = types.leaves(parts[index]).size();
  for (size_t i = 0; i < count; i++) item.leaves.push_back(tuple.leaves[at + i]);
  auto constant = item.type == Types::INT ? constants.find(item.leaves[0]) : constants.end();
  if (constant != constants.end()) item.constInt = constant->second;
  return item;
}

}  // namespace epochly::program

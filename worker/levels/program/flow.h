// Variables, labels and unions: what is known of each variable on each path, and what it is where paths meet.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "levels/program/emitter.h"
#include "levels/program/values.h"

namespace epochly::program {

class Flow : protected Emitter {
 protected:
  using Emitter::Emitter;
  ~Flow() = default;

  // A value that may be kept: with memory, if it is an array, and looked at for warnings.
  virtual Value settle(Value value) = 0;

  using Env = std::vector<Type>;  // by variable; shorter ones end in UNBOUND
  struct Label {
    int64_t id;
    uint32_t variables;  // that there were when it was opened: a temporary made later is nobody's business behind it
    std::vector<std::pair<Instruction*, Env>> jumps;
  };
  struct Mark {
    size_t code;
    Block* block;
    std::vector<size_t> jumps;
    Env env;
  };
  uint32_t variable(const std::string& name);
  std::string variableName(uint32_t variable) const;  // empty: a temporary
  uint32_t temporary();
  Type typeOf(uint32_t variable) const { return variable < env.size() ? env[variable] : Types::UNBOUND; }
  uint32_t slotsOf(uint32_t variable, Type type);
  void assign(uint32_t variable, const Value& value);
  Value read(uint32_t variable);  // any type, UNBOUND too
  Value take(uint32_t variable);  // read() and forget
  Value readBound(uint32_t variable, const std::string& name);
  Value convert(const Value& value, Type type);   // into a wider type
  Value member(const Value& value, Type member);  // out of a union whose tag says so
  void jump(Label& label);
  Label& openLabel();
  void closeLabel(Label& label);  // control goes on here, from every jump
  void fillJumps(Label& label, const Env& target);
  Type joinAll(const Label& label, uint32_t variable);
  Env joined(const Label& label);
  Mark mark();
  void rollback(const Mark& mark);
  // `code` in `body`, where it ends in a jump to `next`.
  void path(Block* body, Label& next, const std::function<void()>& code);
  // A BLOCK or LOOP with that body; its label stays open.
  Label& labelled(Op op, const std::function<void(Label&)>& body);
  void block(const std::function<void(Label& end)>& body);  // BLOCK; goes on at its end if anything jumps there
  void branch(ValueId condition, const std::function<void()>& then, const std::function<void()>& otherwise);
  // The value of one of two paths.
  Value choose(ValueId condition, const std::function<Value()>& then, const std::function<Value()>& otherwise);
  // Calls `use` for each member that `value` can be; joins what they give.
  Value split(const Value& value, const std::function<Value(const Value&)>& use);
  Value tupleOf(const std::vector<Value>& items);
  Value tupleItem(const Value& tuple, size_t index);

  Env env;
  std::map<std::string, uint32_t> variables;
  std::set<uint32_t> named;
  std::map<std::pair<uint32_t, Type>, uint32_t> slotIndex;
  std::deque<Label> labels;  // of this function; the open ones are in `open`
  std::vector<Label*> open;
  uint32_t variableCount = 0;
  int64_t labelCount = 0;
};

}  // namespace epochly::program

// Loops, what they run over, and comprehensions.
#include <algorithm>

#include "levels/program/function_elaborator.h"

namespace epochly::program {

// A first iteration apart pays when a variable that the loop carries loses a type in it: total = 0; total += x.
bool FunctionElaborator::worthPeeling(const Env& head, const Env& back) const {
  for (size_t i = 0; i < head.size(); i++) {
    auto after = i < back.size() ? back[i] : Types::UNBOUND;
    if (head[i] == after || types.has(head[i], Types::UNBOUND) || types.has(after, Types::UNBOUND)) continue;
    for (auto member : types.members(head[i])) {
      if (!types.is(member, Kind::LIST) && !types.is(member, Kind::TUPLE) && !types.has(after, member)) return true;
    }
  }
  return false;
}

void FunctionElaborator::loop(const std::function<void(Label& again)>& iteration, Of of) {
  instance.hasLoop = true;
  loopDepth++;
  auto itsLine = line;
  auto start = mark();
  auto head = env;
  int peels = 0;
  for (;;) {
    // The loop's head is entered with the variables as `head` has them.
    for (uint32_t i = 0; i < head.size(); i++) {
      if (head[i] != typeOf(i)) assign(i, convert(read(i), head[i]));
    }
    line = itsLine;
    auto& again = labelled(Op::LOOP, iteration);
    auto back = joined(again);
    auto widened = head;
    if (!again.jumps.empty()) {
      widened.resize(std::max(head.size(), back.size()), Types::UNBOUND);
      for (size_t i = 0; i < widened.size(); i++) {
        // What an iteration leaves behind in a variable that was unbound before it is read again only through that union.
        widened[i] = types.join(widened[i], i < back.size() ? back[i] : Types::UNBOUND);
      }
    }
    while (!widened.empty() && widened.back() == Types::UNBOUND) widened.pop_back();
    auto trimmed = head;
    while (!trimmed.empty() && trimmed.back() == Types::UNBOUND) trimmed.pop_back();
    if (widened == trimmed) {
      for (auto& [jump, from] : again.jumps) {
        auto* outer = out;
        out = jump->bodies[0];
        emitVoid(Op::POLL, {}, {.guard = "interrupted"});
        iterationEnds(of);
        out = outer;
      }
      fillJumps(again, head);
      open.erase(std::find(open.begin(), open.end(), &again));
      loopDepth--;
      throw DeadCode();  // the way out is a jump
    }
    bool peel = peels < PEELS_MAX && loopDepth <= PEEL_DEPTH_MAX && worthPeeling(head, back);
    rollback(start);
    if (!peel) {
      head = widened;
      continue;
    }
    peels++;
    try {
      block([&](Label& next) { iteration(next); });
      iterationEnds(of);
    } catch (DeadCode&) {
      loopDepth--;
      throw;
    }
    start = mark();
    head = env;
  }
}

void FunctionElaborator::leaveUnless(ValueId condition, Label& label) {
  branch(
      condition, [] {},
      [&] {
        jump(label);
        throw DeadCode();
      });
}

void FunctionElaborator::loopBody(Label& onBreak, Label& onContinue, Statements body) {
  struct Inside {
    std::vector<LoopLabels>& loops;
    ~Inside() { loops.pop_back(); }
  } inside{loops};
  loops.push_back({&onBreak, &onContinue});
  list(body);
}

void FunctionElaborator::whileStatement(Statement statement) {
  auto parts = statement.getWhile();
  block([&](Label& onBreak) {
    block([&](Label& exhausted) {
      loop(
          [&](Label& again) {
            auto holds = condition(parts.getTest());
            leaveUnless(holds, exhausted);
            loopBody(onBreak, again, parts.getBody());
          },
          Of::PROGRAM);
    });
    list(parts.getElse());
  });
}

void FunctionElaborator::forStatement(Statement statement) {
  auto parts = statement.getFor();
  auto iterator = iterate(parts.getIterable());
  block([&](Label& onBreak) {
    forEach(
        std::move(iterator),
        [&](const Value& item, Label& next) {
          assignTo(parts.getTarget(), item);
          loopBody(onBreak, next, parts.getBody());
        },
        Of::PROGRAM);
    list(parts.getElse());
  });
}

void FunctionElaborator::forEach(Iterator iterator, const std::function<void(const Value&, Label& again)>& body, Of of) {
  if (iterator.unrolled) {
    for (auto& item : iterator.items) {
      block([&](Label& next) { body(item, next); });
      iterationEnds(of);
    }
    return;
  }
  block([&](Label& exhausted) {
    loop(
        [&](Label& again) {
          leaveUnless(iterator.hasNext(), exhausted);
          body(iterator.next(), again);
        },
        of);
  });
}

void FunctionElaborator::forEach(Expression iterable, const std::function<void(const Value&, Label& again)>& body, Of of) {
  forEach(iterate(iterable), body, of);
}

std::optional<std::string> FunctionElaborator::builtinCalled(Expression expression) {
  if (!expression.isCall() || !expression.getCall().getCallee().isGlobal()) return {};
  auto binding = owner.bindings.name(instance.function, false, expression.getCall().getCallee().getGlobal().cStr());
  if (binding.what != Binding::BUILTIN) return {};
  return binding.name;
}

FunctionElaborator::Iterator FunctionElaborator::iterate(Expression iterable) {
  line = iterable.getLine();
  auto name = builtinCalled(iterable);
  if (!name || (*name != "enumerate" && *name != "zip" && *name != "reversed")) return iterateValue(expression(iterable));
  auto call = iterable.getCall();
  auto args = call.getArguments();
  if (*name == "enumerate") {
    bool keyword = call.getKeywords().size() == 1 && call.getKeywords()[0].getName() == "start";
    if (args.size() + call.getKeywords().size() > 2 || args.size() < 1 || (call.getKeywords().size() && !keyword)) {
      decline("this use of enumerate is not compiled");
    }
    auto inner = std::make_shared<Iterator>(iterate(args[0]));
    auto first = keyword            ? expression(call.getKeywords()[0].getValue())
                 : args.size() == 2 ? expression(args[1])
                                    : integerConst(0);
    if (!isPlainInt(first.type)) decline("enumerate from something else than an int");
    auto counter = temporary();
    assign(counter, integer(asInt(first)));
    if (inner->unrolled) {
      Iterator result{.unrolled = true};
      for (size_t i = 0; i < inner->items.size(); i++) {
        result.items.push_back(
            tupleOf({integer(iop(Op::ADD_CHECKED, asInt(first), constI(i), "enumerate beyond 64 bits")), inner->items[i]}));
      }
      return result;
    }
    return {.hasNext = inner->hasNext,
            .next =
                [=, this] {
                  auto at = read(counter);
                  assign(counter, integer(iop(Op::ADD_CHECKED, at.leaves[0], constI(1), "enumerate beyond 64 bits")));
                  return tupleOf({at, inner->next()});
                },
            .length = inner->length};
  }
  if (call.getKeywords().size()) decline("keywords of " + *name + " are not compiled");
  if (*name == "zip") return iterateZip(args);
  if (args.size() != 1) decline("this use of reversed is not compiled");
  auto of = expression(args[0]);
  if (types.is(of.type, Kind::RANGE)) return iterateRange(of, true);
  if (types.is(of.type, Kind::LIST)) return iterateIndexed(of, true);
  decline("reversed of " + types.show(of.type) + " is not compiled");
}

FunctionElaborator::Iterator FunctionElaborator::iterateZip(Expressions args) {
  if (args.size() == 0) decline("zip of nothing");
  std::vector<Iterator> inner;
  for (auto arg : args) inner.push_back(iterate(arg));
  if (std::all_of(inner.begin(), inner.end(), [](auto& one) { return one.unrolled; })) {
    Iterator result{.unrolled = true};
    auto count = inner[0].items.size();
    for (auto& one : inner) count = std::min(count, one.items.size());
    for (size_t i = 0; i < count; i++) {
      std::vector<Value> items;
      for (auto& one : inner) items.push_back(one.items[i]);
      result.items.push_back(tupleOf(items));
    }
    return result;
  }
  for (auto& one : inner) {
    if (one.unrolled) one = iterateTuple(tupleOf(one.items));
  }
  auto all = std::make_shared<std::vector<Iterator>>(std::move(inner));
  return {.hasNext =
              [=, this] {
                auto more = (*all)[0].hasNext();
                for (size_t i = 1; i < all->size(); i++) more = bop(Op::BAND, more, (*all)[i].hasNext());
                return more;
              },
          .next =
              [=, this] {
                std::vector<Value> items;
                for (auto& one : *all) items.push_back(one.next());
                return tupleOf(items);
              }};
}

// A tuple beside what is as long as it is while running.
FunctionElaborator::Iterator FunctionElaborator::iterateTuple(const Value& tuple) {
  auto at = temporary();
  assign(at, integerConst(0));
  auto count = constI(types[tuple.type].parts.size());
  return {.hasNext = [=, this] { return icmp(Compare::LT, read(at).leaves[0], count); },
          .next =
              [=, this] {
                auto index = read(at).leaves[0];
                assign(at, integer(iop(Op::ADD, index, constI(1))));
                return tupleAt(tuple, index);
              },
          .length = count};
}

FunctionElaborator::Iterator FunctionElaborator::iterateValue(const Value& iterable) {
  if (isPoint(iterable)) typeError("iteration over an array of no dimensions");
  auto& data = types[iterable.type];
  switch (data.kind) {
    case Kind::RANGE: return iterateRange(iterable, false);
    case Kind::LIST:
    case Kind::ARRAY: return iterateIndexed(iterable, false);
    case Kind::TUPLE: {
      if (data.parts.size() > UNROLL_MAX) decline("a loop over a tuple of more than 8 items is not compiled");
      Iterator result{.unrolled = true};
      auto count = data.parts.size();
      for (size_t i = 0; i < count; i++) result.items.push_back(tupleItem(iterable, i));
      return result;
    }
    default: decline("a loop over " + types.show(iterable.type) + " is not compiled");
  }
}

FunctionElaborator::Iterator FunctionElaborator::iterateRange(const Value& range, bool reversed) {
  auto start = range.leaves[0], stop = range.leaves[1], step = range.leaves[2];
  auto current = temporary();
  if (range.constInt == 1 && !reversed) {
    assign(current, integer(start));
    auto length =
        emit(Op::SELECT, {icmp(Compare::LT, start, stop), iop(Op::SUB, stop, start), constI(0)}, {.prim = Prim::I});
    return {.hasNext = [=, this] { return icmp(Compare::LT, read(current).leaves[0], stop); },
            .next =
                [=, this] {
                  auto at = read(current);
                  assign(current, integer(iop(Op::ADD, at.leaves[0], constI(1))));
                  return at;
                },
            .length = length};
  }
  auto count = length(range).leaves[0];
  auto left = temporary();
  assign(left, integer(count));
  auto by = step;
  if (reversed) {
    assign(current, integer(iop(Op::ADD, start, iop(Op::MUL, iop(Op::SUB, count, constI(1)), step))));
    by = iop(Op::SUB, constI(0), step);
  } else {
    assign(current, integer(start));
  }
  return {.hasNext = [=, this] { return icmp(Compare::GT, read(left).leaves[0], constI(0)); },
          .next =
              [=, this] {
                auto at = read(current);
                assign(current, integer(iop(Op::ADD, at.leaves[0], by)));  // past the last one it may wrap: nobody reads it
                assign(left, integer(iop(Op::SUB, read(left).leaves[0], constI(1))));
                return at;
              },
          .length = count};
}

FunctionElaborator::Iterator FunctionElaborator::iterateIndexed(const Value& sequence, bool reversed) {
  bool isList = types.is(sequence.type, Kind::LIST);
  auto size = [=, this] { return isList ? listLength(sequence) : arrayDim(sequence, 0); };
  auto load = [=, this](ValueId index) { return isList ? listLoad(sequence, index) : arrayItem(sequence, index); };
  auto at = temporary();
  auto length = size();
  if (!reversed) {
    assign(at, integerConst(0));
    return {.hasNext = [=, this] { return icmp(Compare::LT, read(at).leaves[0], size()); },
            .next =
                [=, this] {
                  auto index = read(at).leaves[0];
                  assign(at, integer(iop(Op::ADD, index, constI(1))));
                  return load(index);
                },
            .length = length};
  }
  assign(at, integer(iop(Op::SUB, length, constI(1))));
  return {.hasNext =
              [=, this] {
                auto index = read(at).leaves[0];
                return bop(Op::BAND, icmp(Compare::GE, index, constI(0)), icmp(Compare::LT, index, size()));
              },
          .next =
              [=, this] {
                auto index = read(at).leaves[0];
                assign(at, integer(iop(Op::SUB, index, constI(1))));
                return load(index);
              },
          .length = length};
}

void FunctionElaborator::generators(capnp::List<schema::Generator>::Reader generators, uint at,
                                    const std::function<void()>& body) {
  if (at == generators.size()) return body();
  auto generator = generators[at];
  forEach(
      generator.getIterable(),
      [&](const Value& item, Label& again) {
        assignTo(generator.getTarget(), item);
        for (auto test : generator.getConditions()) {
          leaveUnless(condition(test), again);
        }
        this->generators(generators, at + 1, body);
      },
      Of::PROGRAM);
}

Value FunctionElaborator::comprehension(Expression expression) {
  auto parts = expression.getComprehension();
  if (parts.getLazy()) decline("a generator expression is compiled only inside sum, any, all, min and max");
  auto list = newList(expression.getId(), constI(0));
  generators(parts.getGenerators(), 0, [&] { push(list, this->expression(parts.getElement())); });
  return list;
}

}  // namespace epochly::program

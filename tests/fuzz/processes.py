"""Loops of random shapes at level 3 beside plain Python: the same value or exception, the same prints, the same changes of
arguments and globals, the same objects where items come back.

python -m tests.fuzz.processes SEED COUNT prints each program that differs.
"""
import argparse
import contextlib
import importlib.util
import io
import random
import sys
import tempfile
from pathlib import Path

from tests.support import level3

PREAMBLE = '''
import math

counter = {"calls": 0}
LIMITS = [3, 5, 8]


def text(value):
    return f"<{value}>"


def mixed(value):
    return sum(map(ord, str(value)))


def fails(value, at):
    if mixed(value) % 11 == at:
        raise ValueError(value, at)
    return text(value)


def counted(value):
    counter["calls"] += 1
    return text(value)


def changed(value):
    if isinstance(value, list):
        value.append(0)
    return text(value)


def owned(value):
    made = [value]
    made.append(text(value))
    return made


def grown(value):
    value += value
    return value


def halved(value):
    if isinstance(value, int):
        value //= 2
    return text(value)


def shown(value):
    print("shown", value)
    return text(value)


def limited(value):
    return max(LIMITS) if value == LIMITS else text(value)


def pair(value):
    return value, text(value)


def itself(value):
    return value


def stops(value):
    if mixed(value) % 7 == 3:
        raise StopIteration(value)
    return text(value)


class Row:
    def __init__(self, value):
        self.value, self.seen = value, 0

    def look(self):
        return text(self.value)

    def touch(self):
        self.seen += 1
        return text(self.value)

    def __repr__(self):
        return f"Row({self.value}, {self.seen})"

    def __eq__(self, other):
        return isinstance(other, Row) and self.value == other.value

    def __hash__(self):
        return self.value
'''

VALUES = ("text({0})", "fails({0}, 3)", "counted({0})", "changed({0})", "owned({0})", "shown({0})", "limited({0})", "pair({0})",
          "itself({0})", "str({0})", "({0}, text({0}))", "[text(k) for k in range(3)]", "stops({0})", "grown({0})",
          "halved({0})", "len(text({0}))",
          "scale * len(text({0}))", "sorted(text({0}), key=lambda c: (c, text({0})))")
NUMBERS = ("len(text({0}))", "len(str({0})) * 0.1", "len(owned({0}))", "len(fails({0}, 4))", "scale")
ITEMS = ("list(range({n}))", "range({n})", "[[i] for i in range({n})]", "[(i, [i]) for i in range({n})]",
         "{{i: text(i) for i in range({n})}}", "[Row(i) for i in range({n})]", "'{n}' * {n}", "(i * 3 for i in range({n}))",
         "[0.1 * i for i in range({n})]", "tuple(range({n}))")
COUNTS = (0, 1, 2, 3, 7, 20, 60)


class Maker:
    """One program: text of a module whose `work(items, out, scale)` loops."""

    def __init__(self, random_):
        self.random = random_

    def one_of(self, choices):
        return self.random.choice(choices)

    def chance(self, share):
        return self.random.random() < share

    def value(self, name="item"):
        return self.one_of(VALUES).format(name)

    def number(self, name="item"):
        return self.one_of(NUMBERS).format(name)

    def program(self):
        lines = ["def work(items, out, scale):", "    result = []"]
        for _ in range(self.one_of((1, 1, 2))):
            lines += ["    " + line for line in self.one_of((self.comprehension, self.mapped, self.statement, self.statement))()]
        lines.append("    return result")
        return "\n".join([PREAMBLE, "", *lines, ""])

    def arguments(self):
        return self.one_of(ITEMS).format(n=self.one_of(COUNTS)), self.one_of(("1", "0.3", "2"))

    def header(self):
        return self.one_of((("item", "items"), ("item", "items"), ("at, item", "enumerate(items)"),
                            ("item, twin", "zip(items, items)"), ("(item)", "list(items)")))

    def comprehension(self):
        target, iterable = self.header()
        condition = f" if {self.number()} > 2" if self.chance(0.3) else ""
        loop = f"for {target} in {iterable}{condition}"
        return [self.one_of((
            f"result += [{self.value()} {loop}]",
            f"result.append({{{self.number()}: {self.value()} {loop}}})",
            f"result.append(sum({self.number()} {loop}))",
            f"result.append(tuple({self.value()} {loop}))",
            f"result.append(len({{repr({self.value()}) {loop}}}))",
            f"result.append([[{self.value()} for k in range(2)] {loop}])",
        ))]

    def mapped(self):
        function = self.one_of(("text", "shown", "itself", "grown", "halved", "counted", "changed", "owned", "str", "repr", "pair"))
        return [self.one_of((f"result += list(map({function}, items))", f"result += map({function}, items, )",
                             f"result += [each for each in map({function}, items)]"))]

    def statement(self):
        target, iterable = self.header()
        lines = [f"for {target} in {iterable}:"]
        lines += ["    " + line for _ in range(self.one_of((1, 1, 2, 3))) for line in self.effect()]
        if self.chance(0.15):
            lines += ["else:", "    result.append('else')"]
        if self.chance(0.15):
            lines.append("result.append(repr(locals().get('item')))" if self.chance(0.2) else "result.append('after')")
        return ["total, words, by_key, groups, last = 0, '', {}, {}, None", *lines,
                "result.append((total, words, by_key, groups, last))"]

    def effect(self):
        return self.one_of((
            [f"out.append({self.value()})"], [f"result.append({self.value()})"], [f"by_key[{self.number()}] = {self.value()}"],
            [f"groups.setdefault({self.number()}, []).append({self.value()})"], [f"total += {self.number()}"],
            [f"words += repr({self.value()})"], [f"last = {self.value()}"], [f"total = max(total, {self.number()})"],
            [f"if {self.number()} > 3:", "    continue"], [f"print({self.value()})"], [f"print({self.value()}, total)"],
            ["try:", f"    value = {self.value()}", "except ValueError as error:", "    value = error.args",
             "out.append(value)"],
            [f"value = {self.value()}", "out.append((value, item))"], [f"if {self.number()} > 8:", "    break"],
            ["if isinstance(item, Row):", f"    out.append(item.{self.one_of(('look', 'touch'))}())"],
            ["if isinstance(item, list):", "    item.append(1)"], ["item += item"], ["value = item", "value += item"],
            [f"scale = {self.number()}"],
            ["for inner in range(3):", f"    out.append({self.value('inner')})"], ["out.extend(owned(item))"],
            ["def later():", "    return text(item)", "out.append(later())"], ["counter['calls'] += 1"],
        ))


def outcome(module, function, items_text, scale):
    """Everything that a call leaves behind, to be compared."""
    items, out = eval(items_text, vars(module)), ["first"]
    module.counter["calls"] = 0
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            value = function(items, out, eval(scale))
            ended = "returned", repr(value), sharing(value, items)
        except Exception as error:
            ended = "raised", type(error).__name__, repr(error.args)
    kept = repr(items) if not hasattr(items, "__next__") else ""
    return ended, repr(out), sharing(out, items), kept, module.counter["calls"], printed.getvalue().splitlines()


def sharing(value, items):
    """Which items are in a list, as the very objects: of those whose identity is anybody's concern."""
    if not isinstance(items, list):
        return ()
    known = {id(item): at for at, item in enumerate(items) if isinstance(item, list) or type(item).__name__ == "Row"}
    return tuple(known.get(id(each)) for each in value) if isinstance(value, list) else ()


def load(text, folder, name):
    path = Path(folder) / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def compare(seed, folder):
    """(level that ran, None), or (level, what differs) with the program. The folder is one that can be imported from."""
    import epochly

    maker = Maker(random.Random(seed))
    text, (items, scale) = maker.program(), maker.arguments()
    name = f"epochly_fuzz_processes_{seed}"
    module = load(text, folder, name)
    try:
        optimized = epochly.optimize(module.work, level=3)
        wanted = outcome(module, module.work, items, scale)
        found = outcome(module, optimized, items, scale)
        report = epochly.report(optimized)
        if wanted == found:
            return report.level, None
        return report.level, f"{text[len(PREAMBLE):]}\nitems = {items}, scale = {scale}\nplain: {wanted}\nlevel 3: {found}\n" \
                             f"declined: {report.declined}"
    finally:
        del sys.modules[name]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int)
    options = parser.parse_args(arguments)
    levels, differ = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)  # before there are processes: they import from where this one does
        level3.started()
        level3.send_everything()
        for seed in range(options.seed, options.seed + options.count):
            level, difference = compare(seed, folder)
            levels[level] = levels.get(level, 0) + 1
            if difference is not None:
                differ += 1
                print(f"seed {seed}: {difference}\n")
    print(f"{options.count} programs, {differ} differ; by the level that ran: {dict(sorted(levels.items()))}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

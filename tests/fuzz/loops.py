"""Plain CPython against level 1, and against bodies of contexts at levels 1 and 2, on random loops.

Compared are value, exception, output, variables, and how often each iteration ran.

    python -m tests.fuzz.loops --seconds 60
    python -m tests.fuzz.loops --seed 1234        one program, shown

Iterations sleep for random times, raise, print, and change what they are given.
"""

import argparse
import collections
import contextlib
import io
import linecache
import queue
import random
import sys
import time

import epochly
from epochly.loops import plan, threads

# Long enough that threads are worth it and iterations overtake each other, short enough for many programs.
SLEEP_SECONDS_MAX = 0.002


class Failed(Exception):
    pass


class World:
    """What the programs call. Plain functions: what a method does to its object would be in the way of every loop."""

    def __init__(self, seed, fails):
        calls = self.calls = queue.SimpleQueue()

        def wait(value, key=0):
            """Its value and its time depend on its arguments alone."""
            calls.put((value, key))
            rng = random.Random(f"{seed} {value} {key}")
            time.sleep(rng.random() * SLEEP_SECONDS_MAX)
            if rng.random() < fails:
                raise Failed(value, key)
            return rng.randrange(-9, 10)

        def quick(value):
            return value * 7 % 5

        @contextlib.contextmanager
        def managed(value):
            yield wait(value, "managed")

        self.names = {"g": wait, "quick": quick, "managed": managed, "Failed": Failed}

    def counted(self):
        """{call: how often} since the last look."""
        return collections.Counter(self.calls.get() for _ in range(self.calls.qsize()))


class Program:
    """One function with a loop or two, as text. Variables are bound before, so that each has a value to compare."""

    def __init__(self, seed, level=None):
        """level: of the context around its loops; None: there is none."""
        self.rng = random.Random(seed)
        self.lines = []
        self.level = level
        self.simple = NUMERIC if level == 2 else SIMPLE

    def text(self):
        names = "out, seen, table, groups, counts, total, best, words, at, x, v, w, prev"
        self.line(0, "def f(items):")
        for bound in ("out, seen, table, groups = [], set(), {}, {}", "counts = dict.fromkeys(range(-20, 40), 0)",
                      "total, best, words, at, x, v, w, prev = 0, -99, '', None, None, None, None, 0"):
            self.line(1, bound)
        self.line(1, "try:")
        depth = 2
        if self.level is not None:
            self.line(2, "with context():")
            depth = 3
        for _ in range(self.rng.choice((1, 1, 2))):
            self.rng.choice((self.statement_loop, self.statement_loop, self.expression_loop))(depth)
        self.line(1, "except Failed as error:")
        self.line(2, "out.append(('failed', error.args))")
        self.line(1, f"return {names}")
        return "\n".join(self.lines) + "\n"

    def line(self, depth, text):
        self.lines.append("    " * depth + text)

    def expression_loop(self, depth):
        if self.level == 2:
            self.line(depth, self.rng.choice(NUMERIC_EXPRESSIONS))
            return
        element = self.rng.choice(ELEMENTS)
        condition = self.rng.choice(("", "", " if g(x, 'if') > 0", " if x % 2"))
        body = f"{element} for at, x in enumerate(items){condition}"
        if self.rng.random() < 0.2:
            body = f"g(x, at) for x in items for at in range({self.rng.randrange(4)})"
        self.line(depth, self.rng.choice(EXPRESSIONS).format(body))

    def statement_loop(self, depth):
        self.line(depth, self.rng.choice(("for at, x in enumerate(items):", "for at, x in enumerate(items):", "for x in items:",
                                          "for at, x in zip(range(99), items):")))
        if "at" not in self.lines[-1]:
            self.line(depth + 1, "at = x")
        self.line(depth + 1, "v = x * 7 % 5 - at" if self.level == 2 else "v = g(x, at)")
        for _ in range(self.rng.randrange(1, 6)):
            self.statement(depth + 1)
        if self.rng.random() < 0.15:
            self.line(depth, "else:")
            self.line(depth + 1, "out.append('else')")

    def statement(self, depth):
        kind = self.rng.random()
        if kind < 0.12 and depth < 5:
            tests = ("if v % 2:", "if x > 2:", "if x > 4:" if self.level == 2 else "if g(x, 'test') > 0:")
            self.line(depth, self.rng.choice(tests))
            self.statement(depth + 1)
            if self.rng.random() < 0.5:
                self.line(depth, "else:")
                self.statement(depth + 1)
        elif kind < 0.2 and depth < 5 and self.level != 2:
            self.line(depth, "try:")
            self.line(depth + 1, "w = g(v, 'try')")
            self.line(depth, "except Failed:")
            self.line(depth + 1, "w = -1")
            self.line(depth, "out.append(w)")
        elif kind < 0.26 and depth < 5 and self.level != 2:
            self.line(depth, "with managed(x) as w:")
            self.statement(depth + 1)
        elif kind < 0.32 and depth < 5:
            self.line(depth, f"for w in range({self.rng.randrange(3)}):")
            self.statement(depth + 1)
        else:
            self.line(depth, self.rng.choice(self.simple))


NUMERIC = (
    "total += v", "total -= x * at", "best = max(best, v)", "out.append(v)", "out.append(x * at)", "w = v % 3", "v += at",
    "prev = v", "total += prev", "total = total * 3 % 1000 + v", "continue", "if v > 7: continue", "if total > 90: break", "pass",
    "best = total", "items[0] = x", "w = x", "total *= 7", "total //= x",
)
NUMERIC_EXPRESSIONS = (
    "out = [x * x for x in items]", "out = [x * at for x in items for at in range(3)]", "total = sum(x for x in items)",
    "best = max(x * 3 for x in items)", "out = [x for x in items if x % 2]",
)
ELEMENTS = ("g(x)", "(x, g(x, at))", "g(x) + g(x, 1)", "[g(y) for y in range(x % 3)]", "g(x) if x % 2 else x")
EXPRESSIONS = (
    "out = [{}]", "out = sorted({{str(e) for e in [{}]}})", "out = tuple({})", "out = list(map(g, items))",
    "table = {{at: g(x) for at, x in enumerate(items)}}", "total = sum(g(x) for x in items)", "best = max(map(g, [1, *items]))",
    "words = ' '.join([str(e) for e in [{}]])",
)
SIMPLE = (
    "out.append(v)", "out.append((x, v))", "out.extend([v, at])", "out.extend(y for y in range(v % 3))", "seen.add(v)",
    "table[v] = x", "table[at] = g(v)", "groups.setdefault(v % 3, []).append(x)", "counts[v] += 1", "counts[x] -= v",
    "total += v", "total += quick(x) * v", "best = max(best, v)", "words += str(v)", "words = words + 'a'", "print(at, v)",
    "print('x', x, sep='')", "w = [v]; w.append(at); out.append(w)", "w = [v]; out.extend(w); w.append(at)",
    "w = [g(y) for y in range(v % 3)]; out.append(w)", "v = quick(v)", "v += 1", "w = g(x, 'w')", "out.append(w)", "prev = v",
    "out.append(prev)", "total += prev", "pass", "out.append(total)", "seen.add(x) if x not in seen else None", "continue",
    "if v > 7: continue", "if v > 8: break", "g(v, 'call')",
)


def load(source, seed, world):
    name = f"<loops {seed}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"__name__": "fuzz", **world.names}
    exec(compile(source, name, "exec"), space)
    return space["f"]


def outcome(function, items, world):
    """(how it ended, value or error, output, calls made); after a failure the calls are not known: some had begun."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            kind, value = "value", function(items)
        except Exception as error:
            kind, value = "raised", (type(error), str(error))
    counted = world.counted()
    failed = kind == "raised" or "failed" in repr(value)
    return kind, repr(value), printed.getvalue(), None if failed else counted


def run(seed, tally, out):
    rng = random.Random(seed)
    level = rng.choice((None, None, 1, 2))
    source = Program(seed, level).text()
    world = World(seed, rng.choice((0.0, 0.0, 0.02)))
    items = [rng.randrange(0, 9) for _ in range(rng.choice((0, 1, 2, 5, 20)))]
    tally["programs"] += 1
    function = load(source, seed, world)
    contexts = []

    def entered():
        contexts.append(epochly.optimize_context(level=level))
        return contexts[-1]

    function.__globals__["context"] = contextlib.nullcontext
    wanted = outcome(function, list(items), world)
    function.__globals__["context"] = entered
    for _ in range(2):  # the second knows what the first has learned
        called = function
        if level is None:
            called, made = plan.twin_of(function, threads.spread)
            if called is None:
                break
        got = outcome(called, list(items), world)
        tally["calls"] += 1
        if got != wanted:
            tally["mismatches"] += 1
            print(f"MISMATCH seed {seed}, level {level}, items {items}\n{source}\nplain:  {wanted}\nspread: {got}\n", file=out)
            return
    else:
        taken = made.overlapped if level is None else contexts[0].ran
        tally["spread programs"] += bool(taken)
    linecache.cache.pop(f"<loops {seed}>", None)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="one program, shown")
    options = parser.parse_args(arguments)
    tally = dict.fromkeys(("programs", "spread programs", "calls", "mismatches"), 0)
    if options.seed is not None:
        level = random.Random(options.seed).choice((None, None, 1, 2))
        print(Program(options.seed, level).text())
        run(options.seed, tally, sys.stdout)
    else:
        first = seed = time.time_ns() % 10**12
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            run(seed, tally, sys.stdout)
            seed += 1
        print(f"seeds {first} to {seed - 1}")
    print(", ".join(f"{value} {name}" for name, value in tally.items()))
    return 1 if tally["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Random loops over arrays and lists, as level 3 looks for them: maps, stencils, sums, extremes, and what looks like them."""
import random

INDENT = "    "


class LoopGenerator:
    """A function f(x, y, m, n): x and y arrays of one dimension, m of two, n an int."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def program(self):
        lines = ["import math", "def f(x, y, m, n):", "    a, b, k, t, w, z, h = 0.5, 1.0, 0, 0.0, -1, [], [0] * 7"]
        for _ in range(self.random.randint(1, 3)):
            lines += self.loop(1, ["i", "j"])
        lines.append("    return a, b, k, t, w, z, h")
        return "\n".join(lines) + "\n", ["x", "y", "m", "n"]

    def pick(self, *choices):
        return self.random.choice(choices)

    def loop(self, depth, names):
        name, inner = names[0], names[1:]
        start = self.pick("0", "1", "2", "-2", "n")
        over = self.pick(f"range({start}, len(x))", f"range({start}, len(x) - 2)", "range(n)", f"range(len(x) - 1, {start}, -1)",
                         f"range({start}, len(y), {self.pick(1, 2, 3)})", f"range({start}, len(y), n)")
        if depth > 1:
            over = self.pick("range(m.shape[1])", "range(1, m.shape[1] - 1)", "range(n)", "range(i)")
        lines = [f"{INDENT * depth}for {name} in {over}:"]
        for _ in range(self.random.randint(1, 3)):
            if inner and self.random.random() < 0.35:
                lines += self.loop(depth + 1, inner)
            else:
                lines += self.statement(depth + 1, name)
        return lines

    def statement(self, depth, name):
        space = INDENT * depth
        value = self.value(name)
        plain = [f"y[{self.index(name)}] = {value}", f"y[{name}] += {value}", f"x[{self.index(name)}] = {value}",
                 f"m[{self.pair(name)}] = {value}", f"m[{self.pair(name)}] += {value}", f"a = {value}", f"a += {value}",
                 f"t += {value}", f"t -= {value}", f"b *= {self.pick('0.5', '1.25', value)}", f"k += {name} * {self.pick(1, 3, 7)}",
                 f"k = max(k, {name})",
                 f"b = max(b, {value})", f"a = min(a, {value})", f"z.append({value})", "z.append(0.5)",
                 f"h[{name} % 7] += {self.pick(1, 2, 3)}",
                 f"h[{self.pick(name, f'{name} % 5 - 4', 'k % 3')}] += 1",
                 f"c = {value}; y[{name}] = c * c", f"t += math.sin({value})"]
        text = self.pick(*plain)
        if self.random.random() < 0.25:
            test = self.pick(f"x[{self.index(name)}] > 0.2", f"{name} % 3 == 1", f"y[{name}] > a", f"{value} > b")
            body = self.pick(text, "continue", f"c = {value}", "break") if self.random.random() < 0.3 else text
            return [f"{space}if {test}:", f"{space}{INDENT}{body}"]
        if self.random.random() < 0.12:
            where = self.pick([], [f"{space}{INDENT}w = {name}"])
            return [f"{space}c = {value}", f"{space}if c {self.pick('>', '>=')} b:", f"{space}{INDENT}b = c", *where]
        return [f"{space}{text}"]

    def index(self, name):
        return self.pick(name, name, name, f"{name} - 1", f"{name} + 1", f"{name} // 2", f"2 * {name}", f"-{name}", "n", "0",
                         f"len(x) - 1 - {name}", f"{name} % 5")

    def pair(self, name):
        return self.pick(f"{name}, 0", f"0, {name}", "i, j", "j, i", f"{name}, {self.index(name)}", f"{name} - 1, 1", f"n, {name}")

    def value(self, name):
        return self.pick(f"x[{self.index(name)}]", f"y[{self.index(name)}]", f"m[{self.pair(name)}]", f"{name} * 0.5", "a", "b",
                         f"x[{name}] * y[{name}]", f"(x[{self.index(name)}] + x[{self.index(name)}]) * 0.5", "t",
                         f"math.sqrt(abs(x[{name}]))", f"float(k + {name})", "1.5")


def arguments(source, kinds, wild):
    """x, y, m, n; wild: overlapping, strided, of other lengths, with infinities."""
    import numpy as np

    size = source.choice((12, 20, 33)) if wild else 24
    memory = np.array([source.uniform(-2, 2) for _ in range(6 * size)])
    x, y = memory[:size], memory[2 * size:3 * size]
    m = np.array([source.uniform(-1, 1) for _ in range(size * size)]).reshape(size, size)
    if wild:
        x, y = source.choice([(x, y), (memory[:size], memory[1:size + 1]), (x, x), (memory[::2][:size], memory[1::2][:size]),
                              (memory[size - 1::-1][:size], y), (x, memory[2 * size:3 * size - 1])])
        m = source.choice([m, m.T, m[::-1], np.asfortranarray(m), m[:, ::-1]])
        if source.random() < 0.2:
            x[source.randrange(size)] = source.choice((float("inf"), float("nan"), 1e308))
    return [x, y, m, source.choice((3, 5, size - 1)) if wild else 5]

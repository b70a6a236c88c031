"""Random programs of the language that level 2 compiles, and arguments for them with the edge values.

Programs end: loops run over short ranges and lists, recursion goes down by one. They may raise; that has to match too.
"""

import random

INTS = [
    0, 1, -1, 2, 3, 5, 7, -3, 10, 63, 64, -64, 255, 2**31, -(2**31), 2**53, 2**53 + 1, -(2**53) - 1, 2**62,
    2**63 - 1, -(2**63), 10**15,
]
FLOATS = [
    0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 1 / 3, 3.0, 7.0, -7.0, 1e16, 2.0**53, 2.0**63, -(2.0**63), 1e300, -1e300,
    1e-300, 5e-324,
    2.2250738585072014e-308, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan"), 0.1, 123.456, 4.0, 9.0,
]
MATH1 = [
    "sqrt", "exp", "sin", "cos", "log", "floor", "ceil", "fabs", "tanh", "atan", "isnan", "isinf", "trunc", "log10", "log2",
    "tan", "expm1",
]


TEXTS = ["", "fast", "slow", "a", "Ω", "A"]


class Generator:
    """One program. Variables have an intended type (i, f, b, s: a str, l, n: lists of floats or ints), which is not always kept."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.lines = []
        self.depth = 0
        self.loops = 0
        self.fresh = 0
        self.variables = {}
        self.readonly = set()
        self.has_helper = False

    def pick(self, *choices):
        return self.r.choice(choices)

    def chance(self, p):
        return self.r.random() < p

    def emit(self, text):
        self.lines.append("    " * (self.depth + 1) + text)

    def names(self, kind):
        return [n for n, k in self.variables.items() if k == kind]

    # ---- expressions ----

    def number(self, deep=3):
        return self.float_(deep) if self.chance(0.5) else self.int_(deep)

    def int_(self, deep=3):
        known = self.names("i")
        if deep <= 0 or self.chance(0.25):
            if known and self.chance(0.75):
                return self.r.choice(known)
            return repr(self.r.choice(INTS[:12] if self.chance(0.8) else INTS[:-3])).replace("-", "-")
        kind = self.r.randrange(14)
        a, b = (lambda: self.int_(deep - 1)), (lambda: self.int_(deep - 1))
        if kind < 5:
            return f"({a()} {self.pick('+', '-', '*', '+', '-')} {b()})"
        if kind == 5:
            return f"({a()} {self.pick('//', '%')} {b()})"
        if kind == 6:
            return f"({a()} {self.pick('&', '|', '^')} {b()})"
        if kind == 7:
            return f"({a()} {self.pick('<<', '>>')} {self.pick('1', '2', '5', '62', f'({b()}) % 70', f'({b()}) % 70 - 3')})"
        if kind == 8:
            return f"(({a()} % 10007) ** {self.pick('2', '3', '0', '1', '5', '-1')})"
        if kind == 9:
            return f"{self.pick('int', 'round', 'abs', 'int')}({self.number(deep - 1)})"
        if kind == 10:
            return f"{self.pick('min', 'max')}({a()}, {b()})"
        if kind == 11:
            return f"({a()} if {self.bool_(deep - 1)} else {b()})"
        if kind == 12:
            lists = self.names("l") + self.names("n")
            return f"len({self.r.choice(lists)})" if lists else f"(-{a()})"
        ints = self.names("n")
        return f"{self.r.choice(ints)}[{self.index(deep - 1)}]" if ints else f"(~{a()})"

    def index(self, deep):
        return self.pick("0", "-1", "1", self.int_(deep), f"{self.int_(deep)} % 3")

    def float_(self, deep=3):
        known = self.names("f")
        if deep <= 0 or self.chance(0.2):
            if known and self.chance(0.75):
                return self.r.choice(known)
            value = self.r.choice(FLOATS)
            return repr(value) if value == value and abs(value) != float("inf") else "1.25"
        kind = self.r.randrange(13)
        a = lambda: self.number(deep - 1) if self.chance(0.3) else self.float_(deep - 1)  # noqa: E731
        if kind < 5:
            return f"({a()} {self.pick('+', '-', '*', '/', '+', '*')} {a()})"
        if kind == 5:
            return f"({a()} {self.pick('//', '%')} {a()})"
        if kind == 6:
            return f"({a()} ** {self.pick('2', '0.5', '3', '-1', '1.5', '2.0', f'(({a()}) % 7.5)')})"
        if kind == 7:
            return f"math.{self.r.choice(MATH1)}({a()})"
        if kind == 8:
            return f"{self.pick('float', 'abs', 'float')}({a()})"
        if kind == 9:
            return f"{self.pick('min', 'max')}({a()}, {a()}{self.pick('', ', ' + a())})"
        if kind == 10:
            return f"({a()} if {self.bool_(deep - 1)} else {a()})"
        if kind == 11 and self.names("l"):
            name = self.r.choice(self.names("l"))
            return self.pick(f"{name}[{self.index(deep - 1)}]", f"sum({name})", f"{self.pick('min', 'max')}({name})")
        if kind == 12 and self.has_helper:
            return f"helper({a()}, {a()})"
        return f"({a()} - {a()})"

    def bool_(self, deep=2):
        known = self.names("b")
        if known and self.chance(0.15):
            return self.r.choice(known)
        if deep <= 0:
            return self.pick("True", "False", f"{self.number(0)} < {self.number(0)}")
        texts = self.names("s")
        if texts and self.chance(0.3):
            return self.text_test(self.r.choice(texts))
        kind = self.r.randrange(7)
        if kind < 3:
            return f"({self.number(deep - 1)} {self.pick('<', '<=', '>', '>=', '==', '!=')} {self.number(deep - 1)})"
        if kind == 3:
            return f"({self.bool_(deep - 1)} {self.pick('and', 'or')} {self.bool_(deep - 1)})"
        if kind == 4:
            return f"(not {self.bool_(deep - 1)})"
        if kind == 5:
            return f"({self.number(1)} < {self.number(1)} {self.pick('<=', '<', '!=')} {self.number(1)})"
        lists = self.names("l")
        if not lists:
            return f"bool({self.number(1)})"
        return f"{self.pick('any', 'all')}(v > {self.float_(0)} for v in {self.r.choice(lists)})"

    def text(self):
        known = self.names("s")
        return self.r.choice(known) if known and self.chance(0.5) else repr(self.r.choice(TEXTS))

    def text_test(self, name):
        other = self.pick(self.text(), self.text(), self.text(), self.number(0), "None")
        return self.pick(f"({name} == {other})", f"({name} != {other})", f"({other} == {name})", f"({name} is None)",
                         f"({name} in ('fast', {self.text()}))", f"bool({name})")

    def small(self, value):
        """Inside loops integers that are multiplied by themselves would fill the memory."""
        return f"({value}) % 1000003" if self.loops and ("*" in value or "<<" in value) else value

    # ---- statements ----

    def block(self, count):
        self.depth += 1
        before, written = dict(self.variables), len(self.lines)
        for _ in range(count):
            self.statement()
        if len(self.lines) == written:
            self.emit("pass")
        # Most variables first assigned here are forgotten; the rest may be read unbound.
        if self.chance(0.85):
            self.variables = {n: k for n, k in self.variables.items() if n in before}
        self.depth -= 1

    def target(self, kind):
        known = [n for n in self.names(kind) if n not in self.readonly]
        if known and self.chance(0.6):
            return self.r.choice(known)
        self.fresh += 1
        return f"{kind}{self.fresh}"

    def statement(self):
        kind = self.r.randrange(16)
        if kind < 4:
            k = self.pick("i", "f", "f", "b")
            value = {"i": self.int_, "f": self.float_, "b": self.bool_}[k]()
            name = self.target(k)
            self.emit(f"{name} = {self.small(value) if k == 'i' else value}")
            self.variables[name] = k
        elif kind < 7:
            numbers = [n for n in self.names("i") + self.names("f") if n not in self.readonly]
            if numbers:
                name = self.r.choice(numbers)
                is_int = self.variables[name] == "i"
                value = self.small(self.int_(2)) if is_int and self.chance(0.8) else self.float_(2)
                self.emit(f"{name} {self.pick('+', '-', '+', '-') if self.loops else '*'}= {value}")
        elif kind == 7 and self.depth < 3:
            self.emit(f"if {self.bool_()}:")
            self.block(self.r.randint(1, 2))
            if self.chance(0.5):
                self.emit("else:")
                self.block(self.r.randint(1, 2))
        elif kind < 11 and self.depth < 3 and self.loops < 3:
            self.loop()
        elif kind == 11:
            name = self.target("l" if self.chance(0.7) else "n")
            self.list_(name)
        elif kind == 12:
            lists = self.names("l") + self.names("n")
            if lists:
                name = self.r.choice(lists)
                value = self.float_(1) if self.variables[name] == "l" else self.int_(1)
                if self.chance(0.3):
                    self.rearrange(name, value)
                elif self.chance(0.5):
                    self.emit(f"{name}[{self.index(1)}] = {value}")
                elif self.chance(0.6):
                    self.emit(f"{name}.append({value})")
                else:
                    self.emit(f"{name}[{self.index(1)}] += {value}")
        elif kind == 13 and self.chance(0.3):
            self.emit(f"if {self.bool_(1)}:")
            self.emit("    " + self.pick("raise ValueError('x')", "return None", f"return {self.number(1)}"))
        elif kind == 14:
            a, b = self.target("f"), self.target("i")
            self.emit(f"{a}, {b} = {self.float_(1)}, {self.int_(1)}")
            self.variables[a], self.variables[b] = "f", "i"
        elif kind == 15 and self.chance(0.4):
            name = self.target("s")
            self.emit(f"{name} = {self.text()}")
            self.variables[name] = "s"
        elif kind == 15 and self.chance(0.3):
            self.emit(f"assert {self.bool_(1)}")

    def rearrange(self, name, value):
        """Methods that move items. Not of a list that a loop runs over: it might never end."""
        if name in self.readonly or self.loops:
            return self.emit(f"{name}[:] = {name}[::-1]")
        other = self.r.choice([n for n, k in self.variables.items() if k == self.variables[name]])
        part = self.pick("::2", "1:", "::-1", ":-1", "5:1:-2")
        self.emit(self.pick(
            f"{name} += {other}", f"{name}.extend({other})", f"{name}.insert({self.index(1)}, {value})",
            f"{name}.pop({self.index(0)})", f"{name}.sort()", f"{name}.sort(reverse=True)", f"{name} = sorted({other})",
            f"{name} = {other}[{part}]", f"{name}[{part}] = {other}[{part}]",
        ))

    def list_(self, name):
        k = name[0] if name[0] in "ln" else "l"
        if name in self.variables:
            k = self.variables[name]
        item = self.float_ if k == "l" else self.int_
        form = self.r.randrange(5)
        if form == 0:
            text = "[" + ", ".join(item(1) for _ in range(self.r.randint(0, 4))) + "]"
        elif form == 1:
            text = f"[{item(1)}] * {self.pick('3', '0', '-1', '5')}"
        else:
            lists = self.names(k)
            over = self.r.choice(lists) if lists and self.chance(0.6) else None
            variable = f"c{self.fresh}"
            self.fresh += 1
            saved = dict(self.variables)
            self.variables[variable] = "f" if over is not None and k == "l" else "i"
            self.readonly.add(variable)
            test = f" if {self.bool_(1)}" if self.chance(0.3) else ""
            text = f"[{item(2)} for {variable} in {over or f'range({self.r.randint(0, 5)})'}{test}]"
            self.variables = saved
        self.emit(f"{name} = {text}")
        self.variables[name] = k

    def loop(self):
        self.loops += 1
        self.fresh += 1
        form = self.r.randrange(6)
        lists = self.names("l")
        saved = set(self.readonly)
        if form < 2 or not lists:
            v = f"k{self.fresh}"
            span = self.pick("5", "1, 6", "6, 0, -1", "0, 7, 2", "len_", "3")
            if span == "len_":
                ints = self.names("i")
                span = f"{self.r.choice(ints)} % 6" if ints else "4"
            self.variables[v] = "i"
            self.emit(f"for {v} in range({span}):")
        elif form == 2:
            v = f"x{self.fresh}"
            self.variables[v] = "f"
            over = self.r.choice(lists)
            self.emit(f"for {v} in {self.pick(over, f'reversed({over})', over + '.copy()')}:")
            self.readonly.update(lists)
        elif form == 3:
            v, w = f"k{self.fresh}", f"x{self.fresh}"
            self.variables[v], self.variables[w] = "i", "f"
            self.emit(f"for {v}, {w} in enumerate({self.r.choice(lists)}):")
        elif form == 4:
            v, w = f"x{self.fresh}", f"y{self.fresh}"
            self.variables[v], self.variables[w] = "f", "f"
            self.emit(f"for {v}, {w} in zip({self.r.choice(lists)}, {self.r.choice(lists)}):")
        else:
            v = f"w{self.fresh}"
            self.emit(f"{v} = {self.pick('4', '3', '6')}")
            self.emit(f"while {v} > 0{self.pick('', ' and ' + self.bool_(1))}:")
            self.depth += 1
            self.emit(f"{v} -= 1")
            self.depth -= 1
            self.variables[v] = "i"
            self.readonly.add(v)
        # Lists do not grow inside loops over lists: `for x in l: l.append(..)` would not end.
        hidden = {}
        if form in (2, 3, 4) and lists:
            for name in lists:
                hidden[name] = self.variables.pop(name)
        self.depth += 1
        if self.chance(0.25):
            self.emit(f"if {self.bool_(1)}:")
            self.emit("    " + self.pick("break", "continue"))
        self.depth -= 1
        self.block(self.r.randint(1, 3))
        self.variables.update(hidden)
        self.readonly = saved | {n for n in self.readonly if n.startswith("w")}
        self.loops -= 1

    def program(self):
        """(source, kinds of the parameters). The function is named f."""
        kinds = [self.pick("i", "f", "l", "f", "n", "b", "s") for _ in range(self.r.randint(1, 3))]
        parameters = [f"p{i}" for i in range(len(kinds))]
        header = ["import math", "K = 3", "SCALE = 0.75", ""]
        if self.chance(0.3):
            saved = self.variables
            self.variables = {"a": "f", "b": "f"}
            body = f"return {self.float_(2)}"
            if self.chance(0.3):
                body = f"if {self.bool_(1)}:\n        return {self.number(1)}\n    {body}"
            header += ["def helper(a, b=2.0):", f"    {body}", ""]
            self.variables = saved
            self.has_helper = True
        self.variables = dict(zip(parameters, kinds))
        for _ in range(self.r.randint(2, 6)):
            self.statement()
        known = list(self.variables)
        two = ", ".join(self.r.choice(known) for _ in range(2))
        self.emit("return " + self.pick(*known, f"({two})", self.number(2), self.number(2)))
        return "\n".join(header + [f"def f({', '.join(parameters)}):"] + self.lines) + "\n", kinds


def arguments(r, kinds, wild):
    return [argument(r, kind, wild) for kind in kinds]


def argument(r, kind, wild):
    """A fresh argument. `wild`: edge values, and sometimes of another type than the program thinks."""
    if wild and r.random() < 0.06:
        kind = r.choice("iflnbs0")
    if kind == "i":
        return r.choice(INTS) if wild else r.randint(-20, 20)
    if kind == "f":
        return r.choice(FLOATS) if wild else r.uniform(-10, 10)
    if kind == "b":
        return r.random() < 0.5
    if kind == "l":
        made = [r.choice(FLOATS) if wild and r.random() < 0.4 else r.uniform(-10, 10) for _ in range(r.randint(0, 6))]
        if wild and made and r.random() < 0.1:
            made[r.randrange(len(made))] = r.randint(-5, 5)
        return made
    if kind == "s":
        return r.choice(TEXTS)
    if kind == "n":
        return [r.choice(INTS) if wild and r.random() < 0.3 else r.randint(-20, 20) for _ in range(r.randint(0, 6))]
    return None

"""Random programs over complex numbers among floats, integers, lists and tuples of them, and arguments for them."""

from tests.fuzz import programs

PARTS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-3, 1e200, -1e300, 1e-200, 5e-324, float("inf"), float("-inf"), float("nan")]
LITERALS = ["1j", "2.5j", "(1 + 2j)", "(-0.5 - 1j)", "0j", "(3 - 0j)", "complex(1.5, -2)", "complex(2)", "complex(-0.0, 0.0)"]


class ComplexGenerator(programs.Generator):
    """The variables of programs.Generator, and c: complex, z: lists of complex."""

    def complex_(self, deep=3):
        known = self.names("c")
        if deep <= 0 or self.chance(0.2):
            return self.r.choice(known) if known and self.chance(0.8) else self.r.choice(LITERALS)
        kind = self.r.randrange(12)
        a = lambda: self.complex_(deep - 1)  # noqa: E731
        if kind < 4:
            return f"({a()} {self.pick('+', '-', '*', '*', '/')} {a()})"
        if kind < 6:
            sides = [a(), self.number(deep - 1)]
            self.r.shuffle(sides)
            return f"({sides[0]} {self.pick('+', '-', '*', '/')} {sides[1]})"
        if kind == 6:
            return f"({a()} ** {self.pick('2', '3', '2.0', '0', '-1', '0.5', '5', '7.0', '(0.5+0.25j)', self.int_(0))})"
        if kind == 7:
            return self.pick(f"(-{a()})", f"(+{a()})", f"{a()}.conjugate()", f"complex({a()})")
        if kind == 8:
            return f"complex({self.float_(deep - 1)}, {self.number(deep - 1)})"
        if kind == 9:
            return f"({a()} if {self.bool_(deep - 1)} else {a()})"
        lists = self.names("z")
        if kind == 10 and lists:
            return f"{self.r.choice(lists)}[{self.index(deep - 1)}]"
        return f"sum({self.r.choice(lists)})" if lists else f"({a()} + 1j)"

    def float_(self, deep=3):
        if deep > 0 and self.chance(0.3):
            a = self.complex_(deep - 1)
            return self.pick(f"abs({a})", f"{a}.real", f"{a}.imag", f"{a}.real")
        return super().float_(deep)

    def bool_(self, deep=2):
        if deep > 0 and self.chance(0.25):
            left, right = self.complex_(deep - 1), self.pick(self.complex_(deep - 1), self.number(deep - 1))
            return self.pick(f"({left} == {right})", f"({left} != {right})", f"({right} == {left})", f"bool({left})",
                             f"({left} is None)", f"(not {left})")
        return super().bool_(deep)

    def statement(self):
        kind = self.r.randrange(9)
        if kind < 3:
            name = self.target("c")
            self.emit(f"{name} = {self.complex_()}")
            self.variables[name] = "c"
        elif kind == 3 and self.names("c"):
            value = self.pick(self.complex_(2), self.number(1))
            self.emit(f"{self.r.choice(self.names('c'))} {self.pick('+', '-', '*', '/')}= {value}")
        elif kind == 4:
            self.complex_list()
        elif kind == 5 and self.names("z"):
            name = self.r.choice(self.names("z"))
            where = f"{name}[{self.index(1)}]"
            self.emit(self.pick(f"{where} = {self.complex_(2)}", f"{where} += {self.complex_(1)}", f"{name}[:] = {name}[::-1]"))
        elif kind == 6 and self.names("z") and self.loops < 2:
            self.walk()
        else:
            super().statement()

    def complex_list(self):
        known = self.names("z")
        name = self.r.choice(known) if known and self.chance(0.5) else f"z{self.fresh}"
        self.fresh += 1
        if self.chance(0.5) or not known:
            text = "[" + ", ".join(self.complex_(1) for _ in range(self.r.randint(0, 4))) + "]" + self.pick("", " * 2")
        else:
            text = f"[w {self.pick('*', '+', '-')} {self.complex_(1)} for w in {self.r.choice(known)}]"
        self.emit(f"{name} = {text}")
        self.variables[name] = "z"

    def walk(self):
        self.loops += 1
        self.fresh += 1
        name, over = f"c{self.fresh}", self.r.choice(self.names("z"))
        self.emit(f"for {name} in {over}:")
        self.variables[name] = "c"
        self.readonly.add(name)
        self.block(self.r.randint(1, 3))
        self.loops -= 1

    def program(self):
        kinds = [self.pick("c", "f", "z", "c", "i") for _ in range(self.r.randint(1, 3))]
        parameters = [f"p{i}" for i in range(len(kinds))]
        self.variables = dict(zip(parameters, kinds))
        for _ in range(self.r.randint(2, 5)):
            self.statement()
        known = list(self.variables)
        two = ", ".join(self.r.choice(known) for _ in range(2))
        self.emit("return " + self.pick(*known, f"({two})", self.complex_(2), self.number(2), self.bool_(2)))
        return "\n".join(["import math", "", f"def f({', '.join(parameters)}):"] + self.lines) + "\n", kinds


def number(r, wild):
    return complex(r.choice(PARTS), r.choice(PARTS)) if wild and r.random() < 0.6 else complex(r.uniform(-4, 4), r.uniform(-4, 4))


def arguments(r, kinds, wild):
    made = []
    for kind in kinds:
        if wild and r.random() < 0.05:
            kind = r.choice("cfzi")
        if kind == "c":
            made.append(number(r, wild))
        elif kind == "z":
            made.append([number(r, wild) for _ in range(r.randint(0, 5))])
        else:
            made.append(programs.argument(r, kind, wild))
    return made

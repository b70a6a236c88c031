"""Random programs over numpy arrays of every dtype, layout and a few shapes, and arguments for them."""

import random

import numpy

DTYPES = ["float64", "float64", "float64", "float32", "int64", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32",
          "uint64", "bool", "complex128", "complex64"]
UNARY = ["np.sqrt(np.abs({}))", "np.exp({} * 0.125)", "np.sin({})", "np.cos({})", "np.tanh({})", "np.abs({})", "np.floor({})",
         "np.square({})", "np.log(np.abs({}) + 1.5)", "np.negative({})", "-{}", "np.rint({})", "{}.copy()", "np.arctan({})",
         "np.log1p(np.abs({}))", "({} ** 2)", "({} ** 3)", "({} ** 0.5)", "np.cbrt({})", "np.expm1({})", "np.zeros_like({})",
         "np.full_like({}, 2)", "{}.astype(np.float64)", "{}.astype(np.float32)", "{}.astype(np.int64)", "{}.astype(np.int8)",
         "np.conj({})", "{}.real", "{}.imag", "{}.astype(np.complex128)", "({} * 1j)", "({} / (2-1j))",
         "np.asarray({})", "np.reciprocal({})", "np.trunc({})", "np.ceil({})", "(~{})", "np.sqrt({})", "{}[::-1]", "{}.T.T"]
REDUCE = ["{}.sum()", "np.sum({})", "{}.mean()", "{}.min()", "{}.max()", "np.prod({})", "{}.argmax()", "{}.argmin()", "np.any({})",
          "{}.all()", "{}.std()", "np.var({})", "{}.size", "{}.shape[0]", "{}.ndim", "len({})", "np.max({})",
          "{0}.ravel().dot({0}.ravel())", "{}.sum(axis=0).max()", "{}.sum(axis=-1).sum()",
          "{}.max(axis=-1).min()", "{}.any(axis=0).sum()", "{}.argmin(axis=0).sum()", "np.min({}, axis=0).sum()",
          "{}.prod(axis=-1).max()",
          "{}.sum(axis=(-1,)).max()", "{}.max(keepdims=True).sum()", "np.sum({}, axis=(0, -1)).sum()",
          "{}.std(axis=0).sum()", "np.mean({}, axis=1).sum()", "({0} @ {0}.T).sum()"]
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 1e300, -1e300, 1e-300, 5e-324, 2.0**53, 3e38, 1e-40, float("inf"), float("-inf"), float("nan")]
SIZES = [0, 1, 2, 3, 5, 8, 9, 17, 130, 260]


class ArrayGenerator:
    """One program. `arrays` are the variables that hold arrays of the program's own shape, `scalars` numbers."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.lines = []
        self.depth = 1
        self.fresh = 0
        self.loops = 0
        self.arrays = []
        self.scalars = []
        self.dims = self.r.choice([1, 1, 1, 1, 1, 2, 2, 3])  # a loop of three dimensions is ten times the code of one

    def pick(self, *choices):
        return self.r.choice(choices)

    def chance(self, p):
        return self.r.random() < p

    def emit(self, text):
        self.lines.append("    " * self.depth + text)

    # ---- expressions ----

    def number(self, deep=1):
        kind = self.r.randrange(8)
        if kind < 2 or deep <= 0:
            return self.pick("2", "3", "-1", "0.5", "1.5", "7", "0.1", "True", "100", "0")
        if kind < 4 and self.scalars:
            return self.r.choice(self.scalars)
        if kind < 6:
            return self.r.choice(REDUCE).format(self.array(deep - 1))
        if kind == 6:
            return f"{self.name()}[{', '.join(self.pick('0', '-1', '1') for _ in range(self.dims))}]"
        return f"({self.number(deep - 1)} {self.pick('+', '-', '*', '/')} {self.number(deep - 1)})"

    def name(self):
        return self.r.choice(self.arrays)

    def array(self, deep=2):
        if deep <= 0 or self.chance(0.15):
            return self.name()
        kind = self.r.randrange(16)
        if kind < 5:
            return f"({self.array(deep - 1)} {self.pick('+', '-', '*', '/', '*', '+')} {self.array(deep - 1)})"
        if kind < 8:
            sides = [self.array(deep - 1), self.number(1)]
            self.r.shuffle(sides)
            return f"({sides[0]} {self.pick('+', '-', '*', '/', '//', '%')} {sides[1]})"
        if kind < 12:
            return self.r.choice(UNARY).format(self.array(deep - 1))
        if kind == 12:
            otherwise = self.pick(self.array(deep - 1), self.number(0))
            return f"np.where({self.condition(deep - 1)}, {self.array(deep - 1)}, {otherwise})"
        if kind == 13:
            function = self.pick("maximum", "minimum", "hypot", "arctan2", "add")
            return f"np.{function}({self.array(deep - 1)}, {self.array(deep - 1)})"
        if kind == 14:
            return f"({self.array(deep - 1)} {self.pick('//', '%', '&', '|', '^')} {self.array(deep - 1)})"
        if self.dims > 1 and self.chance(0.3):
            name = self.pick("sum", "min", "max", "mean", "any", "all", "prod", "argmax", "std")
            axis = self.pick(0, 1, -1, -2, "(0, 1)", "(-1, -2)", None)
            return f"({self.array(deep - 1)} + {self.name()}.{name}(axis={axis}, keepdims=True))"
        return self.condition(deep - 1)

    def condition(self, deep):
        if deep > 0 and self.chance(0.25):
            both = f"({self.condition(deep - 1)} {self.pick('&', '|')} {self.condition(0)})"
            return self.pick(f"(~{self.condition(deep - 1)})", both)
        right = self.pick(self.array(deep), self.number(0))
        return f"({self.array(deep)} {self.pick('<', '<=', '>', '>=', '==', '!=')} {right})"

    def part(self):
        one = self.pick("1:", ":-1", "::2", "::-1", ":", "1:3", "-2:", "0", "-1")
        if self.dims == 1 or self.chance(0.4):
            return one
        return ", ".join([one] + [self.pick(":", "1:", "::-1", "0", "::2") for _ in range(self.r.randint(0, self.dims - 1))])

    # ---- statements ----

    def fresh_name(self, prefix):
        self.fresh += 1
        return f"{prefix}{self.fresh}"

    def statement(self):
        kind = self.r.randrange(14)
        if kind < 4:
            value = self.array(self.pick(1, 2, 2, 3))  # deeper, LLVM takes a second for it
            name = self.name() if self.loops and self.chance(0.5) else self.fresh_name("v")
            self.emit(f"{name} = {value}")
            self.arrays.append(name)
        elif kind < 6:
            value = self.number(2)
            name = self.r.choice(self.scalars) if self.scalars and self.chance(0.4) else self.fresh_name("s")
            self.emit(f"{name} = {value}")
            self.scalars.append(name)
        elif kind == 6:
            self.emit(f"{self.name()} {self.pick('+', '-', '*', '/')}= {self.pick(self.array(1), self.number(1))}")
        elif kind == 7:
            part = self.part()
            self.emit(f"{self.name()}[{part}] = {self.pick(self.number(1), f'{self.array(1)}[{part}]', self.array(1))}")
        elif kind == 8:
            part = self.part()
            self.emit(f"{self.name()}[{part}] {self.pick('+', '*', '-')}= {self.pick(self.number(1), f'{self.name()}[{part}]')}")
        elif kind == 9:
            self.emit(f"{self.name()}[{self.condition(0)}] = {self.number(0)}")
        elif kind == 10:
            name = self.fresh_name("s")
            self.emit(f"{name} = {self.r.choice(REDUCE).format(f'{self.name()}[{self.pick(self.part(), self.condition(0))}]')}")
            self.scalars.append(name)
        elif kind == 11 and self.loops < 2:
            self.loop()
        elif kind == 12 and self.depth < 3:
            self.emit(f"if {self.number(1)} {self.pick('<', '>', '<=')} {self.number(0)}:")
            self.block()
        elif kind == 13:
            self.emit(f"{self.name()}[{', '.join(self.pick('0', '1', '-1') for _ in range(self.dims))}] = {self.number(1)}")

    def block(self):
        arrays, scalars, written = list(self.arrays), list(self.scalars), len(self.lines)
        self.depth += 1
        for _ in range(self.r.randint(1, 3)):
            self.statement()
        if len(self.lines) == written:
            self.emit("pass")
        self.depth -= 1
        self.arrays, self.scalars = arrays, scalars

    def loop(self):
        self.loops += 1
        variable = self.fresh_name("k")
        over = self.pick("range(4)", "range(len({}))", "range(2)").format(self.name())
        self.emit(f"for {variable} in {over}:")
        self.scalars.append(variable)
        self.block()
        self.scalars.remove(variable)
        self.loops -= 1

    def program(self):
        parameters, kinds = [], []
        for i in range(self.r.randint(1, 3)):
            parameters.append(f"a{i}")
            kinds.append((self.r.choice(DTYPES), self.dims))
        self.arrays = list(parameters)
        for i in range(self.r.randint(0, 1)):
            parameters.append(f"p{i}")
            self.scalars.append(f"p{i}")
            kinds.append(self.pick("f", "i", "c", "float64", "float32", "int32", "complex128", "complex64"))
        for _ in range(self.r.randint(1, 4)):
            self.statement()
        known = self.arrays[-2:] + self.scalars[-2:]
        self.emit("return " + self.pick(self.array(2), self.number(2), f"({', '.join(self.r.choice(known) for _ in range(2))})"))
        header = ["import numpy as np", "", f"def f({', '.join(parameters)}):"]
        return "\n".join(header + self.lines) + "\n", kinds


def arguments(r, kinds, wild):
    """Fresh arguments: arrays of one shape, now and then one that is broadcast, in every layout."""
    dims = max((kind[1] for kind in kinds if isinstance(kind, tuple)), default=1)
    shape = [r.choice(SIZES if dims == 1 or not i else SIZES[:7]) for i in range(dims)] if wild else [5, 4, 3][:dims]
    if wild and dims < 3 and r.random() < 0.05:  # longer than numpy's buffer; not tall: a @ a.T
        shape = [r.choice([2, 3])] * (dims - 1) + [r.choice([8191, 8193, 20000])]
    made = []
    for kind in kinds:
        if isinstance(kind, tuple):
            own = [1 if wild and r.random() < 0.08 else n for n in shape]
            made.append(_array(r, kind[0], own, wild))
        elif kind == "f":
            made.append(r.choice(EDGES) if wild and r.random() < 0.4 else r.uniform(-3, 3))
        elif kind == "c":
            made.append(complex(r.choice(EDGES), 1.5) if wild and r.random() < 0.3 else complex(r.uniform(-3, 3), r.uniform(-3, 3)))
        elif kind == "i":
            made.append(r.choice([0, 1, -1, 300, 2**40, 2**62]) if wild and r.random() < 0.4 else r.randint(-5, 5))
        else:
            made.append(numpy.dtype(kind).type(r.randint(-5, 5)))
    return made


def _array(r, dtype, shape, wild):
    layout = r.randrange(6) if wild else 0
    big = [2 * n if layout == 3 else n for n in shape]
    count = int(numpy.prod(big))
    if dtype.startswith("complex"):
        edges, usual = (lambda: r.choice(EDGES)), (lambda: r.uniform(-4, 4))
        part = [edges if wild and r.random() < 0.03 else usual for _ in range(count)]
        values = [complex(one(), one()) for one in part]
    elif dtype.startswith("float"):
        values = [r.choice(EDGES) if wild and r.random() < 0.03 else r.uniform(-4, 4) for _ in range(count)]
    elif dtype == "bool":
        values = [r.random() < 0.5 for _ in range(count)]
    else:
        info = numpy.iinfo(dtype)
        low, high = max(info.min, -9), min(info.max, 9)
        values = [r.choice([info.min, info.max, 0, 1]) if wild and r.random() < 0.1 else r.randint(low, high) for _ in range(count)]
    with numpy.errstate(all="ignore"):
        flat = numpy.array(values).astype(dtype) if count else numpy.zeros(0, dtype)
        if dtype == "uint64" and count:
            flat = numpy.array([int(v) for v in values], dtype=object).astype(dtype)
    made = flat.reshape(big)
    if layout == 1:
        return made[::-1]
    if layout == 2 and made.ndim > 1:
        return numpy.asfortranarray(made)
    if layout == 3:
        return made[tuple(slice(None, None, 2) for _ in shape)]
    if layout == 4 and made.ndim > 1:
        return numpy.ascontiguousarray(made.swapaxes(0, -1)).swapaxes(0, -1)
    if layout == 5 and wild:
        made.flags.writeable = r.random() < 0.7
    return made

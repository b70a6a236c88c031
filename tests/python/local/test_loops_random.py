"""Random programs: what is counted equals what the same program, instrumented in its source, counts itself."""
import ast
import random

import pytest

from tests.python.local.counting import counted

STATEMENTS_MAX = 4
DEPTH_MAX = 4
# Of one loop: programs nest up to DEPTH_MAX of them.
ROUNDS_MAX = 4
PROGRAMS = 300


class Writer:
    """Writes a program that ends, from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = 0

    def program(self):
        return "def program(n):\n    a = 0\n" + self.block(1, False) + "    return a\n"

    def name(self):
        self.names += 1
        return f"v{self.names}"

    def block(self, depth, in_loop):
        kinds = ["assign", "comprehension"] + (["if", "try", "for", "while", "while_true"] if depth <= DEPTH_MAX else [])
        if in_loop:
            kinds += ["break", "continue"]
        lines = [getattr(self, self.random.choice(kinds))(depth, in_loop) for _ in range(self.random.randint(1, STATEMENTS_MAX))]
        return "".join(lines)

    def test(self):
        operand = self.random.choice(["a % 2", "a % 3", "a > n", "n", "not a", "a is None"])
        other = self.random.choice(["a < 100", "n >= 0", "a % 5"])
        return self.random.choice([operand, f"{operand} and {other}", f"{operand} or {other}", f"not ({operand} and {other})"])

    def indented(self, depth, text):
        return "    " * depth + text + "\n"

    def assign(self, depth, in_loop):
        return self.indented(depth, f"a += {self.random.randint(1, 3)}")

    def if_(self, depth, in_loop):
        text = self.indented(depth, f"if {self.test()}:") + self.block(depth + 1, in_loop)
        if self.random.random() < 0.5:
            text += self.indented(depth, "else:") + self.block(depth + 1, in_loop)
        return text

    def try_(self, depth, in_loop):
        text = self.indented(depth, "try:") + self.block(depth + 1, in_loop)
        text += self.indented(depth + 1, f"if {self.test()}: raise ValueError")
        text += self.indented(depth, "except ValueError:") + self.block(depth + 1, in_loop)
        if self.random.random() < 0.3:
            text += self.indented(depth, "finally:") + self.indented(depth + 1, "a += 1")
        return text

    def comprehension(self, depth, in_loop):
        rounds = self.random.randint(0, ROUNDS_MAX)
        form = self.random.choice(["len([x for x in range({})])", "sum(x for x in range({}))",
                                   "len({{x for x in range({}) if x % 2}})"])
        return self.indented(depth, "a += " + form.format(rounds))

    def loop(self, depth, head):
        text = self.indented(depth, head) + self.indented(depth + 1, "a += 1") + self.block(depth + 1, True)
        if self.random.random() < 0.2:
            text += self.indented(depth, "else:") + self.indented(depth + 1, "a += 2")
        return text

    def for_(self, depth, in_loop):
        return self.loop(depth, f"for {self.name()} in range({self.random.randint(0, ROUNDS_MAX)}):")

    def while_(self, depth, in_loop):
        left = self.name()
        test = self.random.choice([f"{left} < {{}}", f"{left} < {{}} and n >= 0", f"{left} < {{}} or {left} < 0",
                                   f"{left} is not None and {left} < {{}}", f"not {left} >= {{}}"])
        condition = test.format(self.random.randint(0, ROUNDS_MAX))
        head = self.indented(depth, f"{left} = 0") + self.indented(depth, f"while {condition}:")
        return head + self.indented(depth + 1, f"{left} += 1") + self.block(depth + 1, True)

    def while_true(self, depth, in_loop):
        left = self.name()
        head = self.indented(depth, f"{left} = 0") + self.indented(depth, "while True:")
        head += self.indented(depth + 1, f"{left} += 1")
        head += self.indented(depth + 1, f"if {left} > {self.random.randint(1, ROUNDS_MAX)}: break")
        return head + self.block(depth + 1, True)

    def break_(self, depth, in_loop):
        return self.indented(depth, f"if {self.test()}: break")

    def continue_(self, depth, in_loop):
        return self.indented(depth, f"if {self.test()}: continue")


for keyword in ("if", "try", "for", "while", "break", "continue"):
    setattr(Writer, keyword, getattr(Writer, keyword + "_"))


class Counting(ast.NodeTransformer):
    """Makes a program count the iterations it completes, in ``counts``."""

    @staticmethod
    def tick():
        return ast.parse("counts.append(1)").body

    def loop(self, node):
        self.generic_visit(node)
        node.body = node.body + self.tick()
        return node

    visit_For = visit_While = loop

    def visit_Continue(self, node):
        return self.tick() + [node]

    def visit_comprehension(self, node):
        self.generic_visit(node)
        node.iter = ast.Call(ast.Name("rounds", ast.Load()), [node.iter], [])
        return node


def counted_by_itself(source):
    tree = ast.fix_missing_locations(Counting().visit(ast.parse(source)))
    counts = []

    def rounds(iterable):
        for each in iterable:
            yield each
            counts.append(1)

    names = {"counts": counts, "rounds": rounds}
    exec(compile(tree, "<counting>", "exec"), names)
    names["program"](1)
    return len(counts)


def counted_by_us(source):
    names = {}
    exec(compile(source, "<program>", "exec"), names)
    return counted(names["program"], 1)


@pytest.mark.parametrize("seed", range(0, PROGRAMS, 50))
def test_random_programs_are_counted_as_they_count_themselves(seed):
    for one in range(seed, seed + 50):
        source = Writer(one).program()
        assert counted_by_us(source) == counted_by_itself(source), f"seed {one}\n{source}"

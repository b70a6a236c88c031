"""The loops of compiled calls are counted as CPython's are: what a function is worth does not depend on how it ran."""

import pytest

import epochly

from .sources import define

pytest.importorskip("epochly._jit", reason="built without LLVM")

CALLS = 60  # some of which are counted


def counted(function, *args, level=2):
    decorated = epochly.optimize(function, level=level)
    for _ in range(CALLS):
        decorated(*args)
    assert epochly.report(decorated).level == level, epochly.report(decorated).declined
    metrics = epochly.get_metrics(decorated)
    assert metrics["loop_samples"] > 0
    return metrics["avg_loop_iterations"]


@pytest.mark.parametrize("body, args", [
    ("    s = 0\n    for i in range(n):\n        for j in range(5):\n            s += i * j\n    return s\n", (40,)),
    ("    s = 0\n    while n > 0:\n        n -= 1\n        if n % 2:\n            continue\n        s += n\n    return s\n", (31,)),
    ("    for i in range(n):\n        if i == 20:\n            break\n    return i\n", (100,)),
    ("    s = 0.0\n    for a in (1.5, 2, 3):\n        s += a * n\n    return s\n", (2,)),
    ("    s = 0\n    for x in v:\n        s += x\n    return s\n", ([0.5] * 17,)),  # whose first iteration stands apart
    ("    return [x * y for x in v for y in range(3) if x > 0]\n", ([0.5] * 17,)),
    ("    return sum(v) + len(v.copy())\n", ([0.5] * 17,)),  # loops of C code are not Python's
    ("    return recurse(n)\n", (12,)),
], ids=["nested", "while", "break", "unrolled", "apart", "comprehension", "builtins", "called"])  # fmt: skip
def test_compiled_loops_are_counted_as_cpython_counts_them(body, args):
    helper = define("def f(n):\n    for _ in range(n):\n        pass\n    return f(n - 1) if n else 0\n".replace("f(n - 1)", "n"))
    function = define(f"def f({'v' if isinstance(args[0], list) else 'n'}):\n{body}", recurse=helper)
    assert counted(function, *args) == pytest.approx(counted(function, *args, level=0), abs=1e-9)


def test_array_expressions_are_no_loops_of_python():
    np = pytest.importorskip("numpy")
    function = define("def f(a):\n    return (a * a + 1).sum()\n", np=np)
    assert counted(function, np.arange(1000.0)) == 0

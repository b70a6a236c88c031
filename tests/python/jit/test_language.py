"""What level 2 compiles of Python itself: lists, integers, math, functions of other modules; and what it must leave alone."""

import fractions
import linecache
import math
import random
import statistics
import sys
import types

import pytest

import epochly

from .exact import same
from .sources import lambda_of

pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402


def compiled(function, *args):
    jit = Jit(function)
    mine, theirs = [list(a) if isinstance(a, list) else a for a in args], [list(a) if isinstance(a, list) else a for a in args]
    got = jit(*mine)
    assert jit.declined == ""
    assert same(got, function(*theirs)) and same(mine, theirs)
    return got


def moves(a, b):
    a += b
    a += a
    a.extend(range(3))
    a.insert(0, 9)
    a.insert(-1, 8)
    a.insert(100, 7)
    first, last = a.pop(0), a.pop(-2)
    b.sort()
    c = sorted(a, reverse=True)
    a[1:4] = [1, 2, 3]
    a[::2] = c[::2][: len(a[::2])]
    return first, last, a[::-1], a[-1:0:-2], a[5:2], c


def test_lists_are_changed_in_place_as_cpython_changes_them():
    compiled(moves, [3, 1, 2], [5, 4, 6])
    compiled(lambda a: (sorted(a), a.sort(reverse=True)), [0.0, -0.0, 2.5, -1.0, 0.0, 3.0])


def test_sorting_nan_is_left_to_cpython():
    def order(a):
        a.sort()
        return a

    jit, values = Jit(order), [3.0, float("nan"), 1.0]
    assert same(jit(list(values)), sorted(values)) and "NaN" in jit.declined


def test_a_slice_that_changes_the_length_is_left_to_cpython():
    def cut(a):
        a[1:3] = [0]
        return a

    jit = Jit(cut)
    assert jit([1, 2, 3, 4]) == [1, 0, 4] and "another number of items" in jit.declined


def test_integers_divide_to_the_nearest_float():
    def divide(a, b):
        return a / b

    jit, r = Jit(divide), random.Random(3)
    for _ in range(3000):
        a, b = (r.choice([1, -1]) * r.getrandbits(r.randint(1, 63)) for _ in range(2))
        if b:
            assert same(jit(a, b), a / b), (a, b)
            assert jit.declined == ""
    assert same(jit(-(2**63), -1), 2.0**63) and same(jit(0, -5), 0 / -5)


def test_rounding_to_digits_is_to_the_nearest_decimal():
    def to_digits(x, n):
        return round(x, n)

    jit, r = Jit(to_digits), random.Random(4)
    for x in [0.125, 2.675, 0.5, 1.5, -0.001, 1e22, 5e-324, 1.7976931348623157e308, float("inf"), 2.5, 1e16, 0.285] + [
        r.uniform(-100, 100) for _ in range(300)
    ]:
        for n in (0, 1, 2, 3, 10, 20, 300):
            assert same(jit(x, n), round(x, n)), (x, n)
    assert same(jit(1234.5, -2), 1200.0) and "digits" in jit.declined
    assert same(jit(1234, 2), 1234) and same(jit(1234, -2), 1200)


@pytest.mark.parametrize("name", ["gcd", "lcm", "comb", "perm"])
def test_functions_of_two_integers(name):
    function = lambda_of("a, b", f"math.{name}(a, b)", math=math)
    jit = Jit(function)
    for a, b in [(0, 0), (12, 18), (-12, 18), (2**62, 6), (2**63 - 1, 3), (60, 30), (5, 7), (-(2**63), 0), (40, 3)]:
        for f in (function, jit):
            try:
                result = f(a, b)
            except ValueError as error:
                result = str(error)
            if f is function:
                expected = result
        assert result == expected, (name, a, b)


def test_functions_of_one_integer_and_the_logarithm_to_a_base():
    compiled(lambda a: (math.isqrt(a), math.factorial(a), math.isqrt(a + 2**62), math.log(a, 10), math.log(8, 2)), 15)
    with pytest.raises(ValueError, match="nonnegative"):
        Jit(lambda a: math.isqrt(a))(-1)


def test_functions_of_other_modules_are_compiled_and_watched(monkeypatch):
    helpers = types.ModuleType("epochly_test_helpers")
    source = "SCALE = 3\ndef scaled(x):\n    return x * SCALE\n"
    linecache.cache["<helpers>"] = (len(source), None, source.splitlines(True), "<helpers>")
    exec(compile(source, "<helpers>", "exec"), helpers.__dict__)
    monkeypatch.setitem(sys.modules, "epochly_test_helpers", helpers)
    monkeypatch.setitem(globals(), "helpers", helpers)

    def use(x):
        return helpers.scaled(x) + helpers.SCALE

    jit = Jit(use)
    assert jit(2) == 9 and jit.declined == ""
    helpers.SCALE = 4
    assert jit(2) == 12 and jit.declined == ""
    helpers.scaled = lambda x: x
    assert jit(2) == 6


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "bool"])
def test_numpy_scalars_of_every_type_keep_their_rules(dtype):
    np = pytest.importorskip("numpy")
    kind = np.dtype(dtype).type

    def arithmetic(a, b):
        return a + b, a * b, a + 1, a * 2.5, a / b, a > b, a == b, -(a * 1.0), a * True

    if np.__version__.startswith("1."):
        pytest.skip("numpy 1 looks at values")
    compiled(arithmetic, kind(3), kind(2))

    def add(a):
        return a + a

    if dtype not in ("float32", "bool"):
        jit, most = Jit(add), kind(np.iinfo(dtype).max)
        with pytest.warns(RuntimeWarning, match="overflow"):
            expected = most + most
        with pytest.warns(RuntimeWarning, match="overflow"):
            assert same(jit(most), expected)


def test_matrix_products_are_numpys():
    np = pytest.importorskip("numpy")
    r = np.random.default_rng(5)
    for dtype in ("float64", "float32"):
        a, b, v = (r.standard_normal(shape).astype(dtype) for shape in ((17, 23), (23, 9), 23))
        compiled(lambda a, b, v: (a @ b, a @ v, v @ b, v @ v, a @ a.T, a.T @ a, a[::2] @ b, v[::-1] @ v), a, b, v)
        compiled(lambda a, b, v: (np.dot(a, b), a.dot(v), np.dot(v, b), v.dot(v)), a, b, v)
    compiled(lambda a, b: np.dot(a * 2, b + 1), r.standard_normal((17, 23)), r.standard_normal((23, 9)))


def test_reductions_along_an_axis_are_numpys():
    np = pytest.importorskip("numpy")
    m = np.random.default_rng(6).standard_normal((13, 300))
    compiled(lambda m: (m.sum(axis=0), m.sum(axis=1), m.mean(axis=0), np.mean(m, axis=-1), m.max(axis=1), np.min(m, 0)), m)


# ---- what is left alone ----------------------------------------------------------------------------------------------------


def run_and_reason(function, *args):
    decorated = epochly.optimize(function, level=2)
    result = decorated(*args)
    return result, " ".join(str(d) for d in epochly.report(decorated).declined)


def test_two_lambdas_on_one_line_run_as_they_are():
    double, triple = lambda x: x * 2, lambda x: x * 3  # noqa: E731
    assert run_and_reason(double, 5) == (10, run_and_reason(double, 5)[1])
    assert "several functions begin on its line" in run_and_reason(triple, 5)[1]
    assert run_and_reason(triple, 5)[0] == 15


class Shape:
    side = 3

    def area(self):
        return self.side * self.side

    @classmethod
    def of_class(cls):
        return cls.side


@pytest.mark.parametrize("function, args, expected, reason", [
    (Shape().area, (), 9, ""), (Shape.of_class, (), 3, ""), (max, (1, 2), 2, ""), (statistics.mean, ([1, 2, 3],), 2, ""),
    (fractions.Fraction, (1, 2), fractions.Fraction(1, 2), None),
], ids=["method", "classmethod", "builtin", "library", "class"])  # fmt: skip
def test_other_callables_give_what_they_give(function, args, expected, reason):
    if reason is None:
        with pytest.raises(TypeError, match="decorate its methods"):
            epochly.optimize(function, level=2)
        return
    result, why = run_and_reason(function, *args)
    assert result == expected and why


def test_a_coroutine_is_awaited_as_ever():
    import asyncio

    @epochly.optimize(level=2)
    async def later(x):
        return x + 1

    assert asyncio.run(later(1)) == 2


def test_a_generator_is_consumed_as_ever():
    @epochly.optimize(level=2)
    def squares(n):
        for i in range(n):
            yield i * i

    assert list(squares(4)) == [0, 1, 4, 9]


class Angle(float):
    pass


class Many(list):
    pass


class Odd(int):
    def __add__(self, other):
        return 77


@pytest.mark.parametrize("value", [Angle(1.5), Odd(3), True, 2**100, fractions.Fraction(1, 3), 1 + 2j], ids=repr)
def test_subclasses_of_numbers_keep_their_own_operators(value):
    def f(x):
        return x + 1

    assert same(Jit(f)(value), f(value))


def test_a_subclass_of_list_is_no_list():
    def f(x):
        return sum(x)

    jit = Jit(f)
    assert jit(Many([1, 2])) == 3 and "not compiled" in jit.declined


@pytest.mark.parametrize("n", [1, 7, 8, 9, 63, 64, 71, 72, 73, 79, 80, 81, 200])
def test_one_item_of_another_type_anywhere_in_a_list_is_seen(n):
    def halves(data):
        s = 0.0
        for x in data:
            s = s * 0.5 + x
        return s

    floats = [i * 0.37 for i in range(n)]
    assert run_and_reason(halves, floats) == (halves(floats), "")
    for at in range(n):
        other = floats[:at] + [2**70] + floats[at + 1 :]
        assert run_and_reason(halves, other)[0] == halves(other)

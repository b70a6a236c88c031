"""Every function of the module math: compiled to the bit, or left to CPython with its name."""

import math
import random
import struct

import pytest

from .exact import same
from .sources import lambda_of

pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402

FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-310, 5e-324, 1e300, -1e308, 1.7976931348623157e308, 2.0**53, 1e16, 708.0, 0.1,
          float("inf"), float("-inf"), float("nan"), 3, -7, 2**53 + 1, True]
INTS = [0, 1, -1, 2, 3, 5, 12, 18, -6, 20, 21, 63, 2**31, 2**62, 2**63 - 1, -(2**63), True]
LISTS = [[], [1.0], [0.1] * 10, [1e308, 1e308, -1e308], [1e16, 1.0, -1e16], [3, 4], [float("inf"), 1.0], [float("nan")],
         [1e-310, 5e-324, -1e-310], [1, 2.5, True], [-0.0]]
POINTS = [((1.0, 2.0), (4.0, 6.0)), ((1, 2, 3), (3.5, 2, 1)), ((), ()), ((1.0,), (3.0,)), ((1e308, 0.0), (-1e308, 3.0)),
          ((float("inf"), 1.0), (1.0, float("nan"))), ((1.0,), (1.0, 2.0)), ([1.0, 2.0, 2.0], [0.0, 0.0, 0.0]), ([1.0], [2.0, 3.0])]


def one(values):
    return [("x", "x", [(v,) for v in values])]


def two(a, b):
    return [("x, y", "x, y", [(v, w) for v in a for w in b])]


REAL, REALS, INTEGER, INTEGERS = one(FLOATS), two(FLOATS, FLOATS), one(INTS), two(INTS, INTS)
# By name: parameters, the arguments of the call written with them, values.
COMPILED = dict.fromkeys(
    ["acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "cos", "cosh", "degrees", "erf", "erfc", "exp", "exp2", "expm1",
     "fabs", "frexp", "isfinite", "isinf", "isnan", "log10", "log1p", "log2", "modf", "radians", "sin", "sinh", "sqrt", "tan",
     "tanh", "ceil", "floor", "trunc", "ulp"], REAL)
COMPILED |= dict.fromkeys(["atan2", "copysign", "fmod", "nextafter", "pow", "remainder"], REALS)
COMPILED |= {
    "log": REAL + two(FLOATS, [2, 10.0, 0.5, 1.0, 0, -2.0]),
    "hypot": [("", "", [()])] + REAL + REALS + [("x, y, z", "x, y, z", [(v, w, 0.3) for v in FLOATS for w in FLOATS])],
    "ldexp": two(FLOATS, [0, 1, -1, 60, 1023, -1074, 5000, -5000, 2**40, -(2**40)]),
    "isclose": REALS + two(FLOATS, [1.1]) + [("x, y", "x, y, rel_tol=0.5", [(1.0, 1.6), (1.0, 3.0)]),
                                             ("x, y", "x, y, abs_tol=y, rel_tol=x", [(0.1, 0.2), (-1.0, 1.0)])],
    "gcd": [("", "", [()])] + INTEGER + INTEGERS + [("x, y", "x, 4, y", [(12, 18), (0, 0)])],
    "lcm": [("", "", [()])] + INTEGER + INTEGERS + [("x, y", "x, 4, y", [(12, 18), (2**62, 3)])],
    "factorial": one(INTS[:10] + [25, -5]), "isqrt": INTEGER, "comb": two(INTS[:10], INTS[:10]),
    "perm": one([0, 5, 20, 21, -1]) + two(INTS[:10], INTS[:10]),
    "dist": [("x, y", "x, y", POINTS)],
    "fsum": [("x", "x", [(v,) for v in LISTS]), ("x", "(v * 0.5 for v in x)", [(v,) for v in LISTS]),
             ("x", "(x, 1, 2.5)", [(0.1,)])],
    "prod": [("x", "x", [(v,) for v in LISTS + [[2**62, 4], [2, 3, 7]]]), ("x", "x, start=0.5", [([2, 3],)]),
             ("x", "(v + 1 for v in x)", [([1, 2],)])],
}  # fmt: skip
# CPython computes these with code of its own, which no library has.
DECLINED = {"gamma": "2.5", "lgamma": "2.5", "sumprod": "[1.0], [2.0]", "fma": "1.0, 2.0, 3.0"}


def outcome(function, args):
    try:
        return function(*args)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", [name for name in dir(math) if callable(getattr(math, name)) and not name.startswith("_")])
def test_every_function_of_math_gives_what_cpython_gives(name):
    if name in DECLINED:
        function = lambda_of("", f"math.{name}({DECLINED[name]})", math=math)
        jit = Jit(function)
        assert same(jit(), function()) and f"math.{name} is not compiled" in jit.declined
        return
    for parameters, arguments, values in COMPILED[name]:
        function = lambda_of(parameters, f"math.{name}({arguments})", math=math)
        jit, ran = Jit(function), 0
        for args in values:
            assert same(outcome(jit, args), outcome(function, args)), (name, args, jit.declined)
            ran += jit.declined == ""
            if "gave the call back too often" in jit.declined:
                jit = Jit(function)
        assert ran, (name, arguments, jit.declined)


def bits(r):
    """A float of any bits that is finite."""
    while True:
        (x,) = struct.unpack("d", r.randbytes(8))
        if math.isfinite(x):
            return x


def test_lengths_are_cpythons_to_the_bit():
    def two_sides(x, y):
        return math.hypot(x, y)

    def three_sides(x, y, z):
        return math.hypot(x, y, z)

    r = random.Random(8)
    pair, triple, given_back = Jit(two_sides), Jit(three_sides), 0
    for at in range(20000):
        make = (lambda: bits(r)) if at % 4 == 0 else (lambda: r.uniform(-1, 1)) if at % 2 else (lambda: float(r.randint(-99, 99)))
        x, y, z = make(), make(), make()
        assert same(pair(x, y), math.hypot(x, y)), (x, y)
        given_back += pair.declined != ""
        assert same(triple(x, y, z), math.hypot(x, y, z)), (x, y, z)
    assert given_back < 10


def test_a_length_in_the_middle_between_two_floats_is_left_to_cpython():
    def two_sides(x, y):
        return math.hypot(x, y)

    # m*m - n*n, 2*m*n, m*m + n*n, whose last has 54 bits and is odd.
    m, n = 94906267, 94906266 - 2**20
    x, y, z = m * m - n * n, 2 * m * n, m * m + n * n
    assert z.bit_length() == 54 and z % 2 == 1 and float(x) == x and float(y) == y
    jit = Jit(two_sides)
    assert same(jit(float(x), float(y)), math.hypot(float(x), float(y)))
    assert "in the middle between two floats" in jit.declined


def test_exact_sums_of_random_floats_are_cpythons():
    def total(values):
        return math.fsum(values)

    r, jit = random.Random(9), Jit(total)
    for at in range(500):
        digits = 300 if at % 2 else 3
        values = [r.uniform(-1, 1) * 10.0 ** r.randint(-digits, digits) for _ in range(r.randint(0, 60))]
        values += [-v for v in values[::2]]
        r.shuffle(values)
        assert same(jit(values), math.fsum(values)) and jit.declined == ""

"""Small functions of everyday numeric Python: each runs compiled, and gives what CPython gives."""

import copy
import math
import sys

import pytest

from .exact import same
from .sources import lambda_of

pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402

CASES = []


def given(*args):
    def add(function):
        CASES.append(pytest.param(function, args, id=function.__name__))
        return function

    return add


@given(12, -3.0)
def methods_of_numbers(n, x):
    return n.bit_length(), n.bit_count(), n.as_integer_ratio(), n.numerator, n.denominator, n.conjugate(), x.is_integer(), x.imag


@given([0, -1, 255, -(2**63), 2**63 - 1], [0.5, -0.0, 1e300, float("inf"), float("nan")])
def methods_of_many_numbers(ints, floats):
    return [n.bit_length() + 100 * n.bit_count() for n in ints], [x.is_integer() for x in floats]


@given(7)
def chained_comparisons(n):
    return 0 < n <= 10 != 5 < 20, 1 < n > 2 < 1


@given([3, 1, 2])
def walrus(v):
    total = 0
    if (n := len(v)) > 2:
        total += n
    while (n := n - 1) > 0:
        total += n
    return total, n, [y for x in v if (y := x * x) > 3], y


@given([1, 2, 3, 4], (1, 2.5, 3, 4))
def stars_among_targets(v, t):
    a, *b = v
    *c, d = v
    e, *f, g, h = t
    i, *j = v[:1]
    total = 0
    for k, *m in [(1, 2, 3), (4, 5, 6)]:
        total += k * m[-1]
    return a, b, c, d, e, f, g, h, i, j, total


@given([1, 2], (3, 4))
def stars_among_items(v, t):
    return [*v, 5, *t, *range(2)], (*t, 7), (0, *t)


@given([1.0, 2.0, 3.0], 1)
def augmented_items(v, i):
    v[0] += 2
    v[i] *= 3
    v[-1] //= 2
    v[i] -= v[0]
    return v


@given(4)
def nested_comprehensions(n):
    return [[i * j for j in range(n)] for i in range(n)], [i * j for i in range(n) for j in range(i) if (i + j) % 2]


@given(4)
def loops_with_else(n):
    i = 0
    while True:
        i += 1
        if i > n:
            break
    else:
        return -1
    for j in range(n):
        if j == 10:
            break
    else:
        return i
    return j


@given([3, -4, 1], [])
def extremes(v, nothing):
    return max(v, default=0), min(nothing, default=-1), max((x for x in v if x > 100), default=None), min(v), max(3, 2.5, v[0])


@given([3, 4, 1], (1, 2, 3))
def enumerate_and_zip(v, t):
    pairs = [a * b + c for a, b, c in zip(v, t, range(3))]
    indexed = [(i, a, b) for i, (a, b) in enumerate(zip(v, t))]
    return pairs, [i * x for i, x in enumerate(v, 1)], [a + b for a, b in zip(t, t)], indexed


@given([3, 4, 1, 4], [0.5, float("nan"), 1.5])
def looking_for_items(v, floats):
    found = v.index(4), v.count(4), 4 in v, 9 not in v, "a" in ("b", "a")
    return found, 1.5 in floats, 2.5 in floats, 0.5 in (1.5, 0.5), floats.index(1.5)


@given([3, 4, 1, 4], [0.5, 1.5])
def lists_are_compared(v, floats):
    return v == [3, 4, 1, 4], v != v, v == v[:2], floats == [0.5, 2.5], [] == [], floats == v, [[1], [2]] == [[1], [2]]


@given([3, 4, 1, 4, 7])
def lists_shrink(v):
    v.remove(4)
    del v[0]
    del v[-1]
    w = v.copy()
    w.clear()
    x = 3
    del x
    return v, w


@given((1, 2.5), (1, 2.5, 0))
def tuples(a, b):
    order = a < b, b <= a, a == b, a != b, (1, 3.0) > a, (2,) > b, (1, (2, 3)) < (1, (2, 4))
    return order, a + b, b[1:], b[::-1], b[:-1], b[-1], len(a), () < a, a == (1, 2.5), 2.5 in b


@given(12, 5)
def integer_builtins(n, m):
    rounded = round(2.5), round(3.7, None), round(n, 1)
    return divmod(n, m), divmod(-7.5, 2), pow(n, 3, 7), pow(-n, m, -7), pow(n, 0, 1), pow(2, n), rounded


@given(3, 2.5, True, "a", (1, 2), [1])
def instances(i, f, b, s, t, v):
    return (isinstance(i, int), isinstance(f, (int, float)), isinstance(b, int), isinstance(i, bool), isinstance(s, str),
            isinstance(t, tuple), isinstance(v, (tuple, list)), isinstance(f, str), isinstance(None, int))


@given([1, 2.5, None])
def instances_of_mixed_items(v):
    return [x * 2 if isinstance(x, float) else -1 for x in v]


@given()
def empty_builtins():
    return int(), float(), bool(), tuple(), list()  # noqa: UP018


@given([1, 2, 3])
def lists_of_iterables(v):
    return list(reversed(v)), list(range(3)), list(zip(v, v)), sorted(x * 2 for x in v), list(x + 1 for x in v), list(enumerate(v))


@given([0.1] * 10, [2, 3])
def sums_and_products(v, w):
    return math.fsum(v), math.prod(v), math.prod(w, start=0.5), sum(v), sum(w, start=10), math.dist((1, 2), (4, 6))


def sums_of_mixed_numbers(v, w):
    return sum(v, 10), sum(w, start=0.5)


@given(4)
def unused_declarations(n):
    global NOWHERE
    x: float = n * 1.0
    y: int
    y = 2
    return x + y


@given([5, 2, 8, 1])
def bubble_sort(v):
    v = v[:]
    for i in range(len(v)):
        for j in range(len(v) - 1 - i):
            if v[j] > v[j + 1]:
                v[j], v[j + 1] = v[j + 1], v[j]
    return v


@given(40)
def sieve(n):
    is_prime = [True] * (n + 1)
    is_prime[0] = is_prime[1] = False
    for i in range(2, int(n**0.5) + 1):
        if is_prime[i]:
            is_prime[i * i :: i] = [False] * len(is_prime[i * i :: i])
    return [i for i, p in enumerate(is_prime) if p]


@given([1.0, 2.0, 4.0])
def standard_deviation(v):
    mean = sum(v) / len(v)
    return math.sqrt(sum((x - mean) ** 2 for x in v) / (len(v) - 1))


@given([(2.5, 1), (0.5, 7), (2.5, 0)])
def best_pair(pairs):
    best = pairs[0]
    for pair in pairs:
        if pair < best:
            best = pair
    return best, max(pairs), min(pairs)


@given([(1, 2.0), (3, 4.0)])
def lists_of_tuples(v):
    total = 0
    for i, (a, b) in enumerate(v):
        total += a * b * i
    return total, [a for a, _ in v], sum(a for a, b in v if b > 2)


@given([1, -2, 3], 2)
def powers(v, n):
    return [x**2 for x in v], 2**-1, n**n, (-8.0) ** 2, v[0] ** 0.5, 2.0**n


@given(7)
def conditions_are_numbers(n):
    return True + (n > 3) + sum(x > 3 for x in range(n)), "odd" if n % 2 else "even", n and 3, 0 or n, not n


@pytest.mark.parametrize("function, args", CASES)
def test_everyday_functions_run_compiled(function, args):
    jit = Jit(function)
    mine, theirs = copy.deepcopy(args), copy.deepcopy(args)
    got, expected = jit(*mine), function(*theirs)
    assert jit.declined == ""
    assert same(got, expected) and same(list(mine), list(theirs))


def test_sums_of_mixed_numbers_run_compiled_where_they_are_not_compensated():
    args = [0.1] * 10, [2, 3]
    jit = Jit(sums_of_mixed_numbers)
    assert same(jit(*args), sums_of_mixed_numbers(*args))
    compensated = sys.version_info >= (3, 12)
    assert ("a sum of mixed numbers is not compiled for this version of Python" in jit.declined) == compensated


def del_of(v):
    del v[0]
    return v


def raises(function, *args):
    jit = Jit(function)
    with pytest.raises(Exception) as theirs:
        function(*copy.deepcopy(args))
    with pytest.raises(theirs.type) as mine:
        jit(*copy.deepcopy(args))
    assert str(mine.value) == str(theirs.value) and jit.declined


def test_what_is_not_there_raises_as_in_cpython():
    cases = [("v.index(9)", [1, 2]), ("v.remove(9)", [1, 2]), ("max(v)", []), ("pow(3, v, 0)", 2), ("del_of(v)", [])]
    for expression, value in cases:
        raises(lambda_of("v", expression, del_of=del_of), value)

    def unpack(v):
        a, *b, c = v
        return b

    raises(unpack, [1])

    def forget(n):
        del n
        return n  # noqa: F821

    jit = Jit(forget)
    with pytest.raises(UnboundLocalError):
        jit(1)


def test_two_nan_that_may_be_one_object_are_left_to_cpython():
    def has(v, x):
        return x in v, v.count(x)

    nan, other = float("nan"), float("nan")
    jit = Jit(has)
    assert jit([1.0, nan], nan) == (True, 1) and "NaN that may be one object" in jit.declined
    assert jit([1.0, nan], other) == (False, 0)
    assert jit([1.0, 2.0], nan) == (False, 0) and jit.declined == ""


@pytest.mark.parametrize("expression, value, reason", [
    ("min(x, key=abs)", [1, -2], "the keyword 'key'"), ("tuple(x)", [1], "tuple() of what is as long"),
    ("sum(map(abs, x))", [1], "'map'"), ("{x: 1}", 1, "a dict"),
    ("f'{x}'", 1, "an f-string"), ("x < [2]", [1], "comparing list[int] and list[int]"),
    ("len(x)", "a", "the length of str"), ("type(x) is int", 1, "'type'"), ("(lambda y: y)(x)", 1, "a lambda"),
    ("max(*x)", [1, 2], "* or **"),
])  # fmt: skip
def test_what_is_not_compiled_says_so(expression, value, reason):
    function = lambda_of("x", expression)
    jit = Jit(function)
    assert same(jit(value), function(value)) and reason in jit.declined

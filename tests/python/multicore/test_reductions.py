"""Loops that fold their iterations into a variable: integers in any order, floats in theirs."""
import math

import numpy as np
import pytest

from tests.python.jit.exact import same
from tests.python.multicore.conftest import CHUNK_NS
from tests.python.multicore.test_maps import LONG, check, ran_split, values

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM 19")


def whole():
    return np.random.default_rng(3).integers(-1000, 1000, LONG)


def integers(xs):
    total, product, count = 0, 1, 0
    for v in xs:
        total += v * v % 7
        product *= 1
        if v > 3:
            count += 1
        total -= v
    return total, product, count


def test_integers():
    check(integers, lambda: whole().tolist())


def extremes(xs):
    low = high = xs[0]
    for v in xs:
        if v > high:
            high = v
        if low > v:
            low = v
    return low, high


@pytest.mark.parametrize("change", [lambda xs: xs, lambda xs: [math.nan] + xs, lambda xs: [*xs[:500], math.nan, 7.0, *xs],
                                    lambda xs: [0.0, -0.0] * LONG, lambda xs: [-0.0, 0.0] * LONG])
def test_extremes_with_nan_and_both_zeros(change):
    check(extremes, lambda: change(values().tolist()))


def sines(x):
    total = 0.0
    for i in range(len(x)):
        if x[i] > -0.5:
            total += math.sin(x[i]) * math.exp(x[i])
        total -= math.cos(x[i]) ** 3
    return total


def test_a_sum_of_floats_is_added_up_in_order():
    check(sines, values)


def nested(n):
    total = 1.5
    for i in range(n):
        for j in range(i % 7):
            total += math.sqrt(i + j) * 0.1
    return total, i, j


def test_a_sum_over_two_loops():
    check(nested, lambda: 3000)


def product(x):
    total = 1.0
    for v in x:
        total *= 1.0 + math.sin(v) * 1e-3
    return total


def test_a_product_of_floats():
    check(product, values)


def scalars(x, y):
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i] + math.exp(-x[i] * x[i])
    return total


def test_a_sum_of_numpy_scalars():
    check(scalars, values, values)


def test_a_sum_that_leaves_the_floats_is_cpythons():
    def f(x):
        total = 0.0
        for i in range(len(x)):
            total += x[i] * math.exp(1.0)
        return total

    big = np.full(LONG, 1e304)
    split = _jit.Jit(f, False, True)
    with np.errstate(over="ignore"):
        assert same(split(big), f(big))


def test_integers_beyond_64_bits_are_cpythons():
    def f(xs):
        total = 0
        for v in xs:
            total += v * v
        return total

    xs = [2**31] * 100_000
    split = _jit.Jit(f, False, True)
    assert split(xs) == f(xs) == 2**62 * 100_000
    assert "does not fit 64 bits" in split.declined


def test_a_total_that_is_looked_at_on_the_way_is_carried():
    def f(x):
        total = 0.0
        for i in range(len(x)):
            total += x[i]
            if total > 10.0:
                total = 0.0
        return total

    split = _jit.Jit(f, False, True)
    split(values())
    assert "cannot be split" in split.declined and "'total'" in split.declined


def test_a_total_that_is_added_to_itself_is_carried():
    def f(n):
        total = 1.0
        for i in range(n):
            total += i * 0.5
            if i % 300 == 1:
                total += total
        return total

    split = _jit.Jit(f, False, True)
    assert [same(split(1000), f(1000)) for _ in range(3)] == [True] * 3
    assert "it reads 'total' as the iteration before left it" in split.declined


def prefix_sums(x, y):
    total = 0.0
    for i in range(len(x)):
        total += x[i]
        y[i] = total


def test_prefix_sums_of_floats_stay_in_order_and_say_so():
    split = _jit.Jit(prefix_sums, False, True)
    mine, theirs = np.zeros(LONG), np.zeros(LONG)
    split(values(), mine)
    prefix_sums(values(), theirs)
    assert same(mine, theirs)
    assert "it reads the running total 'total' on the way" in split.declined
    assert "would add up in another order" in split.declined


def test_prefix_sums_of_floats_with_fastmath_do_not_blame_the_order():
    split = _jit.Jit(prefix_sums, True, True)
    split(values(), np.zeros(LONG))
    assert "it reads 'total' as the iteration before left it" in split.declined


def test_fastmath_gives_the_same_bits_on_any_number_of_cores():
    def f(x):
        total = 0.0
        for i in range(len(x)):
            total += x[i] * 0.1
        return total

    x = values()
    results = set()
    for count in (1, 2, 5):
        for chunk_ns in (500, CHUNK_NS, 50_000):
            _jit.set_cores(count, chunk_ns)
            fast = _jit.Jit(f, True, True)
            results.update(float(fast(x)) for _ in range(3))
    assert ran_split(fast)
    assert len(results) == 1
    assert math.isclose(results.pop(), f(x), rel_tol=1e-9)

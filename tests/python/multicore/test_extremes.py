"""The largest and the smallest of what a loop meets, and where: with NaN, both zeros, and several that are equal."""
import math

import numpy as np
import pytest

from tests.python.jit.exact import same
from tests.python.multicore.test_maps import LONG, check, values

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM 19")


def positions(xs):
    best, where = xs[0], -1
    least, place = xs[0], -1
    for i in range(len(xs)):
        if xs[i] > best:
            best = xs[i]
            where = i
        if least >= xs[i]:
            least, place = xs[i], i * 2
    return best, where, least, place


def chosen(xs):
    high = low = other = xs[0]
    for v in xs:
        high = max(high, v)
        low = min(low, v)
        other = max(other, v * 0.5)
    return high, low, other


def with_ties(xs):
    return [*xs, *xs[:100]]


CHANGES = [lambda xs: xs, lambda xs: [math.nan, *xs], lambda xs: [*xs[:500], math.nan, 7.0, *xs], with_ties,
           lambda xs: [0.0, -0.0] * LONG, lambda xs: [-0.0, 0.0] * LONG, lambda xs: [0.0, -0.0] + [-1.0] * LONG,
           lambda xs: [-1.0] + [math.nan] * LONG]


@pytest.mark.parametrize("function", [positions, chosen])
@pytest.mark.parametrize("change", CHANGES)
def test_of_floats(function, change):
    check(function, lambda: change(values().tolist()))


def of_array(x):
    best, where = x[0], 0
    for i in range(len(x)):
        if x[i] > best:
            best = x[i]
            where = i
    return best, where


def test_of_an_array():
    check(of_array, values)
    check(of_array, lambda: np.random.default_rng(2).integers(0, 50, LONG))


def whole_numbers(xs):
    high, low, at = 0, 0, -1
    for i in range(len(xs)):
        high = max(xs[i], high)
        low = min(low, xs[i])
    for i in range(len(xs)):
        if xs[i] >= high:
            high, at = xs[i], i
    return high, low, at


def test_of_integers_the_last_of_several_that_are_equal():
    check(whole_numbers, lambda: np.random.default_rng(2).integers(-50, 50, LONG).tolist())


def larger_steps(n):
    most = 0
    for i in range(1, n):
        k, steps = i, 0
        while k > 1:
            k = k // 2 if k % 2 == 0 else 3 * k + 1
            steps += 1
        most = max(most, steps)
    return most


def test_of_what_each_iteration_computes():
    check(larger_steps, lambda: 3000)


def declined(function, *arguments):
    split = _jit.Jit(function, False, True)
    assert same(split(*arguments), function(*arguments))
    return split.declined


def test_a_position_that_is_not_always_noted_is_carried():
    def f(xs):
        best, where = xs[0], 0
        for i in range(len(xs)):
            if xs[i] > best:
                best = xs[i]
                if i % 2 == 0:
                    where = i
        return best, where

    assert "'where' is assigned in some iterations" in declined(f, values().tolist())


def test_a_position_that_is_read_on_the_way_is_carried():
    def f(xs):
        best, where, total = xs[0], 0, 0
        for i in range(len(xs)):
            total += where
            if xs[i] > best:
                best = xs[i]
                where = i
        return best, total

    assert "cannot be split" in declined(f, values().tolist())


def test_what_replaces_the_largest_must_be_what_was_compared():
    def f(xs):
        best = xs[0]
        for i in range(len(xs)):
            if xs[i] > best:
                best = xs[i] * 0.5
        return best

    assert "it reads 'best' as the iteration before left it" in declined(f, values().tolist())


def test_max_with_the_variable_last_lets_nan_in_and_is_carried():
    def f(xs):
        best = xs[0]
        for v in xs:
            best = max(v, best)
        return best

    assert "it reads 'best' as the iteration before left it" in declined(f, [1.0, math.nan, 0.5] * 5000)


MANY = 100 * LONG  # what is compared eight at a time takes so many to be split


def ends(x):
    low = high = x[0]
    for v in x:
        if v < low:
            low = v
        if v >= high:
            high = v
    return low, high, x.min(), x.max()


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint16"])
@pytest.mark.parametrize("best", [0, MANY // 2, MANY - 1])
def test_of_integers_that_stand_before_the_loop_or_in_any_chunk(dtype, best):
    def values():
        x = np.random.default_rng(3).integers(10, 50, MANY).astype(dtype)
        x[best] = 1
        x[-1 - best] = 100
        return x

    check(ends, values)

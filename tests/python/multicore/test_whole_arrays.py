"""Elementwise expressions of whole arrays: numpy's bits, split into stretches of elements."""
import numpy as np
import pytest

from tests.python.multicore.test_maps import check

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM 19")

BIG = 200_000


def floats(n=BIG):
    return np.random.default_rng(4).normal(size=n)


def expression(x, y):
    return np.sqrt(x * x + y * y) * 2.0 - x / (1.0 + y * y)


def test_an_expression_makes_a_new_array():
    check(expression, floats, lambda: floats()[::-1])


def test_of_two_dimensions_and_other_layouts():
    check(expression, lambda: floats().reshape(400, 500), lambda: floats().reshape(400, 500).copy("F"))
    check(expression, lambda: floats().reshape(400, 500), lambda: floats()[:500])


def into(x, y):
    y[:] = x * 2.0 + y
    y += x
    return y


def test_an_assignment_to_a_whole_array():
    check(into, floats, floats)


def counts(x):
    return (x > 0.5).sum(), (x > 0.1).any(), (x > -9.0).all(), (x * 10).astype(np.int64).sum()


def test_exact_reductions():
    check(counts, floats)


def test_what_numpy_warns_about_is_cpythons():
    x = floats()
    x[150_000] = 0.0
    split = _jit.Jit(lambda_free, False, True)
    with pytest.warns(RuntimeWarning):
        split(x)


def lambda_free(x):
    return 1.0 / x


def shifted(x):
    x[1:] = x[:-1] * 0.5
    return x


def test_a_target_that_overlaps_its_source_is_copied_first():
    check(shifted, floats)


def test_a_target_that_lies_on_itself_is_written_in_order():
    from numpy.lib.stride_tricks import as_strided

    def f(y, x):
        y[:] = x * 0.5
        return 0

    x = floats()
    split = _jit.Jit(f, False, True)
    for shape, strides in (((BIG,), (0,)), ((100, 2000), (0, 8))):
        expected, got = np.zeros(2000), np.zeros(2000)
        f(as_strided(expected, shape, strides), x.reshape(shape))
        split(as_strided(got, shape, strides), x.reshape(shape))
        assert expected.tobytes() == got.tobytes()

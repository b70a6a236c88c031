"""Arrays of no dimensions: read as numpy's scalars, written by CPython."""

import math

import pytest

from .exact import same
from .sources import define, lambda_of

np = pytest.importorskip("numpy")
pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402

pytestmark = pytest.mark.skipif(np.__version__.startswith("1."), reason="numpy 1 looks at values")


@pytest.mark.parametrize("expression", [
    "x + 1", "x * x", "1 - x", "-x", "x < 2", "x == x", "x + a", "a * x", "a < x", "float(x)", "int(x)", "bool(x)", "abs(x)",
    "x.item()", "x[()]", "x.shape", "x.ndim", "x.size", "np.sqrt(x)", "np.exp(x)", "np.maximum(x, a)", "np.add(x, a)",
    "math.sqrt(x)", "3 if x else 4", "x",
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_a_point_is_read_as_numpy_reads_it(expression, dtype):
    f = lambda_of("x, a", expression, np=np, math=math)
    x, a = np.array(1, dtype), np.arange(4.0)

    def outcome(call):
        try:
            return call(x, a)
        except TypeError as error:
            return str(error)

    jit = Jit(f)
    got, expected = outcome(jit), outcome(f)
    assert same(got, expected), (got, expected, jit.declined)
    if dtype == "float64":
        assert jit.declined == ""


def test_a_point_that_is_returned_is_the_callers_own():
    f = lambda_of("x", "x")
    x = np.array(2.5)
    assert Jit(f)(x) is x


@pytest.mark.parametrize("statement", ["x += 1.0", "x[()] = 7.0", "x.fill(3.0)"])
def test_writing_a_point_is_cpythons(statement):
    f = define(f"def f(x):\n    {statement}\n    return x\n")
    mine, theirs = np.array(2.5), np.array(2.5)
    jit = Jit(f)
    assert jit(mine) is mine and f(theirs) is theirs and mine == theirs and "no dimensions" in jit.declined


@pytest.mark.parametrize("expression", ["len(x)", "[y for y in x]", "x[0]", "x.sum()", "np.zeros_like(x)", "x.T"])
def test_what_a_point_is_not_is_cpythons(expression):
    f = lambda_of("x", expression, np=np)

    def outcome(call):
        try:
            return call(np.array(2.5))
        except (TypeError, IndexError) as error:
            return type(error), str(error)

    jit = Jit(f)
    got, expected = outcome(jit), outcome(f)
    assert type(got) is type(expected) and (got == expected) and jit.declined

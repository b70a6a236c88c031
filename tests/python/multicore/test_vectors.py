"""Chunks are as fast as the loop that they are cut out of: what is known when it is compiled is known in them."""
import math
import re

import numpy as np
import pytest

from tests.python.jit.exact import same
from tests.python.multicore.test_maps import check, empty, values

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM 19")


def scaled(x, y):
    for i in range(len(x)):
        y[i] = x[i] * 0.5 + 1.0


def iterated(x, y):
    for i in range(len(x)):
        v = x[i]
        for _ in range(40):
            v = v * 0.5 * (1.0 - v * 0.25)
        y[i] = v


def chunk_of(code):
    """The part of the LLVM code that chunks run."""
    return re.search(r"^define [^\n]*@chunk\..*?^}", code, re.S | re.M).group(0)


@pytest.mark.parametrize("function", [scaled, iterated])
def test_chunks_are_vectorised(function):
    split = check(function, values, empty)
    code = split.explain(values(), empty())["llvm"]
    assert re.search(r"fmul <[248] x double>", chunk_of(code))


def test_chunks_of_strided_arrays_have_the_bits_too():
    check(iterated, lambda: values()[::2], lambda: empty()[::-2])


def test_an_overflow_in_a_flattened_loop_is_numpys_warning():
    def f(x, y):
        for i in range(len(x)):
            v = x[i]
            for _ in range(20):
                v = v * v
            y[i] = v

    x = np.full(20_000, 1.0)
    x[13_000] = 2.0
    mine, theirs = np.zeros(len(x)), np.zeros(len(x))
    with pytest.warns(RuntimeWarning, match="overflow"):
        _jit.Jit(f, False, True)(x, mine)
    with pytest.warns(RuntimeWarning, match="overflow"):
        f(x, theirs)
    assert same(mine, theirs)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_math_raises_or_passes_on_is_cpythons(bad):
    def f(xs):
        return [math.atan(x) + math.exp(x) for x in xs]

    def sines(xs):
        total = 0.0
        for x in xs:
            total += math.sin(x) * math.cos(x)
        return total

    xs = [0.5] * 5000 + [bad] + [0.25] * 5000
    for function in (f, sines):
        outcomes = []
        for one in (function, _jit.Jit(function, False, True)):
            try:
                outcomes.append(one(xs))
            except ValueError as error:
                outcomes.append(str(error))
        assert same(*outcomes)

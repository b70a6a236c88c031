"""Loops over arrays whose iterations are independent: the bits of CPython on any number of cores."""
import math

import numpy as np
import pytest

import epochly
from tests.python.jit.exact import same
from tests.python.multicore.conftest import CHUNK_NS

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM 19")

LONG = 20_000  # iterations: enough to be split at any speed of the loops below


def ran_split(function):
    """Executions on several cores of all loops of what level 3 made of ``function``."""
    return sum(loop.get("ran_split", 0) for v in function.versions() for loop in v["loops"])


def check(function, *makers, cores=(1, 2, 5)):
    """The same as CPython for each number of cores, return value and arrays; with more than one it was split."""
    expected_arguments = [make() for make in makers]
    expected = function(*expected_arguments)
    split = _jit.Jit(function, False, True)
    for count in cores:
        _jit.set_cores(count, CHUNK_NS)
        for _ in range(2):  # the first call of all measures
            arguments = [make() for make in makers]
            result = split(*arguments)
            assert split.declined == ""
            assert same(result, expected)
            assert same(arguments, expected_arguments)
        if count > 1:
            assert ran_split(split) > 0, split.versions()[0]["loops"]
    return split


def values(n=LONG):
    return np.random.default_rng(1).normal(size=n)


def empty(n=LONG):
    return np.zeros(n)


def heavy(x, y):
    for i in range(len(x)):
        v = float(x[i])
        for _ in range(100):
            v = math.sin(v) + 0.5
        y[i] = v


def test_a_map_has_the_bits_of_cpython():
    check(heavy, values, empty)


def backwards(x, y):
    for i in range(len(x) - 1, -1, -1):
        y[i] = math.sqrt(abs(x[i])) ** 3
    return i


def test_backwards_and_the_loop_variable_afterwards():
    check(backwards, values, empty)


def strided(x, y):
    for i in range(2, len(x) - 3, 3):
        y[i - 2] = math.exp(-(x[i] ** 2))
        last = y[i - 2] * i
    return i, last


def test_steps_offsets_and_the_last_value_of_what_is_assigned():
    check(strided, values, empty)


def pairs(x, y):
    for i, v in enumerate(x):
        y[i] = math.atan2(v, i)
    for a, b in zip(x, y):
        c = a + b
    return c


def test_enumerate_and_zip():
    check(pairs, values, empty)


def rows(image, out):
    h, w = image.shape
    for i in range(1, h - 1):
        for j in range(1, w - 1):
            out[i, j] = (image[i - 1, j] + image[i + 1, j] + image[i, j - 1] + image[i, j + 1]) / 4.0 - image[i, j]
    return h


def picture():
    return np.random.default_rng(2).normal(size=(400, 300))


def test_a_stencil_of_another_array():
    check(rows, picture, lambda: np.zeros((400, 300)))


@pytest.mark.parametrize("layout", [lambda a: a, np.asfortranarray, lambda a: a[::-1], lambda a: a[:, ::2]])
def test_a_stencil_of_arrays_that_lie_otherwise(layout):
    check(rows, lambda: layout(picture()), lambda: layout(np.zeros((400, 300))))


def in_place(y):
    for i in range(len(y)):
        y[i] = math.cos(y[i]) * y[i]


def test_a_map_in_place():
    check(in_place, values)


def shifted(x, y):
    for i in range(len(y)):
        y[i] = x[i] * 0.5 + 1.0


def test_arrays_that_overlap_run_in_order():
    memory = values()
    expected = memory.copy()
    shifted(expected[:-1], expected[1:])
    split = _jit.Jit(shifted, False, True)
    shared = memory.copy()
    split(shared[:-1], shared[1:])
    assert split.declined == ""
    assert same(shared, expected)
    assert ran_split(split) == 0


def test_an_array_that_lies_on_itself_runs_in_order():
    def fill(x, y):
        for i in range(len(y)):
            y[i] = x[i] + y[i]

    from numpy.lib.stride_tricks import as_strided

    x = values()
    expected, result = np.zeros(1), np.zeros(1)
    fill(x, as_strided(expected, (LONG,), (0,)))
    _jit.Jit(fill, False, True)(x, as_strided(result, (LONG,), (0,)))
    assert same(result, expected)


def negative(x, y):
    for i in range(-5, len(x) - 5):
        y[i] = x[i] + i


def test_indices_that_begin_below_zero():
    assert same(run_both(negative, values, empty)[0], run_both(negative, values, empty)[1])


def run_both(function, *makers):
    expected, result = [make() for make in makers], [make() for make in makers]
    function(*expected)
    split = _jit.Jit(function, False, True)
    split(*result)
    assert split.declined == ""
    return expected, result


def test_an_index_out_of_range_in_one_chunk_undoes_all():
    def f(x, y):
        for i in range(len(x)):
            y[i] = x[i] * 2.0

    x, y = values(), empty(LONG - 1)
    split = _jit.Jit(f, False, True)
    with pytest.raises(IndexError):
        split(x, y)
    expected = empty(LONG - 1)
    with pytest.raises(IndexError):
        f(x, expected)
    assert same(y, expected)


def test_the_exception_is_that_of_the_first_iteration_that_raises():
    def f(x, y):
        for i in range(len(x)):
            y[i] = 1.0 / (i - 15_000) if i % 2 == 0 else math.sqrt(i - 17_000.0 if i > 15_500 else 1.0)

    x, y = values(), empty()
    with pytest.raises(ZeroDivisionError):
        _jit.Jit(f, False, True)(x, y)
    assert y[14_998] == 1.0 / -2 and y[15_002] == 0.0


def test_what_cannot_be_split_says_the_line():
    def f(x, y):
        for i in range(1, len(x)):
            y[i] = y[i - 1] + x[i]

    split = _jit.Jit(f, False, True)
    split(values(), empty())
    line = f.__code__.co_firstlineno
    assert split.declined == (f"line {line + 2}: the loop of line {line + 1} cannot be split: it reads elements of 'y' that "
                              "other iterations write")


def test_a_function_without_a_loop_says_so():
    split = _jit.Jit(lambda a: a + 1, False, True)
    assert split(1) == 2
    assert "no loop" in split.declined or "source" in split.declined


class TestTheLevel:
    def test_a_decorated_call_runs_at_level_3(self):
        f = epochly.optimize(level=3)(heavy)
        y, expected = empty(), empty()
        f(values(), y)
        heavy(values(), expected)
        report = epochly.report(f)
        assert report.level == 3
        assert same(y, expected)

    def test_what_does_not_split_runs_at_level_2_and_the_report_says_why(self):
        @epochly.optimize(level=3)
        def f(x):
            last = 0.0
            for i in range(len(x)):
                last = last * 0.5 + x[i]
            return last

        f(values())
        report = epochly.report(f)
        assert report.level == 2
        assert "cannot be split" in str(report.declined)

    def test_inspect_shows_each_loop(self):
        f = epochly.optimize(level=3)(rows)
        shapes = epochly.inspect(f, picture(), picture()).loops
        assert [(s["shape"], s["depth"], s["splits"]) for s in shapes] == [("map", 0, True), ("map", 1, True)]
        first = rows.__code__.co_firstlineno
        assert [s["line"] for s in shapes] == [first + 2, first + 3]

    def test_the_context_reaches_undecorated_functions(self):
        y, expected = empty(), empty()
        with epochly.optimize_context(level=3):
            heavy(values(), y)
        heavy(values(), expected)
        assert same(y, expected)
        assert any(v["loops"] for v in _jit.known(heavy, False, True)["versions"])

    def test_the_feature_is_there(self):
        assert epochly.check_feature("multicore")

"""Complex numbers, Python's and numpy's: value, type and exception as CPython has them, zeros of both signs and NaN included."""

import itertools
import math
import random

import pytest

from .exact import same

pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402

PARTS = [0.0, -0.0, 1.0, -1.5, 1e200, 1e-200, 5e-324, math.inf, -math.inf, math.nan]
NUMBERS = [complex(a, b) for a, b in itertools.product(PARTS, PARTS)]
REALS = [0, 1, -3, 2**53 + 1, 2**62, True, 2.5, -0.0, math.inf, math.nan]
DEFAULT = 1 - 0.5j


def outcome(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return type(error), str(error)


def arithmetic(a, b):
    return a + b, a - b, a * b, -a, +b


def quotient(a, b):
    return a / b


def square_and_cube(a, b):
    return a**2, b**3.0


def reciprocal_power(a, b):
    return a**-1, b**0


def power(a, b):
    return a**b


def equality(a, b):
    return a == b, a != b, bool(a), not b, a is None, a == None  # noqa: E711


def parts(a, b):
    return a.real, a.imag, b.conjugate()


def literals(a, b=DEFAULT):
    return a * (2 + 3j) - 1j * b, complex(a), complex()  # noqa: UP018


def size(a, b):
    return abs(a) if b else abs(b)


@pytest.mark.parametrize("function", [
    arithmetic, quotient, square_and_cube, reciprocal_power, power, equality, parts, literals, size,
])  # fmt: skip
def test_every_pair_of_edge_values_gives_what_cpython_gives(function):
    jit, ran = Jit(function), 0
    pairs = [*itertools.product(NUMBERS[::3], NUMBERS[::7]), *itertools.product(REALS, NUMBERS[::3]),
             *itertools.product(NUMBERS[::3], REALS)]
    random.Random(1).shuffle(pairs)  # eight in a row that raise would be the last that are tried
    for a, b in pairs:
        assert same(outcome(jit, a, b), outcome(function, a, b)), (a, b)
        ran += jit.declined == ""
    assert ran > 0


@pytest.mark.parametrize("function, args, error", [
    (quotient, (1j, 0j), ZeroDivisionError), (reciprocal_power, (0j, 1j), ZeroDivisionError),
    (size, (1.5e308 + 1.5e308j, True), OverflowError), (square_and_cube, (1e200 + 0j, 1j), OverflowError),
    (lambda a: a < 1j, (1j,), TypeError), (lambda a: a // 2, (1j,), TypeError), (lambda a: int(a), (1j,), TypeError),
])  # fmt: skip
def test_what_raises_raises_cpythons_exception(function, args, error):
    with pytest.raises(error) as expected:
        function(*args)
    with pytest.raises(error, match="^" + str(expected.value).replace("(", r"\(").replace(")", r"\)") + "$"):
        Jit(function)(*args)


def collect(values, pairs):
    total = 0j
    for i, z in enumerate(values):
        values[i] = z * z
        total += z
    made = [(z, abs(z)) for z in values]
    made.append((total, 1.0))
    return made, pairs[0][1], sum(values), values


def test_lists_and_tuples_of_complex_are_read_and_written():
    jit = Jit(collect)
    ours, theirs = ([1 + 2j, -0.0j, 3j], [(1, 2j), (2, 0j)]), ([1 + 2j, -0.0j, 3j], [(1, 2j), (2, 0j)])
    assert same(jit(*ours), collect(*theirs)) and same(ours, theirs)
    assert jit.declined == ""


def test_complex_powers_that_are_no_constants_take_cpythons_own_steps():
    jit = Jit(power)
    for a, b in itertools.product([1 + 2j, -0.5j, 2.0 + 0j, -3 + 1e-9j], [2, 2.5, 1j, -1.5 + 0.5j, 101, -7]):
        assert same(jit(a, b), a**b), (a, b)
        assert jit.declined == ""


# ---- numpy ----


def whole(a, b):
    return a + b, a - b, a * b, -a, a.conjugate(), a == b, abs(a), a * 2j + 1


def items(a, b):
    total = 0j
    for i in range(len(a)):
        total = total + a[i] * b[i] / 2
        a[i] = a[i] - 1j
        b[i] = i
    return total, a[0], b[-1], abs(complex(a[0].real, a[1].imag)), a[::2], a.real + b.imag


def functions(a, b):
    squares = a * a
    return np.exp(a), np.sqrt(a), np.abs(b), np.where(a == b, a, b), a.sum(), np.zeros(3, complex), np.conj(b), squares**2


def quotients(a, b):
    return a / b, b / 2.0, 1j / a, a.astype(np.complex128), b.copy()


np = pytest.importorskip("numpy")


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("function", [whole, items, functions, quotients])
def test_complex_arrays_have_numpys_bits(function, dtype):
    def fresh():
        values = np.random.default_rng(7).normal(size=(2, 67)) + 1j * np.random.default_rng(8).normal(size=(2, 67))
        return values[0].astype(dtype), values[1].astype(dtype)

    jit = Jit(function)
    ours, theirs = fresh(), fresh()
    got, expected = jit(*ours), function(*theirs)
    if function is items and dtype == "complex64":
        assert same(got[:4], expected[:4]) and same(ours, theirs)
        return
    assert same(got[:4], expected[:4]) and same(got[5:], expected[5:]) and same(list(ours), list(theirs))


@pytest.mark.parametrize("a", [
    np.complex128(1.5 - 2j), np.complex64(0.1 + 3j), 2.5 - 1j, 3, np.float64(0.5), np.complex128(complex(-0.0, 0.0)),
])  # fmt: skip
@pytest.mark.parametrize("b", [np.complex128(0.1 + 0.2j), np.complex64(7.25 - 0.3j), 1j])
def test_complex_scalars_have_numpys_types_and_bits(a, b):
    def both(x, y):
        return x + y, x * y, y - x, x / y, -y, y.real, y.imag, y.conjugate()

    assert same(Jit(both)(a, b), both(a, b))


def test_a_part_of_a_complex_array_is_written_in_place():
    def rotate(z):
        z.imag[:] = z.real * 2
        z.real[0] = 7.0
        return z

    ours, theirs = np.arange(5) + 1j, np.arange(5) + 1j
    jit = Jit(rotate)
    assert same(jit(ours), rotate(theirs)) and same(ours, theirs)
    assert jit.declined == ""

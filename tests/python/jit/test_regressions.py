"""What the fuzzer found, shrunk."""

import random

import pytest

from .exact import same

pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402


def a_check_before_a_loop_that_is_never_reached(p0, p1, p2):
    for k1 in range(5):  # noqa: B007
        p2 += abs(p2**3)
        for _ in range(1, 6):
            p2 -= (-7.0 // -1e300) + 0.1
    i4 = p0 & ((k1 - p0) + (7 if False else k1))
    for k5 in range(6, 0, -1):
        if i4 >= 5:
            break
        if max(k1, 1) <= p2:
            for k6 in range(5):
                k1 = (((-1 + k1) - (-3 + k6)) + ((k5 * k6) - abs(p2))) % 1000003
            i9 = k1 // ((k5 // 0) if (p2 != p2) else len(p1))  # noqa: F841
    return p2


def tuples_of_two_lengths(flag):
    pair = (1, 2.5)
    if flag:
        pair = (1, 2.5, 3)
    return pair


@pytest.mark.parametrize("function, args", [
    (a_check_before_a_loop_that_is_never_reached, (-3, [], 7.260252109023067)), (tuples_of_two_lengths, (True,)),
    (tuples_of_two_lengths, (False,)),
])  # fmt: skip
def test_a_program_that_once_differed(function, args):
    assert same(Jit(function)(*args), function(*args))


def test_arrays_of_two_types_in_one_variable():
    np = pytest.importorskip("numpy")

    def mixes(a, b):
        for _ in range(3):
            b = np.square(b) * a
        return b

    a, b = np.arange(5.0), np.arange(5, dtype=np.float32)
    assert same(Jit(mixes)(a, b), mixes(a, b))


def test_a_name_that_may_hold_two_arrays_is_changed_in_place():
    np = pytest.importorskip("numpy")

    def turns(a, b, n):
        for _ in range(n):
            b = a
        b *= 3.0
        b[0] = 7
        return a.sum()

    jit = Jit(turns)
    for n in (0, 2):
        sides = [(np.arange(4.0), np.arange(4, dtype=np.float32)) for _ in range(2)]
        assert same(jit(*sides[0], n), turns(*sides[1], n)) and jit.declined == ""
        assert all(same(mine, theirs) for mine, theirs in zip(*sides))

    def does_not_fit(a, b, n):
        for _ in range(n):
            b = a
        b *= 1.5
        return 3

    jit = Jit(does_not_fit)
    with pytest.raises(TypeError, match="Cannot cast"):
        jit(np.arange(4), np.arange(4.0), 1)


def test_what_an_array_of_two_types_gives_has_its_elements():
    np = pytest.importorskip("numpy")

    def compares(a, b):
        for _ in range(len(b)):
            a = b + b
        return b < (a >= a), a + 1

    a, b = np.arange(5, dtype=np.int16), np.arange(5, dtype=np.float32)
    jit = Jit(compares)
    assert same(jit(a, b), compares(a, b)) and jit.declined == ""


def sum_of_sizes(data):
    total = 0.0
    for z in data:
        total += abs(z)
    return total


def test_the_size_of_a_complex_number_is_libms_which_math_hypot_is_not():
    r = random.Random(8)
    data = [complex(r.uniform(-2, 2), r.uniform(-2, 2)) for _ in range(20_000)] + [1e-320 + 1e-320j, 0j, 5e-324j]
    jit = Jit(sum_of_sizes)
    assert same(jit(data), sum_of_sizes(data)) and not jit.declined
    assert all(same(jit([z]), sum_of_sizes([z])) for z in data[::10]) and not jit.declined


def test_arrays_that_become_one_in_a_loop_leave_the_function_whole():
    np = pytest.importorskip("numpy")

    def turns(a, b, c):
        if c[0, 0] < -1:
            for k in range(4):
                b[1:3, ::2] -= c[1:3, ::2]
                s = k  # noqa: F841
                a = b
        return np.max(np.arctan2(b, c)), a

    jit = Jit(turns)
    for low in (1.0, -9.0, 1.0):
        sides = [[np.arange(i + low, i + low + 20.0).reshape(5, 4) for i in range(3)] for _ in range(2)]
        assert same(jit(*sides[0]), turns(*sides[1])) and jit.declined == ""
        assert all(same(mine, theirs) for mine, theirs in zip(*sides))


def test_a_single_complex_number_is_multiplied_in_place_as_numpy_does():
    np = pytest.importorskip("numpy")

    def squares(a):
        a[::2] *= a[::2]
        a *= a

    jit, r = Jit(squares), np.random.default_rng(2)
    for n in (1, 2, 3, 1, 5):
        for _ in range(20):
            mine = (r.standard_normal(n) + 1j * r.standard_normal(n)).astype(np.complex64)
            theirs = mine.copy()
            jit(mine)
            squares(theirs)
            assert same(mine, theirs), (n, jit.declined)


def test_complex_arrays_that_run_backwards_are_multiplied_as_numpy_does():
    np = pytest.importorskip("numpy")

    def product(a, b):
        return a * b

    def backwards(a, b):
        a[::-1] *= b[::-1]
        return a[::-1] / b[::-1]

    r = np.random.default_rng(3)
    for function, goes_back in ((product, 4), (backwards, 0)):  # what is turned round twice runs forwards
        jit = Jit(function)
        for n in (2, 5, 8, 19):
            sides = [(r.standard_normal(n) + 1j * r.standard_normal(n)).astype(np.complex64) for _ in range(2)]
            mine, theirs = ([side.copy()[::-1] for side in sides] for _ in range(2))
            assert same(jit(*mine), function(*theirs)), n
            assert all(same(one, other) for one, other in zip(mine, theirs))
        assert sum(version["given_back"] for version in jit.versions()) == goes_back

"""Guards that are looked at before a loop, late, or stricter than need be: the answer is CPython's all the same."""

import copy
import warnings

import pytest

from .exact import same

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM")
np = pytest.importorskip("numpy")

# worker/levels/jit/points.h: iterations between two polls of an innermost loop.
STRIP = 1 << 14


def outcome(function, args):
    """What a call returns or raises, its warnings, and its arguments afterwards."""
    args = copy.deepcopy(args)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = "value", function(*args)
        except Exception as error:
            result = "raises", (type(error).__name__, str(error))
    return result, [str(w.message) for w in seen], args


def check(function, *calls, compiled=None):
    """Every call of the same compiled function, in this order, against CPython; how many ran compiled."""
    jit = compiled or _jit.Jit(function)
    ran = 0
    for args in calls:
        expected, got = outcome(function, args), outcome(jit, args)
        assert got[0][0] == expected[0][0] and same(got[0][1], expected[0][1]), (args, got[0], expected[0])
        assert got[1] == expected[1]
        assert same(tuple(got[2]), tuple(expected[2])), "what it does to its arguments"
        ran += jit.declined == ""
    return ran


def doubled(x, y, n):
    for i in range(n):
        y[i] = 2.0 * x[i]
    return n


def test_an_index_that_leaves_the_array_raises_after_the_writes_before_it():
    x, y = np.arange(10.0), np.zeros(10)
    assert check(doubled, (x, y, 10), (x, y, 11), (x, y[:4], 10), (x[:4], y, 10), (x, y, 0), (x, y, -3)) == 3


def test_a_break_before_the_index_leaves_the_array():
    def total(x, n):
        s = 0.0
        for i in range(n):
            if i == len(x):
                break
            s += x[i]
        return s

    assert check(total, (np.arange(5.0), 5), (np.arange(5.0), 9), (np.zeros(0), 3)) == 3


def test_negative_indices_count_from_the_end():
    def backwards(x, n):
        s = 0.0
        for i in range(1, n):
            s = s * 0.5 + x[-i]
        return s

    x = np.arange(7.0)
    assert check(backwards, (x, 8), (x, 7), (x, 1)) == 3
    assert check(backwards, (x, 9)) == 0


def test_indices_that_cross_zero():
    def around(x, shift):
        s = 0.0
        for i in range(len(x)):
            s = s * 0.5 + x[i - shift]
        return s

    assert check(around, (np.arange(9.0), 0), (np.arange(9.0), 3), (np.arange(9.0), 9)) == 3


def test_an_overflow_to_infinity_warns_and_writes_as_in_cpython():
    def scaled(x, y, a):
        for i in range(len(x)):
            y[i] = x[i] * a + y[i]
        return y[0]

    x = np.full(100, 1e300)
    x[60] = 1.0
    check(scaled, (np.ones(100), np.ones(100), 2.0), (x, np.ones(100), 1e10), (np.full(100, np.inf), np.ones(100), 1.0))


def test_infinities_and_nan_that_were_there_before_run_compiled():
    def total(x):
        s = 0.0
        for v in x:
            s = s + v * 2.0
        return s

    x = np.ones(50)
    x[3], x[7] = np.inf, np.nan
    assert check(total, (np.ones(50),), (x,), (np.full(9, -np.inf),), (np.ones(5),)) == 4


def test_an_integer_beyond_64_bits_after_writes():
    def powers(data, n):
        p = 1
        for i in range(n):
            data[i] = p
            p = p * 3
        return p

    assert check(powers, ([0] * 60, 30)) == 1
    check(powers, ([0] * 60, 30), ([0] * 60, 50), ([0] * 60, 30))


@pytest.mark.parametrize("n", [0, 1, STRIP - 1, STRIP, STRIP + 1, 2 * STRIP, 2 * STRIP + 1, 5 * STRIP + 77])
def test_strips_have_every_iteration_once(n):
    def count(x, y, n):
        hits = 0
        last = -1
        for i in range(n):
            y[i] = x[i] + i
            if x[i] > 0.5:
                hits += 1
                last = i
        return hits, last

    assert check(count, (np.random.default_rng(n).random(n), np.zeros(n), n)) == 1


@pytest.mark.parametrize("step", [1, 2, 3, 7, -1, -3])
def test_ranges_with_steps(step):
    def walk(x, start, stop):
        s = 0.0
        n = 0
        for i in range(start, stop, step):
            s = s * 0.5 + x[i]
            n += 1
        return s, n

    x = np.random.default_rng(1).random(40)
    check(walk, (x, 0, 40), (x, 39, 0), (x, 39, -1), (x, 5, 6), (x, 30, 41), (x, -40, 40))


def test_products_and_sums_of_the_index():
    def every_third(x, n):
        s = 0.0
        for i in range(n):
            s = s * 0.5 + x[3 * i + 1]
        return s

    x = np.arange(31.0)
    assert check(every_third, (x, 10), (x, 0)) == 2
    check(every_third, (x, 11), (x, 2**62))


def test_a_best_index_is_in_range_like_the_index_it_comes_from():
    def best_of(x, n):
        best = 0
        for i in range(n):
            if x[i] > x[best]:
                best = i
        return best

    x = np.random.default_rng(5).random(100)
    assert check(best_of, (x, 100), (x, 1), (x, 0)) == 3
    check(best_of, (x, 101), (np.zeros(0), 1), (np.zeros(0), 0))


def test_arrays_that_overlap():
    def smooth(x, y):
        for i in range(1, len(x) - 1):
            y[i] = 0.25 * x[i - 1] + 0.5 * x[i] + 0.25 * x[i + 1]

    compiled = _jit.Jit(smooth)
    for offset in (0, 1, 2, 5):
        base = [np.random.default_rng(2).random(300) for _ in range(2)]
        smooth(base[0][:200], base[0][offset : offset + 200])
        compiled(base[1][:200], base[1][offset : offset + 200])
        assert compiled.declined == "" and same(*base)


def test_strided_and_reversed_arrays_after_contiguous_ones():
    x = np.random.default_rng(3).random((40, 40))

    def total(m):
        s = 0.0
        for i in range(m.shape[0]):
            for j in range(m.shape[1]):
                s += m[i, j]
        return s

    assert check(total, (x,), (x.T,), (x[::2, ::3],), (x[::-1, ::-1],), (x[:0],), (x,)) == 6


def test_a_loop_that_an_overflow_would_never_leave_ends():
    def doubling(n):
        x = 1
        steps = 0
        while x < n:
            x *= 2
            steps += 1
        return steps, x

    check(doubling, (1000,), (2**63 - 1,))


def test_rows_whose_index_is_checked_before_the_inner_loop():
    def rows(m, first, last):
        s = 0.0
        for i in range(first, last):
            for j in range(m.shape[1]):
                s = s * 0.5 + m[i, j] + m[i - 1, j]
        return s

    m = np.random.default_rng(4).random((6, 5))
    assert check(rows, (m, 1, 6), (m, 0, 6), (m, -3, 3)) == 3
    check(rows, (m, 1, 7), (m[:, :0], 1, 9), (m[:0], 0, 1))


def test_the_guard_that_failed_is_named_with_its_line():
    def raises(x, n):
        s = 0
        for i in range(n):
            s += x[i]
        return s

    compiled = _jit.Jit(raises)
    assert compiled([1, 2, 3], 3) == 6
    with pytest.raises(IndexError):
        compiled([1, 2, 3], 4)
    line = raises.__code__.co_firstlineno + 3
    assert compiled.declined == f"line {line}: this call went back to CPython: an index out of range"


def test_an_index_known_while_compiling_is_checked_where_it_stands():
    def outside(x):
        y = [1.0, 2.0, 3.0]
        s = x
        if x > 0.0:
            s += y[5]
        return s

    assert check(outside, (-1.0,)) == 1
    assert check(outside, (1.0,)) == 0
    assert check(lambda x: np.zeros(3)[5] + x, (1.0,)) == 0


def test_an_overflow_that_only_a_comparison_with_another_type_sees_is_warned_of():
    single = np.ones(200, np.float32)
    single[5] = 3e38
    double, whole = np.ones(200), np.ones(200, np.uint64)
    check(lambda a, b: (a + a) == b, (single[:4], double[:4]), (single, double))
    check(lambda a, b: (a + a) < np.hypot(a, b), (single[:4], whole[:4]), (single, whole))
    check(lambda a, b: np.where(a * a > b, 1, 0), (single[:4], double[:4]), (single, double))
    check(lambda a: (a * a).astype(np.float32), (double,), (np.full(200, 1e200),))


def share(i, j):
    return 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)


def sum_of_shares(u, i):
    total = 0.0
    for j in range(len(u)):
        total += share(i, j) * u[j]
    return total


def test_a_helper_that_computes_with_two_counters_is_vectorised_with_the_loop_that_calls_it():
    u = np.random.default_rng(5).random(500).tolist()
    assert check(sum_of_shares, (u, 3), (u, 0), (u[:1], 7), ([], 1), (u, 10**6)) == 5
    # Zero divisors, and each product and sum beyond 64 bits.
    check(sum_of_shares, (u, -1), (u, -2), (u, 2**31), (u, 3 * 2**30), (u, 2**62), (u, -(2**62)), (u, 2**63 - 3), (u, -(2**63)))
    assert "vector.body" in _jit.Jit(sum_of_shares).explain(u, 3)["llvm"]


def product_down(n, factor):
    return factor if n < 2 else n * product_down(n - 1, factor)


def total_product(data, factor):
    total = 0
    for n in data:
        total ^= product_down(n, factor) & 0xFFFF
    return total


def test_what_a_function_only_notes_its_callers_look_at():
    assert check(total_product, ([1, 2, 20], 1), ([3], -1)) == 2
    check(total_product, ([1, 21, 2], 1), ([5, 5], 2**62), ([2], 2**62), ([2], -(2**62)), ([60], 3))

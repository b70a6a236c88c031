"""Checks that fast code leaves out because others imply them, and the arithmetic that takes their place."""

import random
import re

import pytest

from .test_speculation import check

np = pytest.importorskip("numpy")

MOST, LEAST = 2**63 - 1, -(2**63)


def edges(factor, term):
    """Where factor * x + term leaves 64 bits, from both sides."""
    ends = [(MOST - term) // factor, MOST // factor, -(-LEAST // factor), -((term - LEAST) // factor)]
    return [e + d for e in ends for d in (-2, -1, 0, 1, 2) if LEAST <= e + d <= MOST]


@pytest.mark.parametrize("factor, term", [(3, 1), (3, -1), (10, 7), (2, -5), (1000003, 0)])
def test_products_with_constants_at_the_edges_of_64_bits(factor, term):
    scaled = SCALED[factor, term]
    assert check(scaled, ([1, 3, 5],)) == 1
    for x in edges(factor, term):
        check(scaled, ([1, x, 2],), ([x],))


def scaled_3_1(data):
    t = 0
    for x in data:
        t ^= 3 * x + 1
    return t


def scaled_3_minus_1(data):
    t = 0
    for x in data:
        t ^= 3 * x - 1
    return t


def scaled_10_7(data):
    t = 0
    for x in data:
        if x != 2:
            x = 10 * x
            t ^= x + 7
            t ^= x - 3
    return t


def scaled_2_minus_5(data):
    t = 0
    for x in data:
        t ^= x * 2 - 5
    return t


def scaled_1000003_0(data):
    t = 0
    for x in data:
        t ^= x * 1000003
    return t


SCALED = {(3, 1): scaled_3_1, (3, -1): scaled_3_minus_1, (10, 7): scaled_10_7, (2, -5): scaled_2_minus_5,
          (1000003, 0): scaled_1000003_0}


def test_division_by_powers_of_two_rounds_down():
    def halves(data):
        return [(x // 2, x % 2, x // 8, x % 8, x // 1, x % 1, x // 2**40, x % 2**40) for x in data]

    values = [0, 1, -1, 2, -2, 7, -7, 8, -8, 9, -9, MOST, MOST - 1, LEAST, LEAST + 1, 2**40, -(2**40), 3 * 2**40 + 5]
    assert check(halves, (values,)) == 1


def test_a_counter_that_starts_near_the_end_of_64_bits():
    def count(start, n):
        while n != 0:
            start += 1
            n -= 1
        return start

    assert check(count, (0, 10), (-5, 3), (2**62 - 7, 5)) == 3
    check(count, (MOST - 3, 3), (MOST - 3, 4), (LEAST, 2), (-(2**62), 3), (-(2**62) - 1, 3))


def special(n, *places):
    x = np.linspace(-1.0, 1.0, n)
    for at, value in places:
        x[at] = value
    return x


HUGE = [special(9), special(9, (0, 1e308)), special(9, (4, 1e308)), special(9, (8, 1e308)), special(9, (8, -1e308), (7, 1e308)),
        special(9, (3, np.inf)), special(9, (3, np.nan)), special(9, (2, np.inf), (5, -np.inf)), special(9, (8, 1e160)),
        special(0), special(1), special(1, (0, np.inf)), special(60, (59, 1e308)), special(60, (0, 1e308), (1, -1e308))]


def test_a_sum_that_leaves_the_floats_warns_wherever_it_does():
    def total(x):
        s = 0.0
        for v in x:
            s += (v * 10.0 - 0.5) * (v + 2.0)
        return s

    check(total, *[(x,) for x in HUGE])


def test_a_value_that_does_not_stay_in_the_sum_is_still_looked_at():
    def last(x):
        s = 0.0
        product = 0.0
        for v in x:
            product = v * 10.0
            if v < 0.5:
                s = s + product
        return s, product

    def reset(x):
        s = 0.0
        for v in x:
            s = s + v * 10.0
            if v > 0.5:
                s = 0.0
        return s

    def by_hand(x):
        s = 1.0
        for i in range(len(x)):
            s = x[i] * 10.0 - s * 0.5
        return s

    for function in (last, reset, by_hand):
        check(function, *[(x,) for x in HUGE])


def test_while_loops_note_what_is_not_finite():
    def grows(x, limit):
        n = 0
        while x[0] < limit and n < 5000:
            x[0] = x[0] * 1.5 + 1.0
            n += 1
        return n, x[0]

    assert check(grows, (np.ones(1), 1e6)) == 1
    check(grows, (np.ones(1), np.inf), (np.full(1, -3.0), 1e9), (np.full(1, 1e308), np.inf))


def test_squares_in_a_sum():
    def squares(m):
        total = 0.0
        for v in m:
            total += (v * 1.5 - 0.25) ** 2
        return total

    r = np.random.default_rng(11)
    assert check(squares, (r.random(5000),), (r.random(3000) * 1e-140,), (r.random(3000) * 1e150,)) == 3
    check(squares, *[(x,) for x in HUGE], (r.random(50) * 1e-160,), (r.random(50) * 1e156,))


def test_powers_of_python_floats_overflow_as_in_cpython():
    def squares(data):
        return [(x**2, abs(x) ** 0.5) for x in data]

    r = random.Random(4)
    many = [r.uniform(-1, 1) * 10.0 ** r.randrange(-150, 150) for _ in range(20_000)]
    assert check(squares, (many,)) == 1
    check(squares, ([1e154, 1.4e154],), ([0.0, -0.0],), ([1e-162, 5e-324],), ([float("inf")],), ([float("nan"), 2.0],))


def test_a_variable_that_is_one_float_or_another():
    def nearest(x, start):
        best = start
        where = -1
        for i in range(len(x)):
            d = x[i] - 0.25
            if d * d < best:
                best = d * d
                where = i
        return best, where

    x = np.random.default_rng(12).random(500)
    y = x.copy()
    y[100] = np.nan
    assert check(nearest, (x, 1e300), (x, -1.0), (x[:0], 2.5), (x, np.float64(0.5))) == 4
    check(nearest, (y, 1e300), (x, float("nan")), (x, float("inf")), (x, -0.0), (x, 3))


def alternating_sum(n):
    s = 0.0
    for k in range(n):
        s += (-1.0 if k % 2 else 1.0) / (2 * k + 1)
    return s


def test_a_loop_without_memory_takes_no_more_iterations_at_once_than_a_vector_has_doubles():
    from epochly._jit import Jit

    check(alternating_sum, (1,), (17,), (1000,), (20_000,))
    widths = re.findall(r"<(\d+) x (?:double|i64|i1)>", Jit(alternating_sum).explain(1000)["llvm"])
    assert widths and max(map(int, widths)) <= 8, "the note's one bit has chosen how many"


def test_products_in_while_loops_near_a_power_of_two_below_their_bound():
    def steps(n, limit):
        count = 0
        while n > 1 and count < limit:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            count += 1
        return n, count

    bound = (MOST - 1) // 3
    power = 1 << (bound.bit_length() - 1)  # from here on a factor has as many bits as its bound
    starts = [s + d for s in (power, bound) for d in (-2, -1, 0, 1, 2)]
    assert check(steps, (27, 1000), (97, 1000), (power // 2 - 1, 1)) == 3
    check(steps, *[(n, limit) for n in starts for limit in (1, 2, 500)], (-7, 9), (MOST, 3))


def test_a_product_of_what_is_compared_with_its_bound():
    def kept(data, most):
        total = 0
        for x in data:
            if 0 <= x < most:
                total ^= 1000003 * x + 5
            else:
                total ^= x
        return total

    bound = (MOST - 5) // 1000003
    near = [bound + d for d in (-2, -1, 0, 1, 2)] + [1 << (bound.bit_length() - 1), MOST, LEAST, -1, 0]
    assert check(kept, ([1, 2, 3], 10), (near, bound)) == 2
    for most in (bound + 1, bound + 2, MOST):
        check(kept, (near, most))


def test_what_is_not_finite_on_one_path_only_is_still_looked_at():
    def both(x, limit):
        zr = zi = total = 0.0
        for v in x:
            zr, zi = zr * zr - zi * zi + v, 2.0 * zr * zi + v
            if zr * zr + zi * zi < limit:
                total += zr
            else:
                zr = 0.0
                zi = 0.0
        return zr, zi, total

    def one(x, limit):
        kept = 0.0
        for v in x:
            if v < limit:
                kept = v * 10.0
            else:
                kept = kept * 0.5
        return kept

    def dropped(x, limit):
        last = 1.0
        for v in x:
            part = v * 10.0 if v < limit else v
            last = 0.5 if part > 1.0 else part
        return last

    calls = [(x, limit) for x in HUGE for limit in (4.0, -1.0, np.inf, 1e300)]
    for function in (both, one, dropped):
        check(function, (np.linspace(-1, 1, 300), 4.0), *calls)


def test_laid_out_loops_side_by_side_give_each_iteration_its_own():
    import epochly

    def logistic(x, y):
        for i in range(len(x)):
            v = x[i]
            for _ in range(20):
                v = 2.5 * v * (1.0 - v)
            y[i] = v

    relaxed = epochly.optimize(logistic, level=2, fastmath=True)
    for n in (0, 1, 2, 3, 4, 5, 7, 8, 31, 33, 1000):
        x = np.linspace(0.1, 0.9, n)
        expected, got = np.zeros(n), np.zeros(n)
        logistic(x, expected)
        relaxed(x, got)
        assert epochly.report(relaxed).level == 2
        np.testing.assert_allclose(got, expected, rtol=1e-9)

"""Loops that count, and loops that append: each core has counters and lists of its own, put together in the iterations' order."""
import math

import numpy as np
import pytest

from tests.python.jit.exact import same
from tests.python.multicore.test_maps import LONG, check, ran_split, values

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM 19")


def keys(n=LONG, bins=50):
    return np.random.default_rng(4).integers(0, bins, n)


def counts(bins=50):
    return np.arange(bins)


def histogram(h, k):
    for i in range(len(k)):
        h[k[i]] += 1


def test_a_histogram():
    check(histogram, counts, keys)


def test_a_histogram_of_every_other_element_backwards():
    check(histogram, lambda: counts(100)[::-2], keys)


def by_sign(h, x, scale):
    for i in range(len(x)):
        b = int(math.floor(x[i] * scale)) % 20
        if x[i] > 0:
            h[b] += 1
        else:
            h[b] += 3
            h[0] += 1


def test_several_places_that_count():
    check(by_sign, lambda: counts(20), values, lambda: 7.0)


def test_negative_indices_count_from_the_end():
    check(histogram, counts, lambda: keys() - 50)


def outcome_of(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


def test_an_index_out_of_range_leaves_what_was_counted_before_it():
    k = keys()
    k[LONG // 2] = 77
    mine, theirs = counts(), counts()
    split = _jit.Jit(histogram, False, True)
    assert outcome_of(split, mine, k) == outcome_of(histogram, theirs, k)
    assert same(mine, theirs)


def test_a_count_that_leaves_64_bits_is_numpys():
    h, theirs = counts(), counts()
    h[3] = theirs[3] = 2**63 - 100
    split = _jit.Jit(histogram, False, True)
    with pytest.warns(RuntimeWarning, match="overflow"):
        split(h, keys())
    with pytest.warns(RuntimeWarning, match="overflow"):
        histogram(theirs, keys())
    assert same(h, theirs)


def test_more_counters_than_are_worth_a_copy_run_whole():
    split = _jit.Jit(histogram, False, True)
    mine, theirs, k = np.zeros(8193, dtype=np.int64), np.zeros(8193, dtype=np.int64), keys()
    for _ in range(3):
        split(mine, k), histogram(theirs, k)
    assert same(mine, theirs) and split.declined == "" and ran_split(split) == 0
    split(mine[:8192], k)
    assert ran_split(split) == 1


def test_counters_that_are_the_keys_run_whole():
    def f(h, k):
        for i in range(len(k)):
            h[k[i]] += 1

    k, theirs = np.zeros(2000, dtype=np.int64), np.zeros(2000, dtype=np.int64)
    split = _jit.Jit(f, False, True)
    assert outcome_of(split, k, k) == outcome_of(f, theirs, theirs)
    assert same(k, theirs) and ran_split(split) == 0


def why(function, *arguments):
    split = _jit.Jit(function, False, True)
    outcome_of(split, *arguments)
    return split.declined


def test_counters_that_are_read_are_carried():
    def f(h, k):
        total = 0
        for i in range(len(k)):
            h[k[i]] += 1
            total += h[0]
        return total

    assert "several iterations may write the same element of 'h'" in why(f, counts(), keys())


def test_weights_of_floats_are_not_reordered():
    def f(h, k, w):
        for i in range(len(k)):
            h[k[i]] += w[i]

    assert "several iterations may write the same element of 'h'" in why(f, np.zeros(50), keys(), values())


# ---- lists -----------------------------------------------------------------------------------------------------------------------


def squares(xs):
    return [v * math.sqrt(abs(v)) for v in xs]


def chosen(xs):
    return [(v, i) for i, v in enumerate(xs) if v > 0.3]


def appended(xs, y):
    out, signs = [], []
    total = 0
    for i in range(len(xs)):
        v = math.sin(xs[i])
        out.append(v)
        total += i % 7
        if v < 0:
            signs.append(v > -0.5)
            signs.append(False)
        y[i] = v
    out.append(1.0)
    return out, signs, total


def of_range(n):
    return [i * i % 1009 for i in range(n)]


def test_comprehensions():
    check(squares, lambda: values().tolist())
    check(of_range, lambda: LONG)


def test_a_comprehension_with_a_condition_and_tuples():
    check(chosen, lambda: values().tolist())


def test_appends_among_other_things():
    check(appended, lambda: values().tolist(), lambda: np.zeros(LONG))


def test_a_list_that_had_something_before():
    def f(xs):
        out = [0.5, 1.5]
        for v in xs:
            out.append(v * 2.0)
        out.sort()
        return out

    check(f, lambda: values().tolist())


def test_of_rows():
    def f(rows):
        out = []
        for row in rows:
            for v in row:
                out.append(v * v)
        return out

    check(f, lambda: values().reshape(-1, 20).tolist())


def test_an_exception_on_the_way_is_cpythons():
    xs = [1.0] * LONG
    xs[LONG - 5] = -1.0

    def f(xs):
        return [math.sqrt(v) for v in xs]

    split = _jit.Jit(f, False, True)
    assert outcome_of(split, xs) == outcome_of(f, xs)


def test_a_list_that_is_looked_at_is_carried():
    def f(xs):
        out = [0.0]
        for v in xs:
            out.append(out[len(out) - 1] + v)
        return out

    assert "it changes a list" in why(f, values().tolist())


def test_a_list_of_the_callers_is_not_appended_to_by_several():
    def f(xs, out):
        for v in xs:
            out.append(v)

    assert "it changes a list" in why(f, values().tolist(), [0.5])


def test_a_list_under_another_name_is_carried():
    def f(xs, n):
        a, b = [1.0], [2.0]
        for i in range(len(xs)):
            c = a if i % n == 0 else b
            a.append(xs[i])
            c.append(xs[i])
        return a, b

    assert "it changes a list" in why(f, values().tolist(), 3)


def test_lists_of_lists_are_not_gathered():
    def f(n):
        return [[i, i + 1] for i in range(n)]

    split = _jit.Jit(f, False, True)
    assert split(5000) == f(5000)
    assert "it changes a list" in split.declined


def count_in_list(k, bins):
    counts = [0] * bins
    for i in range(len(k)):
        counts[k[i]] += 1
    return counts


def test_counters_in_a_list_that_the_function_makes():
    check(count_in_list, keys, lambda: 50)


def count_of_list(counts, values):
    for v in values:
        counts[v % 10] += 1
        if v > 20:
            counts[-1] += 2
    return sum(counts)


def test_counters_in_the_callers_list_are_the_callers():
    values = keys().tolist()
    check(count_of_list, lambda: list(range(11)), lambda: values)
    split, mine = _jit.Jit(count_of_list, False, True), list(range(11))
    theirs = list(mine)
    assert split(mine, values) == count_of_list(theirs, values)
    assert mine == theirs


def test_a_list_that_counts_its_own_elements_runs_whole():
    mine = [v % 10 for v in range(LONG)]
    theirs = list(mine)
    split = _jit.Jit(count_of_list, False, True)
    split([0] * 11, list(mine))  # the loop is worth splitting
    assert split(mine, mine) == count_of_list(theirs, theirs)
    assert mine == theirs


def read_on_the_way(counts, values):
    most = 0
    for v in values:
        counts[v] += 1
        most = max(most, counts[v])
    return most


def test_counters_that_are_read_on_the_way_run_whole():
    split = _jit.Jit(read_on_the_way, False, True)
    values = keys().tolist()
    mine, theirs = [0] * 50, [0] * 50
    assert outcome_of(split, mine, values) == read_on_the_way(theirs, values)
    assert mine == theirs
    assert "it changes a list" in why(read_on_the_way, mine, values)


def test_a_counter_of_a_list_out_of_range_raises_at_its_iteration():
    values = keys().tolist()
    values[LONG // 2] = 77
    split = _jit.Jit(read_and_count, False, True)
    mine, theirs = [0] * 50, [0] * 50
    assert outcome_of(split, mine, values) == outcome_of(read_and_count, theirs, values)
    assert mine == theirs


def read_and_count(counts, values):
    for v in values:
        counts[v] += 1


def test_a_counter_of_a_list_that_leaves_64_bits_is_an_int_of_python():
    values = keys().tolist()
    mine, theirs = [2**63 - 100] * 50, [2**63 - 100] * 50
    split = _jit.Jit(read_and_count, False, True)
    split(mine, values)
    read_and_count(theirs, values)
    assert mine == theirs and max(mine) > 2**63


def test_a_longer_list_of_counters_than_is_worth_a_copy_runs_whole():
    values = keys().tolist()
    mine, theirs = [0] * 8193, [0] * 8193
    split = _jit.Jit(read_and_count, False, True)
    split(mine, values)
    read_and_count(theirs, values)
    assert mine == theirs
    assert not ran_split(split)

"""memory_limit at level 3: what iterations take together."""
import os
import time

import pytest

import epochly
from epochly.loops.budget import Budget, bytes_of

MB = 10**6


@pytest.mark.parametrize("text, wanted", [("2GB", 2 * 10**9), ("512 MiB", 512 << 20), ("1.5kb", 1500), ("100", 100), (7, 7)])
def test_limits_are_read(text, wanted):
    assert bytes_of(text) == wanted


@pytest.mark.parametrize("limit, error", [("lots", ValueError), ("-1GB", ValueError), (0, ValueError), (1.5, TypeError),
                                          (True, TypeError)])
def test_what_is_no_limit_is_refused(limit, error):
    with pytest.raises(error, match="memory_limit"):
        epochly.optimize(lambda: None, level=3, memory_limit=limit)
    with pytest.raises(error, match="memory_limit"):
        epochly.optimize_context(3, memory_limit=limit)


def test_chunks_and_their_items_stay_under_the_limit():
    budget = Budget(100 * MB)
    assert (budget.chunks(4), budget.items(50, 4)) == (1, 4)  # nothing is known: a few, and nothing beside them
    budget.learn(1, 0, sure=False)  # this process had the memory already
    assert budget.chunks(4) == 1
    budget.learn(1, 10 * MB)
    assert (budget.chunks(4), budget.items(50, 4)) == (4, 2)  # 25 MB each
    budget.learn(2, 20 * MB)
    assert (budget.chunks(4), budget.items(50, 4)) == (4, 2)
    budget.learn(1, 60 * MB)
    assert budget.chunks(4) == 1


def test_without_a_limit_everything_is_as_wanted():
    budget = Budget(None)
    budget.learn(1, 10**12)
    assert (budget.chunks(4), budget.items(50, 4), budget.too_small()) == (4, 50, None)


def large(item):
    """Holds 40 MB for a while; says when."""
    began = time.monotonic()
    held = bytearray(b"x") * (40 * MB)
    time.sleep(0.05)
    return str(len(held)), began, time.monotonic(), os.getpid()


def at_once(found):
    """The most of them that ran at the same time, of those that ran elsewhere."""
    away = [each for each in found if each[3] != os.getpid()]
    return max(sum(a[1] <= b[1] < a[2] for a in away) for b in away)


def held(items):
    return [large(item) for item in items]


def test_iterations_that_do_not_fit_together_run_one_after_the_other(eager):
    limited = epochly.optimize(held, level=3, memory_limit="60MB")
    found = limited(range(8))
    assert [each[0] for each in found] == [str(40 * MB)] * 8
    assert at_once(found) == 1
    assert epochly.report(limited).level == 3


def test_a_contexts_limit_holds_for_functions_without_one(eager):
    def other(items):
        return [large(item) for item in items]

    decorated = epochly.optimize(other, level=3)
    with epochly.optimize_context(3, memory_limit="60MB"):
        found = decorated(range(6))
    assert at_once(found) == 1
    assert at_once(decorated(range(8))) == 2


def test_an_iteration_over_the_limit_runs_alone_and_says_so(eager):
    def over(items):
        return [large(item) for item in items]

    limited = epochly.optimize(over, level=3, memory_limit="10MB")
    assert at_once(limited(range(5))) == 1
    assert any("more than memory_limit" in why for _, why in epochly.report(limited).declined)

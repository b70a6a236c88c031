"""Which of two nested loops that could both be split is split."""
import numpy as np

from epochly import _jit
from tests.python.jit.exact import same


def rows(x, y):
    for a in range(y.shape[0]):
        for i in range(y.shape[1]):
            v = x[i] + a
            for _ in range(40):
                v = v * 0.5 + 1.0
            y[a, i] = v


def executions(split):
    """By depth, how often loops ran on several cores."""
    found = {}
    for loop in split.versions()[0]["loops"]:
        if loop["splits"]:
            found[loop["depth"]] = found.get(loop["depth"], 0) + loop["ran_split"]
    return found


def run(split, height, width):
    x = np.linspace(0.0, 3.0, width)
    mine, theirs = np.zeros((height, width)), np.zeros((height, width))
    split(x, mine)
    rows(x, theirs)
    assert split.declined == "" and same(mine, theirs)


def test_three_long_iterations_on_two_cores_leave_it_to_the_loop_inside():
    split = _jit.Jit(rows, False, True)
    run(split, 3, 40_000)  # how long they take is not known yet
    before = executions(split)
    run(split, 3, 40_000)
    run(split, 3, 40_000)
    after = executions(split)
    assert after[0] == before[0]
    assert after[1] == before[1] + 6


def test_as_many_iterations_as_keep_both_cores_busy_are_split_themselves():
    split = _jit.Jit(rows, False, True)
    for _ in range(3):
        run(split, 4, 40_000)
    assert executions(split) == {0: 3, 1: 0}


def powers(x, y):
    for a in range(3):
        for i in range(2):
            y[a, i] = x[a]
        v = x[a]
        for _ in range(100_000):
            v = v * 0.5 + 1.0
        y[a, 0] = v


def test_where_the_loop_inside_turns_out_too_short_the_outer_one_is_split_after_all():
    split = _jit.Jit(powers, False, True)
    _jit.set_cores(2, 20_000)
    x, theirs = np.linspace(0.0, 3.0, 3), np.zeros((3, 2))
    powers(x, theirs)
    for _ in range(5):
        mine = np.zeros((3, 2))
        split(x, mine)
        assert same(mine, theirs)
    outer = split.versions()[0]["loops"][0]
    assert outer["depth"] == 0 and outer["ran_split"] >= 2

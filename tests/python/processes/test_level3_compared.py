"""Level 3 on processes learns from runs that took longer there than here."""
import os
import time

import pytest

import epochly
from epochly.loops import compared
from epochly.loops.compared import LOSSES_MAX, STAYS_MIN, Compared, Comparisons

HERE = os.getpid()


def warm():
    """One that has seen the first run, of which nothing is learned."""
    one = Compared()
    one.ran_there(each=9.0, alone=1.0, first=1.0)
    return one


def runs_that_stay(one):
    count = 0
    while one.stays() is not None:
        count += 1
    return count


def test_the_first_run_also_loads_what_it_needs_and_says_nothing():
    assert runs_that_stay(warm()) == 0


@pytest.mark.parametrize("there, alone, stays", [(0.5, 1.0, 0), (0.85, 1.0, 0), (0.9, 1.0, 1), (1.1, 1.0, STAYS_MIN)],
                         ids=["twice as fast", "a gain", "doubtful", "a loss"])
def test_while_nobody_knows_what_it_takes_here_the_iterations_own_times_tell(there, alone, stays):
    one = warm()
    one.ran_there(there, alone, first=alone)
    assert runs_that_stay(one) == stays


@pytest.mark.parametrize("here, stays", [(1.0, STAYS_MIN), (2.0, 0)])
def test_what_it_took_here_counts_for_more_than_the_iterations_own_times(here, stays):
    one = warm()
    one.ran_here(here)
    one.ran_there(1.5, alone=3.0 if stays else 1.0, first=1.0)
    assert runs_that_stay(one) == stays


def test_each_loss_in_a_row_keeps_twice_as_many_runs_up_to_a_bound():
    one, kept = warm(), []
    for _ in range(LOSSES_MAX + 3):
        one.ran_there(1.1, 1.0, 1.0)
        kept.append(runs_that_stay(one))
    assert kept[:3] == [STAYS_MIN, 2 * STAYS_MIN, 4 * STAYS_MIN]
    assert kept[-3:] == [STAYS_MIN << LOSSES_MAX] * 3
    one.ran_there(0.5, 1.0, 1.0)
    one.ran_there(1.1, 1.0, 1.0)
    assert runs_that_stay(one) == STAYS_MIN


def test_a_run_here_that_takes_longer_than_there_ends_the_stay():
    one = warm()
    one.ran_there(1.1, 1.0, 1.0)
    assert one.stays() is not None
    one.ran_here(2.0)
    assert one.stays() is None


def test_the_reason_tells_both_times():
    one = warm()
    one.ran_there(30e-6, 20e-6, 20e-6)
    assert one.stays() == "on processes an iteration took 30 us the last time, and takes 20 us here"


def test_sizes_are_told_apart_by_powers_of_two_and_those_unknown_are_one():
    all_of_them = Comparisons()
    assert all_of_them.of(1000) is all_of_them.of(1023) is not all_of_them.of(1024)
    assert all_of_them.of(None) is all_of_them.of(None) is not all_of_them.of(0)


def test_where_the_first_iterations_here_were_quicker_one_run_here_tells():
    one = warm()
    one.ran_there(0.5, alone=1.0, first=0.1)
    assert runs_that_stay(one) == 1
    one.ran_here(0.6)
    one.ran_there(0.5, alone=1.0, first=0.1)
    assert runs_that_stay(one) == 0
    one.ran_here(0.1)
    one.ran_there(0.5, alone=1.0, first=0.1)
    assert runs_that_stay(one) == STAYS_MIN


@pytest.mark.usefixtures("eager")
def test_a_loop_that_took_longer_on_processes_runs_here_the_next_times_and_the_report_says_why(monkeypatch):
    monkeypatch.setattr(compared, "LOST", 1.0)
    monkeypatch.setattr(compared, "DOUBTFUL", 0.85)

    def slower_elsewhere(item):
        """As where processes are in each other's way."""
        time.sleep(0.002 if os.getpid() != HERE else 0)
        return str(item), os.getpid()

    @epochly.optimize(level=3)
    def work(items):
        return [slower_elsewhere(item) for item in items]

    places = []
    for _ in range(4):
        found = work(list(range(40)))
        assert [text for text, _ in found] == [str(item) for item in range(40)]
        places.append({pid for _, pid in found} == {HERE})
    # The first is not looked at; the second is doubtful, the third shows what it takes here, and the fourth loses.
    assert places == [False, False, True, False]
    assert {pid for _, pid in work(list(range(40)))} == {HERE}
    assert any("on processes an iteration took" in why for _, why in epochly.report(work).declined)
    assert {pid for _, pid in work(list(range(400)))} != {HERE}, "another number of iterations is another case"

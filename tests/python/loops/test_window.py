"""How many iterations run side by side, on a clock that the test holds."""
from epochly.loops.window import ROUNDS_HELD, Window


def after_stalls(window, seconds_each, count, cpu=0.0):
    """Sizes after each of ``count`` looks at a loop of which nothing ends."""
    now, sizes = 0.0, []
    for _ in range(count):
        now += seconds_each
        window.stalled(now, cpu)
        sizes.append(window.size)
    return sizes


def run_round(window, now, seconds, cpu_each=0.0):
    """Lets as many iterations end as run at once, evenly; returns the time."""
    size = window.size
    for at in range(size):
        window.ended(now + seconds * (at + 1) / size, cpu_each)
    return now + seconds


def test_it_begins_with_one():
    assert Window(256, 1, 0.0).size == 1


def test_while_what_runs_only_waits_it_doubles_up_to_its_limit():
    assert after_stalls(Window(20, 1, 0.0), 0.001, 7) == [2, 4, 8, 16, 20, 20, 20]


def test_while_what_runs_computes_it_stays():
    assert after_stalls(Window(20, 1, 0.0), 0.001, 3, cpu=0.0009) == [1, 1, 1]


def test_it_waits_longer_before_each_further_doubling():
    small, large = Window(256, 1, 0.0), Window(256, 128, 0.0)
    assert large.stall_seconds() > 10 * small.stall_seconds()


def test_it_grows_as_long_as_that_pays():
    window, now = Window(256, 8, 0.0), 0.0
    for _ in range(3):  # as many per second and thread, however many there are
        now = run_round(window, now, 0.05)
    assert window.size == 64


def test_it_goes_back_when_more_at_once_gained_nothing_and_holds():
    window, now = Window(256, 8, 0.0), 0.0
    now = run_round(window, now, 0.05)
    assert window.size == 16
    now = run_round(window, now, 0.10)  # twice as many, twice the time
    assert window.size == 8
    for _ in range(ROUNDS_HELD):
        now = run_round(window, now, 0.05)
        assert window.size == 8
    now = run_round(window, now, 0.05)
    assert window.size == 16


def test_it_does_not_grow_when_computing_fills_the_interpreter():
    window = Window(256, 8, 0.0)
    run_round(window, 0.0, 0.05, cpu_each=0.006)
    assert window.size == 8


def test_it_is_never_smaller_than_one():
    assert Window(0, 0, 0.0).size == 1

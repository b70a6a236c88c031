"""Ways to the same result, timed in turns, so that what else the machine does weighs on all of them."""
import statistics
import time


def timed(function, *arguments, clock=time.perf_counter):
    began = clock()
    value = function(*arguments)
    return clock() - began, value


def turns(ways, rounds, clock=time.perf_counter):
    """{name: seconds of each round} of functions that are called in turns and must give the same."""
    seconds = {name: [] for name in ways}
    wanted = None
    for _ in range(rounds):
        for name, way in ways.items():
            took, value = timed(way, clock=clock)
            assert wanted is None or value == wanted, name
            wanted = value
            seconds[name].append(took)
    return seconds


def medians(seconds):
    """{name: median seconds} of what turns() gives."""
    return {name: statistics.median(each) for name, each in seconds.items()}


def in_turns(ways, rounds):
    """{name: median seconds}, as turns()."""
    return medians(turns(ways, rounds))


def ratio(over, under):
    """Median of the ratios of neighbours, round by round: a minute in which others use the machine weighs on both."""
    return statistics.median(a / b for a, b in zip(over, under))

"""Ways to the same result, timed in turns, so that what else the machine does weighs on all of them."""
import statistics
import time


def timed(function, *arguments):
    began = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - began, value


def in_turns(ways, rounds):
    """{name: median seconds} of functions that are called in turns and must give the same."""
    seconds = {name: [] for name in ways}
    wanted = None
    for _ in range(rounds):
        for name, way in ways.items():
            took, value = timed(way)
            assert wanted is None or value == wanted, name
            wanted = value
            seconds[name].append(took)
    return {name: statistics.median(each) for name, each in seconds.items()}

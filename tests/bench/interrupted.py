"""A process that is interrupted: python -m tests.bench.interrupted CASE ROUNDS, started by interrupt_bench.

Each round it says "calling", calls something that would take minutes, and prints the time (of the clock that all processes
share) at which its KeyboardInterrupt was caught.
"""
import os
import signal
import sys
import threading
import time

import epochly

HERE = os.getpid()
FOREVER = 10**13  # iterations


class Requests:
    """Level 1: as many waits side by side as there are threads, which end when the round is over."""

    def __init__(self):
        self.call_level_1 = epochly.optimize(requests, level=1)
        self.gate = threading.Event()

    def call(self):
        self.call_level_1([self.gate] * 1000)

    def after(self):
        self.gate.set()
        self.gate = threading.Event()


def requests(gates):
    return [gate.wait(60) for gate in gates]


class Called:
    """A function at a level; ``first`` makes its code, and starts what it runs on."""

    def __init__(self, function, level, first, forever):
        self.function, self.forever = epochly.optimize(function, level=level), forever
        self.function(*first)
        assert epochly.report(self.function).level == level, epochly.report(self.function).declined

    def call(self):
        self.function(*self.forever)

    def after(self):
        pass


def spin(n):
    total = 0.0
    for i in range(n):
        total += i * 0.5
        if total > 1e300:
            total = 0.0
    return total


def rewrite(values, n):
    """Lists that are written to keep the interpreter's lock."""
    for i in range(len(values)):
        v = values[i]
        for _ in range(n):
            v = v * 0.5 + 1.0
        values[i] = v
    return values


def long_iterations(x, y, n):
    for i in range(len(x)):
        v = x[i]
        for _ in range(n):
            v = v * 0.5 + 1.0
        y[i] = v


def short_iterations(x, n):
    total = 0
    for i in range(n):
        total += (i * i + x) % 7
    return total


def text(item, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.getpid() != HERE:
        item = str(item)[-9:]
    return item


def texts(items, seconds):
    return [text(item, seconds) for item in items]


def on_processes():
    from tests.support import level3

    level3.started()
    level3.send_everything()
    return Called(texts, 3, (range(20), 0), (range(1000), 60))


def _arrays(function, first, forever):
    import numpy

    return Called(function, 3, (numpy.ones(4096), numpy.zeros(4096), first), (numpy.ones(4096), numpy.zeros(4096), forever))


CASES = {
    "level 1, requests": Requests,
    "level 2": lambda: Called(spin, 2, (10,), (FOREVER,)),
    "level 2, lists": lambda: Called(rewrite, 2, ([1.0, 2.0], 10), ([1.0, 2.0], FOREVER)),
    "level 3, oneTBB, long iterations": lambda: _arrays(long_iterations, 5000, FOREVER),
    "level 3, oneTBB, short iterations": lambda: Called(short_iterations, 3, (3, 10**8), (3, FOREVER)),
    "level 3, processes": on_processes,
}


def main(case, rounds):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupted = CASES[case]()
    for _ in range(rounds):
        try:
            print("calling", flush=True)
            interrupted.call()
        except KeyboardInterrupt:
            caught = time.monotonic()
        interrupted.after()
        print(repr(caught), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

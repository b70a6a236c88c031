"""What the machine itself gives two processes at once: the limit of any speed-up on two cores, measured beside it.

Virtual machines share their cores with others: two processes that share nothing then take longer side by side than one takes
alone, by the minute more or less. A table of speed-ups is read beside this row of the same rounds.
"""
import contextlib
import multiprocessing
import time

from tests.bench.turns import medians, ratio

# Of a loop of additions, about: long beside what it takes to wake a process, short beside the minute.
SECONDS = 0.2
NAME = "two processes that share nothing: the machine's own limit"


def additions(count):
    total = 0
    for i in range(count):
        total += i & 7
    return total


def _serve(pipe, count):
    while pipe.recv():
        additions(count)
        pipe.send(True)


def _count_for(seconds):
    began = time.perf_counter()
    additions(1_000_000)
    return int(1_000_000 * seconds / (time.perf_counter() - began))


class Ceiling:
    """Two ways to be timed in turns with others: one process's loop, and two processes' at once."""

    def __init__(self, pipe, count):
        self._pipe, self._count = pipe, count

    def alone(self):
        additions(self._count)

    def both(self):
        self._pipe.send(True)
        additions(self._count)
        self._pipe.recv()

    def ways(self):
        return {"alone": self.alone, "both": self.both}


def row(seconds, columns=1):
    """A row of a table of what turns() gave: twice one process's seconds, empty cells, two processes' at once, the ratio.

    The ratio is of neighbours in time: one process alone is at moments given half as much again as at others.
    """
    middle = medians({name: seconds[name] for name in ("alone", "both")})
    return [NAME, 2 * middle["alone"], *[None] * columns, middle["both"], 2 * ratio(seconds["alone"], seconds["both"])]


@contextlib.contextmanager
def ceiling(seconds=SECONDS):
    """A Ceiling; its second process ends with the block."""
    count = _count_for(seconds)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, count), daemon=True)
    process.start()
    try:
        made = Ceiling(ours, count)
        made.both()  # it has started
        yield made
    finally:
        ours.send(False)
        process.join()

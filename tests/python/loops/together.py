"""Proof that iterations run side by side, without a clock: they wait for each other."""
import threading

import pytest

# A test that would hang fails instead. Far longer than any machine takes.
SECONDS_MAX = 20


class Meeting:
    """Iterations that call ``wait`` go on when ``count`` of them wait at once."""

    def __init__(self, count):
        self._barrier = threading.Barrier(count, timeout=SECONDS_MAX)

    def wait(self, value=None):
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            pytest.fail("iterations that should run side by side did not")
        return value


# Of the iterations of the present test. A variable of the module, for they are written as users write theirs: without it.
_meeting = None


def convene(count):
    global _meeting
    _meeting = Meeting(count)


def meet(value):
    return _meeting.wait(value)

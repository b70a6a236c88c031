"""The level that suits a function that was given none: what ext/local/automatic.cpp asks."""
from epochly import _native
from epochly.levels import select_with_reason

THREADS, JIT = 1, 2


def suited(function):
    """(level to try, why), by the guide's tree over what was measured of ``function``; level 0: none, and why."""
    level, why = select_with_reason(_native.figures(function))
    if level == THREADS:
        return 0, f"{why}: level 1 overlaps iterations, which a program can notice, so it runs where level=1 is said"
    return level, why

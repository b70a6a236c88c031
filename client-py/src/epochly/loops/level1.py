"""Level 1: what ext/local/loops_engine.cpp calls."""

import sys

from epochly.loops.plan import twin_of
from epochly.loops.threads import spread

__all__ = ["outcome", "prepare"]


def prepare(function):
    """(twin, its Run), or a sentence that says why there is none."""
    if sys.is_finalizing():
        return "the interpreter is at its end, and threads do not run any more"
    twin, run = twin_of(function, spread)
    return (twin, run) if twin is not None else run


def outcome(run):
    """(whether a loop was spread, [why others were not]) of a call. Never empty if none was."""
    declined = [*run.plan.declined, *run.declined]
    if not run.overlapped and not run.declined:
        declined.append("the call came to no loop whose iterations could overlap")
    return run.overlapped, declined

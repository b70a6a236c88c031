"""Level 3, of what cannot be compiled: what ext/local/loops_engine.cpp calls."""

import sys
import threading

from epochly import _cluster
from epochly.loops import budget, rewrite
from epochly.loops.plan import plan_of
from epochly.loops.pool import Worker
from epochly.loops.processes import ProcessRun, all_left_alone

__all__ = ["outcome", "prepare"]


def prepare(function):
    """(twin, its Run), or a sentence that says why there is none."""
    if sys.is_finalizing():
        return "the interpreter is at its end, and its threads do not run any more"
    if _cluster.inside_executor():
        return "this process is one of several that run iterations: within it they run one after the other"
    if isinstance(threading.current_thread(), Worker):
        return "its caller is an iteration of a loop at level 1: within it iterations run one after the other"
    plan = plan_of(function, computes=True)
    if plan.code is None:
        return plan.reason
    if all_left_alone(plan):
        return "its loops were too small to split the last times"
    shadowed = plan.builtins.intersection(function.__globals__)
    if shadowed:
        return f"`{min(shadowed)}` is not the builtin of that name"
    run = ProcessRun(plan, budget.limit_of(function))
    return rewrite.bind(plan.code, function, run), run


def outcome(run):
    """(whether processes ran any of it, [why not all of it]) of a call. Never empty if none did."""
    declined = [*run.plan.declined, *run.declined]
    if not run.overlapped and not declined:
        declined.append("the call came to no loop that could be split")
    return run.overlapped, declined

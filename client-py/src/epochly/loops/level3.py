"""Level 3, of what cannot be compiled: what ext/local/loops_engine.cpp calls."""

import sys
import threading
import weakref

from epochly import _cluster
from epochly.loops import budget, rewrite, team
from epochly.loops.hosts import HostsRun, cores_here
from epochly.loops.plan import plan_of
from epochly.loops.pool import Worker
from epochly.loops.processes import ProcessRun, all_left_alone

__all__ = ["outcome", "prepare", "prepare_compiled", "workers_of"]

# By function: the names of the workers on which parts of its last call ran.
_workers = weakref.WeakKeyDictionary()


def prepare(function):
    """(twin, its Run), or a sentence that says why there is none."""
    _workers.pop(function, None)
    if sys.is_finalizing():
        return "the interpreter is at its end, and its threads do not run any more"
    if _cluster.inside_executor():
        return "this process is one of several that run iterations: within it they run one after the other"
    if isinstance(threading.current_thread(), Worker):
        return "its caller is an iteration of a loop at level 1: within it iterations run one after the other"
    plan = plan_of(function, computes=True)
    if plan.code is None:
        return plan.reason
    if all_left_alone(plan.loops):
        return "its loops were too small to split the last times"
    shadowed = plan.builtins.intersection(function.__globals__)
    if shadowed:
        return f"`{min(shadowed)}` is not the builtin of that name"
    run = ProcessRun(function, plan, budget.limit_of(function))
    return rewrite.bind(plan.code, function, run), run


def prepare_compiled(function):
    """As prepare(), of a function that can be compiled: for its loops to run compiled on the workers of a cluster. An empty
    sentence where that was not meant."""
    _workers.pop(function, None)
    if sys.is_finalizing() or _cluster.inside_executor() or isinstance(threading.current_thread(), Worker):
        return ""
    cores = cores_here()
    why = _why_not_on_hosts(function, cores)
    if why is not None:
        return f"on the cluster: {why}"
    plan = plan_of(function, computes=True)
    run = HostsRun(function, plan, budget.limit_of(function), cores)
    return rewrite.bind(plan.code, function, run), run


def _why_not_on_hosts(function, cores):
    plan = plan_of(function, computes=True)
    if plan.code is None or plan.cut.why is not None:
        return plan.reason or plan.cut.why
    if all_left_alone([plan.loops[index] for index in plan.cut.columns]):
        return "its loops were too small to split the last times"
    shadowed = plan.builtins.intersection(function.__globals__)
    if shadowed:
        return f"`{min(shadowed)}` is not the builtin of that name"
    members, why = team.find()
    return why if members is None else members.too_few(cores)


def workers_of(function):
    """How many workers of a cluster ran parts of the last call of a function, if that was at level 3; else 0."""
    return len(_workers.get(function, ()))


def outcome(run):
    """(whether processes ran any of it, [why not all of it]) of a call. Never empty if none did."""
    declined = [*run.plan.declined, *run.declined]
    if run.workers:
        _workers[run.function] = run.workers
    if isinstance(run, HostsRun):
        return run.overlapped or run.ran > 0, declined
    if not run.overlapped and not declined:
        declined.append("the call came to no loop that could be split")
    return run.overlapped, declined

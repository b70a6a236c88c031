"""From a function to its twin: read, judged and compiled once for each code object."""

import ast

from epochly.loops import names, rewrite, shape, source
from epochly.loops.run import Run
from epochly.loops.tree import copied, own_nodes

__all__ = ["Plan", "plan_of", "twin_of"]

# Code objects whose plans are kept, as many as level 2 keeps functions; the oldest goes first.
PLANS_MAX = 512
_plans = {}


class Plan:
    """What the loops of a code object come to.

    code: of the twin; None if there is none. reason: why there is none, else None
    loops: those of the function; declined: sentences of those that are not independent though they might wait
    builtins: names that must not be globals
    """

    __slots__ = ("original", "code", "reason", "loops", "declined", "builtins")

    def __init__(self, original, reason=None):
        self.original, self.code, self.reason = original, None, reason
        self.loops, self.declined, self.builtins = [], [], frozenset()


def plan_of(function):
    original = function.__code__
    known = _plans.get(id(original))
    if known is not None and known.original is original:
        return known
    made = _make(function)
    if len(_plans) >= PLANS_MAX:
        _plans.pop(next(iter(_plans)), None)
    _plans[id(original)] = made
    return made


def twin_of(function, spread):
    """(twin, its Run), or (None, why there is none)."""
    plan = plan_of(function)
    if plan.code is None:
        return None, plan.reason
    shadowed = plan.builtins.intersection(function.__globals__)
    if shadowed:
        return None, f"`{min(shadowed)}` is not the builtin of that name"
    run = Run(plan, spread)
    return rewrite.bind(plan.code, function, run), run


def _make(function):
    original = function.__code__
    try:
        node = copied(source.find(function))
    except source.NoSource as error:
        return Plan(original, str(error))
    if original.co_flags & 0x20:
        return Plan(original, "a generator hands every value to its caller")
    plan = Plan(original)
    plan.loops = shape.loops_of(node, function.__globals__)
    plan.declined = [loop.reason for loop in plan.loops if loop.waits and loop.reason is not None]
    plan.reason = _why_not(node, plan, original)
    if plan.reason is None:
        plan.builtins = frozenset().union(*(loop.builtins for loop in plan.loops if loop.independent))
        class_name = _class_name(node, function)
        plan.code = rewrite.twin(node, plan.loops, original, class_name)
    return plan


def _why_not(node, plan, code):
    for each in own_nodes(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in names.SEES_VARIABLES:
            return f"line {each.lineno}: {each.func.id}() looks into the variables of the function"
    own = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    for loop in plan.loops:
        if loop.independent and not loop.builtins.isdisjoint(own):
            loop.declines(loop.node, f"`{min(loop.builtins & own)}` is not the builtin of that name")
    if any(loop.independent for loop in plan.loops):
        return None
    if plan.declined:
        return "; ".join(plan.declined)
    if plan.loops:
        return "no loop in it calls anything that might wait"
    return "it has no loop"


def _class_name(node, function):
    """Of the class around a method, if the method uses names that are private to it."""
    private = any(_is_private(getattr(each, field, None)) for each in ast.walk(node) for field in ("id", "attr", "arg", "name"))
    owner = function.__qualname__.rpartition(".")[0].rpartition(".")[2]
    return owner if private and owner.isidentifier() else None


def _is_private(name):
    return isinstance(name, str) and name.startswith("__") and not name.endswith("__")

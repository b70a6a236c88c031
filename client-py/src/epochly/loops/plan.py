"""From a function to its twin: read, judged and compiled once for each code object."""

import ast

from epochly.loops import names, purity, rewrite, shape, source
from epochly.loops.cut import Cut
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
    cut: how the loops are cut into compiled chunks, a Cut; None unless they are to compute
    """

    __slots__ = ("original", "code", "reason", "loops", "declined", "builtins", "cut")

    def __init__(self, original, reason=None):
        self.original, self.code, self.reason, self.cut = original, None, reason, None
        self.loops, self.declined, self.builtins = [], [], frozenset()


def plan_of(function, computes=False):
    """computes: for a level at which loops gain that only compute, on copies of what is around them."""
    original = function.__code__
    known = _plans.get((id(original), computes))
    if known is not None and known.original is original:
        return known
    made = _make(function, computes)
    if len(_plans) >= PLANS_MAX:
        _plans.pop(next(iter(_plans)), None)
    _plans[id(original), computes] = made
    return made


def plan_of_block(block, inputs, frame):
    """As plan_of(), of the body of a with statement that is given `inputs`."""
    made = Plan(block.code)
    node = block.as_function(inputs)
    made.loops = shape.loops_of(node, frame.f_globals)
    made.declined = [loop.reason for loop in made.loops if loop.waits and loop.reason is not None]
    _look_for_shadows(made, [*inputs, *block.stored])
    shadowed = sorted(name for loop in made.loops for name in loop.builtins if name in frame.f_globals)
    made.reason = f"`{shadowed[0]}` is not the builtin of that name" if shadowed else _why_none(made)
    if made.reason is None:
        made.code = rewrite.twin(node, made.loops, block.code, block.class_name, block.live, free=())
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


def _make(function, computes):
    original = function.__code__
    try:
        found = source.find(function)
        class_name = source.class_around(found, original, function.__globals__)
    except source.NoSource as error:
        return Plan(original, str(error))
    if original.co_flags & (0x20 | 0x200):
        return Plan(original, "a generator hands every value to its caller")
    plan, node = Plan(original), copied(found)
    plan.loops = shape.loops_of(node, function.__globals__)
    if computes:
        _prepare_for_processes(node, plan.loops, function.__globals__)
    plan.declined = [loop.reason for loop in plan.loops if loop.waits and loop.reason is not None]
    plan.reason = _why_not(node, plan, original)
    if plan.reason is None:
        plan.builtins = frozenset().union(*(loop.builtins for loop in plan.loops if loop.independent))
        if computes:
            plan.cut = Cut(node, plan.loops, shape.Scope(node, function.__globals__))
        plan.code = rewrite.twin(node, plan.loops, original, class_name)
    return plan


def _prepare_for_processes(node, loops, module_globals):
    scope = shape.Scope(node, module_globals)
    for loop in loops:
        loop.waits = True
        loop.put_off = {key: kind for key, kind in loop.put_off.items() if kind != "call"}  # print(): kept with its iteration
        if loop.awaits:
            loop.declines(loop.node, "it awaits, and other processes have event loops of their own")
        purity.judge_loop(loop, scope)


def _why_not(node, plan, code):
    for each in own_nodes(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in names.SEES_VARIABLES:
            return f"line {each.lineno}: {each.func.id}() looks into the variables of the function"
    _look_for_shadows(plan, {*code.co_varnames, *code.co_cellvars, *code.co_freevars})
    return _why_none(plan)


def _look_for_shadows(plan, variables):
    for loop in plan.loops:
        shadowed = loop.builtins.intersection(variables)
        if shadowed:
            loop.declines(loop.node, f"`{min(shadowed)}` is not the builtin of that name")


def _why_none(plan):
    if any(loop.independent for loop in plan.loops):
        return None
    if plan.declined:
        return "; ".join(plan.declined)
    if plan.loops:
        return "no loop in it calls anything that might wait"
    return "it has no loop"

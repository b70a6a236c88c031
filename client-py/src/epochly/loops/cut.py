"""Whether a function's loops can be cut into compiled chunks while what is around them runs as Python."""

import ast
import builtins

from epochly.loops import purity
from epochly.loops.columns import columns_of
from epochly.loops.rewrite import looked_at
from epochly.loops.tree import COMPREHENSIONS, FUNCTIONS

__all__ = ["Cut"]


class Cut:
    """How the loops of a function are cut into compiled chunks. columns: {index of a loop: Columns}; why: why they are not."""

    __slots__ = ("columns", "why")

    def __init__(self, node, loops, scope):
        """node: of the function, before anything is rewritten."""
        self.columns, self.why = {}, _outside(node, loops, scope)
        for index, loop in enumerate(loops):
            if not loop.independent or _is_inside(loop, loops):
                continue
            self.columns[index], why = columns_of(loop, looked_at(loop, node))
            self.why = self.why or why


def _is_inside(loop, loops):
    """Whether it is a part of an iteration of another that is taken."""
    return any(other is not loop and other.independent and _repeats(other.node, loop.node) for other in loops)


def _repeats(outer, inner):
    """Whether a loop has `inner` in its iterations, not in what it goes over."""
    once = any(_contains(each, inner) for each in _evaluated_once(outer))
    return not once and _contains(outer, inner)


def _contains(outer, inner):
    return any(each is inner for each in ast.walk(outer))


def _outside(node, loops, scope):
    """Why what is around the loops must not run as Python: it may be what takes the time. None if it may."""
    taken = {id(loop.node) for loop in loops if loop.independent}
    todo = list(node.body) if isinstance(node.body, list) else [node.body]
    while todo:
        each = todo.pop()
        if id(each) in taken:
            todo.extend(_evaluated_once(each))
            continue
        if isinstance(each, (ast.For, ast.While, *COMPREHENSIONS, *FUNCTIONS)):
            return f"line {each.lineno}: a loop or function beside those that are independent would run as Python"
        if isinstance(each, ast.Call) and not _is_known(each.func, scope):
            return f"line {each.lineno}: `{ast.unparse(each.func)}()`, beside the loops that are independent, would run as Python"
        todo.extend(ast.iter_child_nodes(each))
    return None


def _evaluated_once(loop):
    if isinstance(loop, ast.For):
        return [loop.iter, *loop.orelse]
    return [loop.generators[0].iter] if isinstance(loop, COMPREHENSIONS) else loop.args


def _is_known(func, scope):
    """Whether a call is one of Python's own or of a module's."""
    if isinstance(func, ast.Name):
        return hasattr(builtins, func.id) and func.id not in scope.globals
    return isinstance(func, ast.Attribute) and (not scope.is_module(func.value)
                                                or not purity.is_users(scope.globals[func.value.id]))

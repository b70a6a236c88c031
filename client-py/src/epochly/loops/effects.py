"""Statements that only change something from outside of a loop, and so can be put off.

What such a statement computes belongs to its iteration; the change itself is made by the caller's thread, in the order of the
iterations: `out.append(fetch(url))` fetches side by side and appends in order.
"""

import ast

from epochly.loops import names
from epochly.loops.tree import statements_of


def put_off(loop, node, bound, scope):
    """Finds the statements that only change something from outside of the loop, which nothing else in the loop looks at."""
    candidates = {}
    for statement in statements_of(node.body):
        found = _effect(statement, bound, scope)
        if found is not None:
            candidates[id(statement)] = (statement, *found)
    while True:  # what one of them reads is not only written: take it out, and look again
        read = _names_read(node, candidates)
        out = [key for key, (_, name, _) in candidates.items() if name is not None and name in read]
        if not out:
            break
        for key in out:
            del candidates[key]
    for key, (statement, name, kind) in candidates.items():
        loop.put_off[key] = kind
        loop.builtins.update(_builtins_of(statement))
        loop.changes.update(() if name is None else (name,))
    kinds = {kind for _, _, kind in candidates.values()}
    loop.shape = next((shape for shape in ("reduce", "store", "append") if shape in kinds), "call")


def _effect(statement, bound, scope):
    """(name of what it changes, its shape) of such a statement, else None."""
    if isinstance(statement, ast.AugAssign):
        target = statement.target
        if isinstance(target, ast.Name) and target.id not in scope.declared:
            return target.id, "reduce"
        if _outer_item(target, bound):
            return target.value.id, "reduce"
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if _outer_item(target, bound):
            return target.value.id, "store"
        if isinstance(target, ast.Name) and target.id not in scope.declared and running_operand(statement) is not None:
            return target.id, "reduce"
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return _effect_of_call(statement.value, bound, scope)
    return None


def _effect_of_call(call, bound, scope):
    if isinstance(call.func, ast.Name) and call.func.id == "print" and "print" not in scope.globals and "print" not in bound:
        return None, "call"
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in names.PUT_OFF:
        return None
    receiver = call.func.value
    if isinstance(receiver, ast.Subscript):
        receiver = receiver.value
    elif isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute) and receiver.func.attr == "setdefault":
        receiver = receiver.func.value
    if not isinstance(receiver, ast.Name) or receiver.id in bound or scope.is_module(receiver):
        return None
    return receiver.id, "append"


def _builtins_of(statement):
    """Names that a put-off statement takes for builtins."""
    if isinstance(statement, ast.AugAssign) or not isinstance(statement.value, ast.Call):
        return ()
    func = statement.value.func
    return (func.id,) if isinstance(func, ast.Name) else ()


def _outer_item(target, bound):
    if not isinstance(target, ast.Subscript) or not isinstance(target.value, ast.Name) or target.value.id in bound:
        return False
    return not any(isinstance(each, ast.Slice) for each in ast.walk(target.slice))


def running_operand(statement):
    """In `x = x + e`, `x = max(x, e)` or `x = max(e, x)`: the field of the value that holds e's index, and e. None elsewhere."""
    name, value = statement.targets[0].id, statement.value
    if isinstance(value, ast.BinOp) and isinstance(value.left, ast.Name) and value.left.id == name:
        return value.right
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("max", "min") and not value.keywords:
        if len(value.args) == 2:
            mine = [isinstance(arg, ast.Name) and arg.id == name for arg in value.args]
            if sum(mine) == 1:
                return value.args[mine.index(False)]
    return None


def _names_read(node, candidates):
    """Names that the loop reads or writes beside what its put-off statements change."""
    read = set()
    todo = [node.target, node.iter, *node.body]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Name):
            read.add(each.id)
            continue
        todo.extend(operands(each) if id(each) in candidates else ast.iter_child_nodes(each))
    return read


def reads_now(statement):
    """Which method of Run an operand goes through: the change looks into it, and must see it as it is in the iteration."""
    if isinstance(statement, ast.AugAssign):
        return "now"
    if isinstance(statement, ast.Expr):
        if isinstance(statement.value.func, ast.Name):  # print()
            return "copied"
        if statement.value.func.attr in names.READS_ARGUMENT:
            return "now"
    return None


def operands(statement):
    """What a put-off statement computes in its iteration."""
    if isinstance(statement, ast.AugAssign):
        return [*([statement.target.slice] if isinstance(statement.target, ast.Subscript) else []), statement.value]
    if isinstance(statement, ast.Assign):
        if isinstance(statement.targets[0], ast.Name):
            return [running_operand(statement)]
        return [statement.value, statement.targets[0].slice]
    call = statement.value
    inputs = [*call.args, *(keyword.value for keyword in call.keywords)]
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(receiver, ast.Subscript):
        inputs.insert(0, receiver.slice)
    elif isinstance(receiver, ast.Call):
        inputs[:0] = [*receiver.args, *(keyword.value for keyword in receiver.keywords)]
    return inputs

"""Walks through syntax trees."""

import ast
import copy

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def copied(node):
    """A copy of a whole tree: that of a file is kept, and others read it."""
    return copy.deepcopy(node)


def own_nodes(node):
    """The nodes of a function's own code, parents first, in the order of the source; not those of functions in it."""
    body = node.body if isinstance(node.body, list) else [node.body]
    todo = list(reversed(body))
    while todo:
        each = todo.pop()
        yield each
        if not isinstance(each, (*FUNCTIONS, ast.ClassDef)):
            todo.extend(reversed(list(ast.iter_child_nodes(each))))


def statements_of(body):
    """All statements of a loop's body, those inside of others too."""
    for statement in body:
        yield statement
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from statements_of(getattr(statement, field, None) or ())
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from statements_of(part.body)


def shallow(statement):
    """A statement's own nodes: not the statements inside of it, not what has a scope of its own."""
    todo = [statement]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, (*FUNCTIONS, ast.ClassDef, *COMPREHENSIONS)):
            continue
        todo.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt))


def stored(node):
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        yield node.id
    elif isinstance(node, (ast.Tuple, ast.List, ast.Starred)):
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                yield each.id


def parameters(node):
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in every if argument is not None}


def bare(value):
    """The name of a value that is there already, and might be changed after it was read: `rows`, `row.cells`, `rows[0]`."""
    while isinstance(value, (ast.Attribute, ast.Subscript)):
        value = value.value
    return value.id if isinstance(value, ast.Name) else None

"""What the functions that a loop calls do to things that all iterations see: read from their source, once for each code object.

Functions of the standard library and of installed packages are trusted: they are made for threads, or say so.
"""

import ast
import collections
import os
import sysconfig
import types

from epochly.loops import names, shape, source
from epochly.loops.tree import bare, own_nodes, parameters

__all__ = ["Effects", "effects_of", "is_users"]

# Functions that are kept, see plan.py.
KEPT_MAX = 512
_kept = {}
_named = {}
_users = {}  # by file name: as many as there are files
_INSTALLED = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib"))
# Queues are made for threads.
_CHANGES = names.CHANGES - {"put", "put_nowait"}
CONTAINERS = (list, dict, set, bytearray, collections.deque)


class Effects:
    """Of one function.

    writes: (name, line) of a global or of a variable of a function around that it binds, or None
    changes: {name: line} of what it changes of names that are not its own
    parameters: {name: line} of parameters that it changes
    sets: {(name, attribute)} of attributes that it sets of what names stand for
    bound: (function, line) of one of names.BOUND_TO_CALLER that it calls, or None
    """

    __slots__ = ("writes", "changes", "parameters", "sets", "bound")

    def __init__(self):
        self.writes, self.changes, self.parameters, self.sets, self.bound = None, {}, {}, set(), None


def is_users(function):
    return is_users_file(function.__code__.co_filename)


def is_users_file(name):
    known = _users.get(name)
    if known is None:
        known = _users[name] = not name.startswith(_INSTALLED) and not name.startswith("<frozen")
    return known


def effects_of(function):
    """None if its source cannot be read."""
    code = function.__code__
    known = _kept.get(id(code))
    if known is not None and known[0] is code:
        return known[1]
    try:
        made = _read(source.find(function), function.__globals__)
    except source.NoSource:
        made = None
    if len(_kept) >= KEPT_MAX:
        _kept.pop(next(iter(_kept)), None)
    _kept[id(code)] = (code, made)
    return made


def _read(node, globals_of):
    scope = shape.Scope(node, globals_of)
    effects, own, given = Effects(), parameters(node), parameters(node)
    declared = set()
    for each in own_nodes(node):
        if isinstance(each, (ast.Global, ast.Nonlocal)):
            declared.update(each.names)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, (ast.Store, ast.Del)):
            own.add(each.id)
    own -= declared
    rebound = {each.id for each in own_nodes(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    for each in own_nodes(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and each.id in declared and effects.writes is None:
            effects.writes = (each.id, each.lineno)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and isinstance(each.value, ast.Name):
            effects.sets.add((each.value.id, each.attr))
        if isinstance(each, ast.Call) and scope.dotted(each.func) in names.BOUND_TO_CALLER and effects.bound is None:
            effects.bound = (scope.dotted(each.func), each.lineno)
        root = _changed(each)
        if root is None:
            continue
        if root in given and root not in rebound:
            effects.parameters.setdefault(root, each.lineno)
        elif root not in own:
            effects.changes.setdefault(root, each.lineno)
    return effects


def _changed(node):
    """The name of what an expression changes a part of."""
    if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return bare(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
        return bare(node.func.value)
    return None


def called_by(function):
    """(name, function, whether its first parameter is something shared) of the user's functions that a function names."""
    code, globals_of = function.__code__, function.__globals__
    found, attributes = [], _names_in(code)
    values = {name: globals_of[name] for name in attributes if name in globals_of}
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # not bound yet
            pass
    for name, value in values.items():
        found.extend(_functions_behind(name, value, attributes))
    return values, found


def _functions_behind(name, value, attributes):
    value = getattr(value, "__wrapped__", value) if not isinstance(value, (type, types.ModuleType)) else value
    if isinstance(value, types.FunctionType):
        yield name, value, False
    elif isinstance(value, types.MethodType):
        yield name, value.__func__, True
    elif isinstance(value, types.ModuleType):
        for attribute in attributes:
            inner = vars(value).get(attribute)
            if isinstance(inner, types.FunctionType):
                yield f"{name}.{attribute}", inner, False
    elif not isinstance(value, type):
        for attribute in attributes:
            inner = _in_class(type(value), attribute)
            if isinstance(inner, types.FunctionType):
                yield f"{name}.{attribute}", inner, True


def _in_class(kind, attribute):
    for each in kind.__mro__:
        if attribute in vars(each):
            return vars(each)[attribute]
    return None


def _names_in(code):
    """Names of globals and attributes in a function's code, and in that of functions inside of it."""
    known = _named.get(id(code))
    if known is not None and known[0] is code:
        return known[1]
    names_of, todo = set(), [code]
    while todo:
        each = todo.pop()
        names_of.update(each.co_names)
        todo.extend(const for const in each.co_consts if isinstance(const, types.CodeType))
    if len(_named) >= KEPT_MAX:
        _named.pop(next(iter(_named)), None)
    _named[id(code)] = (code, names_of)
    return names_of

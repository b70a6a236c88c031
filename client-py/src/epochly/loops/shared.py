"""What the iterations of a loop share although its source does not show it: known when the values of its names are there."""

import os
import threading
import types

from epochly.loops import names
from epochly.loops.callees import CONTAINERS, called_by, effects_of, is_users

__all__ = ["obstacle", "thread_locals"]

# User functions that are looked through for one loop: what it calls, what those call, and so on.
FUNCTIONS_MAX = 64
_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
# What only the thread that made it may use.
_BOUND_TO_THREAD = {("sqlite3", "Connection"), ("sqlite3", "Cursor"), ("sqlite3", "Blob")}


class _TooMany(Exception):
    """Functions to look through."""


def obstacle(loop, body):
    """Why the iterations of `body` cannot overlap now, a sentence; None if they can."""
    try:
        return _obstacle(loop, body)
    except _TooMany:
        return f"line {loop.line}: it calls more than {FUNCTIONS_MAX} functions, too many to look through for what they share"


def _obstacle(loop, body):
    for name, function, owner_is_shared, values in _reached(body):
        why = None if loop.awaits else _of_values(values)  # tasks share a thread
        if why is None and function is not body:
            why = _of_effects(loop, name, function, owner_is_shared, values)
        if why is not None:
            return f"line {loop.line}: {why}"
    return None


def thread_locals(body):
    """[(threading.local, {name: value}), ...]: what the calling thread has in those that iterations may look into.

    Left out is what the functions themselves set there, which is a thread's own (a session, a connection), and what only the thread
    that made it may use.
    """
    found, own = {}, set()
    for _, function, _, values in _reached(body):
        effects = None if function is body else effects_of(function)
        sets = () if effects is None else effects.sets
        for name, value in values.items():
            if isinstance(value, threading.local):
                found[id(value)] = value
                own.update((id(value), attribute) for root, attribute in sets if root == name)
    return [(each, {name: value for name, value in vars(each).items()
                    if (id(each), name) not in own and _of_values({name: value}) is None}) for each in found.values()]


def _reached(body):
    """(name, function, whether its first parameter is shared, values of its names) of a loop's body and the user's functions that
    it calls, those they call, and so on. Raises _TooMany."""
    seen, todo = set(), [(None, body, False)]
    while todo:
        name, function, owner_is_shared = todo.pop()
        if function.__code__ in seen:
            continue
        if len(seen) == FUNCTIONS_MAX:
            raise _TooMany
        seen.add(function.__code__)
        values, called = called_by(function)
        yield name, function, owner_is_shared, values
        todo.extend(each for each in called if is_users(each[1]))


def _of_values(values):
    for name, value in values.items():
        if isinstance(value, _GENERATORS):
            return f"`{name}` is a generator, which only one iteration at a time can use"
        for kind in type(value).__mro__:
            if (kind.__module__, kind.__name__) in _BOUND_TO_THREAD:
                return f"`{name}` is a {kind.__module__} {kind.__name__}, which only the thread that made it may use"
    return None


def _of_effects(loop, name, function, owner_is_shared, values):
    effects = effects_of(function)
    if effects is None:
        return None
    if effects.bound is not None:
        called, line = effects.bound
        return f"{name}() calls {called}() ({_place(function, line)}), which {names.BOUND_TO_CALLER[called]}"
    if effects.writes is not None:
        written, line = effects.writes
        return f"{name}() writes `{written}` ({_place(function, line)}), which the iterations share"
    for changed, line in effects.changes.items():
        if isinstance(values.get(changed), CONTAINERS):
            return f"{name}() changes `{changed}` ({_place(function, line)}), which the iterations share"
    if owner_is_shared and function.__code__.co_argcount > 0:
        owner = function.__code__.co_varnames[0]
        if owner in effects.parameters:
            place = _place(function, effects.parameters[owner])
            return f"{name}() changes the object it belongs to ({place}), which the iterations share"
    for called, at, root in loop.passes:
        if called == name.rpartition(".")[2]:
            parameter = _parameter(function.__code__, at, owner_is_shared)
            if parameter in effects.parameters:
                return f"{name}() changes `{root}` ({_place(function, effects.parameters[parameter])}), which the iterations share"
    for put_off in loop.changes:
        if put_off in values:
            return f"{name}() uses `{put_off}`, which the loop changes"
    return None


def _place(function, line):
    return f"{os.path.basename(function.__code__.co_filename)}:{line}"


def _parameter(code, at, is_method):
    """Name of the parameter that an argument goes to."""
    if isinstance(at, str):
        return at
    at += is_method
    return code.co_varnames[at] if at < code.co_argcount else None

"""What the iterations of a loop share although its source does not show it: known when the values of its names are there."""

import types

__all__ = ["obstacle"]

# Types whose objects must not be used by two threads, and what to say of them.
_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


def obstacle(loop, body):
    """Why the iterations of `body` cannot overlap now, a sentence; None if they can."""
    for name, value in _names_of(body):
        why = _bound_to_thread(value)
        if why is not None:
            return f"line {loop.line}: `{name}` is {why}"
    return None


def _names_of(body):
    """(name, value) of what a function takes from outside."""
    code = body.__code__
    for name, cell in zip(code.co_freevars, body.__closure__ or ()):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            pass
    todo = [code]
    while todo:
        each = todo.pop()
        for name in each.co_names:
            if name in body.__globals__:
                yield name, body.__globals__[name]
        todo.extend(const for const in each.co_consts if isinstance(const, types.CodeType))


def _bound_to_thread(value):
    if isinstance(value, _GENERATORS):
        return "a generator, which only one iteration at a time can use"
    kind = type(value)
    if kind.__module__ == "sqlite3" and kind.__name__ in ("Connection", "Cursor", "Blob"):
        return f"a sqlite3 {kind.__name__}, which only the thread that made it may use"
    return None

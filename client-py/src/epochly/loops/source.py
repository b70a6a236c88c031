"""The syntax tree of a function, if it is that of the code that runs."""

import types

from epochly import _program
from epochly._program import NoSource

__all__ = ["NoSource", "find"]


def find(function):
    """A FunctionDef, AsyncFunctionDef or Lambda; not to be changed. Raises NoSource with a sentence for the user."""
    if not isinstance(function, types.FunctionType):
        raise NoSource(f"it is no Python function but {type(function).__name__}")
    code = function.__code__
    _, codes = parsed = _program._parse(code.co_filename, _program._source(code.co_filename, function.__globals__))
    if code not in codes:
        raise NoSource("its source file has changed since it was loaded, or is not what was compiled")
    found = [node for node in _at(parsed, code.co_firstlineno) if getattr(node, "name", "<lambda>") == code.co_name]
    if len(found) != 1:
        raise NoSource("several functions begin on its line")
    return found[0]


def _at(parsed, line):
    return parsed[0].get(line, ())

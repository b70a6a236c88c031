"""The syntax tree of code that runs, if it is that of its source."""

import ast
import types

from epochly import _program
from epochly._program import NoSource

__all__ = ["NoSource", "class_around", "find", "find_code"]


def find(function):
    """A FunctionDef, AsyncFunctionDef or Lambda; not to be changed. Raises NoSource with a sentence for the user."""
    if not isinstance(function, types.FunctionType):
        raise NoSource(f"it is no Python function but {type(function).__name__}")
    return find_code(function.__code__, function.__globals__)


def find_code(code, module_globals):
    """As find(), of a code object; that of a module is a Module."""
    if not code.co_flags & 0x02 and code.co_name != "<module>":  # CO_NEWLOCALS
        raise NoSource("it is the body of a class")
    if code in _program._added:
        return _program._added[code]
    by_line, codes = _program._parse(code.co_filename, _program._source(code.co_filename, module_globals))
    if code not in codes:
        raise NoSource("its source file has changed since it was loaded, or is not what was compiled")
    if code.co_name == "<module>":
        return by_line[_program.MODULE][0]
    found = [node for node in by_line.get(code.co_firstlineno, ()) if getattr(node, "name", "<lambda>") == code.co_name]
    if len(found) != 1:
        raise NoSource("several functions begin on its line")
    return found[0]


def class_around(node, code, module_globals):
    """Name of the class whose private names a function's code uses; None if it uses none."""
    if not any(_is_private(getattr(each, field, None)) for each in ast.walk(node) for field in ("id", "attr", "arg", "name")):
        return None
    module = _program._parse(code.co_filename, _program._source(code.co_filename, module_globals))[0][_program.MODULE][0]
    found = [each for each in ast.walk(module) if isinstance(each, ast.ClassDef) and node in ast.walk(each)]
    return found[-1].name if found else None


def _is_private(name):
    return isinstance(name, str) and name.startswith("__") and not name.endswith("__")

"""How functions and values are pickled for another process.

A function of an importable module travels by reference (module and name), so that any Python version can run it. One of
``__main__``, a lambda or a function inside a function travels by value: its code, and what it refers to, as that is at the
moment of ``submit``. Pickling takes some 50 us, so it is done once and again only when something the function refers to has
changed: that is seen by comparing identities, for as long as everything is immutable, a module, or another function or class
that is itself compared. A function that refers to anything else (a list, a dict, an object) is pickled at every ``submit``; pass
such data as arguments instead where that matters.
"""
import builtins
import datetime
import decimal
import dis
import enum
import fractions
import hashlib
import inspect
import logging
import pathlib
import pickle
import re
import sys
import types
import uuid

import cloudpickle

from epochly import _native, _pickling
from epochly.errors import ArgumentsNotPicklable, FunctionNotPicklable

log = logging.getLogger("epochly")

# Bound of schemas/wire/task_spec.h FUNCTION_BYTES_MAX.
FUNCTION_BYTES_MAX = 16 << 20
# Comparisons before a submit, 20 ns each: past it pickling anew is not much dearer.
CHECKS_MAX = 512
# Said once per function: every submit of it takes milliseconds.
SLOW_FUNCTION_BYTES = 1 << 20

# Modules that wait for something outside of the process: a function that names one is probably I/O-bound.
WAITING_MODULES = frozenset({
    "aiohttp", "asyncpg", "boto3", "botocore", "ftplib", "grpc", "http", "httpx", "imaplib", "mysql", "paramiko", "poplib",
    "psycopg", "psycopg2", "pymongo", "pymysql", "redis", "requests", "select", "selectors", "smtplib", "socket", "sqlite3",
    "sqlalchemy", "ssl", "subprocess", "urllib", "urllib3", "websockets",
})
# What of other modules waits: by name, so `time.sleep` does and `time.time` does not.
WAITING_NAMES = frozenset({"open", "sleep", "urlopen", "read_text", "read_bytes", "write_text", "write_bytes", "recv", "sendall"})

# `await` jumps back too: without interrupt, and after cleaning up. No loop of the user's does.
_JUMPS = frozenset([*dis.hasjrel, *dis.hasjabs]) - {dis.opmap.get("JUMP_BACKWARD_NO_INTERRUPT")}

# Objects of exactly these types never change. (Of loggers and compiled patterns only the name travels.)
_IMMUTABLE = frozenset({
    int, float, complex, str, bytes, bool, type(None), type(Ellipsis), type(NotImplemented), range, slice, re.Pattern,
    types.ModuleType, types.BuiltinFunctionType, types.GetSetDescriptorType, types.MemberDescriptorType,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.MethodWrapperType, logging.Logger, datetime.date,
    datetime.time, datetime.datetime, datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePosixPath, pathlib.PosixPath,
})


class Spilled:
    """A pickle that is large itself, made the first out-of-band buffer of a small one."""

    def __init__(self, stream, buffers):
        self.stream = stream
        self.buffers = buffers

    def __reduce__(self):
        return load_spilled, (pickle.PickleBuffer(self.stream), *self.buffers)


def load_spilled(stream, *buffers):
    return pickle.loads(stream, buffers=buffers)


# ---- functions --------------------------------------------------------------------------------------------------------


def describe(function):
    """What a cluster must know of ``function``: (hash high, hash low, name, code, Python version, module, has loop, is coroutine,
    waits, checks). ``checks`` say when it must be described again; None means before every submit.

    Raises FunctionNotPicklable.
    """
    if isinstance(function, Described):
        return function.described
    if not callable(function):
        raise TypeError(f"submit() takes a function, not {type(function).__name__}")
    if type(function) is types.FunctionType:
        function = _decorated(function)
    target = function.__wrapped__ if isinstance(function, Wrapper) else function
    by_reference = _module_of(target)
    code = _pickled(function, by_reference is not None)
    digest = hashlib.blake2b(code, digest_size=16).digest()
    version = 0 if by_reference is not None else sys.version_info[0] << 8 | sys.version_info[1]
    return (int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"), name_of(target), code, version,
            by_reference or "", *_hints(target), _Checks.of(target, by_reference is not None))


class Described:
    """What is sent of a callable, known already: ``described`` as describe() gives it."""

    __slots__ = ("__weakref__", "described")

    def __init__(self, described):
        self.described = described

    def __call__(self, *_):
        raise TypeError("this runs on a worker")


class Wrapper:
    """A callable of this package around a user's function: pickled whole, named and described as what it wraps."""

    __slots__ = ("__weakref__", "__wrapped__")

    def __init__(self, function):
        self.__wrapped__ = function


def name_of(function):
    """ "module.qualname"; of an object without them, its class's."""
    if isinstance(function, types.MethodType):
        function = function.__func__
    inner = getattr(function, "func", None)
    if inner is not None and not hasattr(function, "__qualname__"):  # functools.partial
        return name_of(inner)
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return f"{getattr(function, '__module__', None) or 'builtins'}.{function.__qualname__}"


def _decorated(function):
    """What epochly.optimize() made of ``function``, if that has taken its place in its module: by that it can be found."""
    found = _named(function)
    return found if found is not None and _native.is_wrapped(found) and _native.options(found)[0] is function else function


def _module_of(function):
    """The module from which any Python can import ``function``; None if it must travel by value."""
    if _named(function) is not function:
        return None
    module = _module_name(function)
    return None if module == "__main__" or module in cloudpickle.list_registry_pickle_by_value() else module


def _module_name(function):
    return getattr(function, "__module__", None) or ("builtins" if isinstance(function, types.BuiltinFunctionType) else None)


def _named(function):
    """What stands in the function's module under its name; None if nothing does."""
    qualname = getattr(function, "__qualname__", None)
    found = sys.modules.get(_module_name(function))
    for part in qualname.split(".") if isinstance(qualname, str) else ():
        found = getattr(found, part, None)
    return found if isinstance(qualname, str) else None


def _pickled(function, by_reference):
    try:
        code = pickle.dumps(function, 5) if by_reference else _pickling.dumps(function, 5)
    except Exception as error:
        raise FunctionNotPicklable(
            f"{name_of(function)} cannot be sent to a worker: {error}. It refers to something that does not pickle"
            f"{_culprits(function)}: make that inside the function, or pass what it needs as arguments") from error
    if len(code) > FUNCTION_BYTES_MAX:
        raise FunctionNotPicklable(
            f"{name_of(function)} is {len(code)} bytes with all that it refers to, over the limit of {FUNCTION_BYTES_MAX}: pass "
            f"large data as arguments instead of referring to it")
    return code


def _culprits(function):
    """ " ('name', ...)" of the globals and closure variables that do not pickle."""
    if not isinstance(function, types.FunctionType):
        return ""
    bad = []
    for name, value in _referred(function):
        try:
            _pickling.dumps(value)
        except Exception:
            bad.append(repr(name))
    return f" ({', '.join(bad)})" if bad else ""


def _referred(function):
    """(name, value) of the globals and closure variables that the code names."""
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not set yet
            pass


def _global_names(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


# ---- hints ------------------------------------------------------------------------------------------------------------


def _hints(function):
    """(has loop, is coroutine, waits)."""
    while not isinstance(function, types.FunctionType):
        inner = getattr(function, "__func__", None) or getattr(function, "func", None) or getattr(function, "__wrapped__", None)
        if inner is None:
            return False, False, False
        function = inner
    code = function.__code__
    return _has_loop(code), inspect.iscoroutinefunction(function), _waits(function)


def _has_loop(code):
    before = None
    for instruction in dis.get_instructions(code):
        goes_back = instruction.opcode in _JUMPS and instruction.argval <= instruction.offset and before != "CLEANUP_THROW"
        if goes_back or instruction.opname == "FOR_ITER":
            return True
        before = instruction.opname
    return any(_has_loop(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))


def _waits(function):
    names = _global_names(function.__code__)
    if names & WAITING_NAMES and (not names & {"open"} or function.__globals__.get("open", builtins.open) is builtins.open):
        return True
    for name in names:
        value = function.__globals__.get(name)
        module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
        if isinstance(module, str) and module.partition(".")[0] in WAITING_MODULES:
            return True
    return bool({name.partition(".")[0] for name in names} & (WAITING_MODULES - {"select", "http"}))


# ---- has it changed? --------------------------------------------------------------------------------------------------

# Kinds of checks, as ext/client_functions.cpp compares them: (kind, holder, key, value) holds while ...
ITEM = 0        # holder[key] is value; holder is a dict
ABSENT = 1      # key is not in the dict
CELL = 2        # the cell's content is value
CODE = 3        # the function's __code__ is value
DEFAULTS = 4    # its __defaults__ is value
KWDEFAULTS = 5  # its __kwdefaults__ is value
MAPPED = 6      # holder[key] is value; holder is any mapping
LENGTH = 7      # len(holder) == value


def _plain(function):
    """The function under what only passes for one, as a decorated function does."""
    while type(function) is not types.FunctionType:
        function = function.__wrapped__
    return function


class _Checks:
    """Collects what the pickle of a function rests on."""

    @classmethod
    def of(cls, function, by_reference):
        """The list; empty if nothing can change; None if identities do not tell."""
        if by_reference:
            return []
        if not isinstance(function, types.FunctionType):
            return None
        checks = cls()
        return checks.found if checks._function(function) and len(checks.found) <= CHECKS_MAX else None

    def __init__(self):
        self.found = []
        self._seen = set()

    def _function(self, function):
        function = _plain(function)
        if not self._enter(function):
            return True
        self.found += [(CODE, function, None, function.__code__), (DEFAULTS, function, None, function.__defaults__),
                       (KWDEFAULTS, function, None, function.__kwdefaults__)]
        return (self._stable(function.__defaults__) and not function.__kwdefaults__ and self._mapping(function.__dict__)
                and self._globals(function) and self._cells(function))

    def _globals(self, function):
        namespace = function.__globals__
        for name in _global_names(function.__code__):
            if name not in namespace:
                self.found.append((ABSENT, namespace, name, None))
                continue
            value = namespace[name]
            self.found.append((ITEM, namespace, name, value))
            if not self._stable(value):
                return False
        return True

    def _cells(self, function):
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not set yet
                return False
            self.found.append((CELL, cell, None, value))
            if not self._stable(value):
                return False
        return True

    def _class(self, cls):
        if not self._enter(cls):
            return True
        return all(self._stable(base) for base in cls.__bases__) and self._mapping(vars(cls))

    def _mapping(self, namespace):
        """Attributes of a class or function."""
        self.found.append((LENGTH, namespace, None, len(namespace)))
        for name, value in namespace.items():
            self.found.append((MAPPED, namespace, name, value))
            if name not in ("__dict__", "__weakref__", "__doc__", "__annotations__") and not self._stable(value):
                return False
        return True

    def _stable(self, value):
        if type(value) in _IMMUTABLE:
            return True
        if type(value) in (tuple, frozenset):
            return all(self._stable(item) for item in value)
        if isinstance(value, (types.FunctionType, type)) and _module_of(value) is not None:
            return True
        if isinstance(value, enum.Enum):
            return self._stable(type(value))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, (staticmethod, classmethod)):
            return self._stable(value.__func__)
        if isinstance(value, property):
            return all(self._stable(part) for part in (value.fget, value.fset, value.fdel))
        if isinstance(value, type):
            return self._class(value)
        return False

    def _enter(self, thing):
        if id(thing) in self._seen:
            return False
        self._seen.add(id(thing))
        return len(self.found) <= CHECKS_MAX


# ---- arguments --------------------------------------------------------------------------------------------------------


def arguments_error(args, kwargs, why):
    """The error for arguments that do not pickle, naming the first that does not alone."""
    named = [(f"argument {i}", value) for i, value in enumerate(args)] + [(f"argument {k!r}", v) for k, v in kwargs.items()]
    culprit = "an argument"
    for name, value in named:
        try:
            _pickling.dumps(value)
        except Exception:
            culprit = f"{name} (a {type(value).__module__}.{type(value).__qualname__})"
            break
    error = ArgumentsNotPicklable(f"{culprit} cannot be sent to a worker: {why}. Pass what it is made from (a path, a URL, "
                                  f"plain data) and make it inside the function")
    error.__cause__ = why
    return error

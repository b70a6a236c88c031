"""What code changes that its caller would see.

An iteration on another process works on copies: what it changes of its items, of globals or of its closure would be lost. So such
loops stay here. Looked through are the loop itself and the user's functions that it names, and what those name; not the functions
of Python and of installed packages. A value counts as a function's own if it was made in it.
"""

import ast
import datetime
import decimal
import fractions
import functools
import os
import site
import sys
import sysconfig
import types

from epochly import _native
from epochly.loops import source
from epochly.loops.changes import Region, parts_of
from epochly.loops.shape import Scope

__all__ = ["Watch", "is_users", "judge_loop", "kinds_of", "obstacle", "of_values"]

# Functions looked through for one loop: who names more has a program in it, not a loop.
FUNCTIONS_MAX = 256
# Code objects whose verdicts are kept; the oldest goes first.
VERDICTS_MAX = 4096

#: Types of which `x += y` makes another object.
_VALUES = frozenset((int, float, complex, bool, str, bytes, tuple, frozenset, type(None), range, decimal.Decimal,
                     fractions.Fraction, datetime.date, datetime.datetime, datetime.timedelta))
_verdicts = {}


# ---- a loop ---------------------------------------------------------------------------------------------------------------


def judge_loop(loop, scope):
    """Has the loop decline if an iteration changes its item, or anything else that would stay in the other process."""
    node = loop.node
    if isinstance(node, ast.Call):  # map(): what it calls is looked through when it is known
        return
    region = Region(scope, loop.put_off)
    region.learn_loop(node)
    found = region.change_in(parts_of(node))
    if found is not None:
        loop.declines(*found)
    loop.augments = bool(region.augmented)


# ---- what it calls --------------------------------------------------------------------------------------------------------


def obstacle(body, watch, *, classes=()):
    """Why the function `body`, or what it calls, must not run on a copy of its surroundings; None if it may.

    watch: is told of what depends on the types of arguments. classes: of objects whose methods it may call.
    """
    walk = _Walk(classes)
    walk.names_of(body)
    why = walk.first_obstacle()
    watch.expect(walk.augmented)
    watch.touches_objects |= walk.touches_objects
    return why


def of_values(kinds):
    """Whether `x += y` makes another object of an x of these types, and changes none."""
    return all(kind in _VALUES or (kind.__module__ == "numpy" and kind.__name__ != "ndarray") for kind in kinds)


class Watch:
    """Sees with which types functions are called that may change an argument in place: `n //= 2` of an int makes another one.

    Entered, it is the profile function of the thread.
    """

    def __init__(self):
        self.expected = {}  # by code: [(parameter, line)]
        self.touches_objects = False  # whether a global that is read is more than a number or a function
        self.seen = set()
        self.why = None  # one was called with something that it changes

    def expect(self, augmented):
        self.expected.update(augmented)

    @property
    def done(self):
        return self.expected.keys() <= self.seen

    def missing(self):
        code = next(code for code in self.expected if code not in self.seen)
        return f"{code.co_name}(), line {self.expected[code][0][1]}: it may change `{self.expected[code][0][0]}` in place"

    def __enter__(self):
        if sys.getprofile() is None:  # else somebody else's stays, and this one sees nothing
            sys.setprofile(self)

    def __exit__(self, *_):
        if sys.getprofile() is self:
            sys.setprofile(None)

    def __call__(self, frame, event, _):
        parameters = self.expected.get(frame.f_code) if event == "call" else None
        if parameters is None:
            return
        self.seen.add(frame.f_code)
        for name, line in parameters:
            value = frame.f_locals.get(name)
            if not of_values((type(value),)):
                self.why = (f"{frame.f_code.co_name}(), line {line}: it changes `{name}`, a {type(value).__name__}, in place, "
                            "which would be lost in another process")


def kinds_of(items):
    """Types of items, and of the parts of those that are tuples: `for key, row in ...`."""
    if isinstance(items, (range, str, bytes)):
        return set()
    if hasattr(items, "dtype"):
        return {type(items)} if items.ndim > 1 else set()
    kinds = set(map(type, items))
    if tuple in kinds:
        kinds.update(type(part) for item in items if type(item) is tuple for part in item)
    return kinds


class _Walk:
    """Through the functions that a function names, and those which they name."""

    def __init__(self, classes):
        self.todo, self.seen = [], set()
        self.classes, self.attributes = {}, set()
        self.touches_objects = False
        self.augmented = {}  # by code: [(parameter, line)] of those that may be changed in place
        for each in classes:
            self.note_class(each)

    def first_obstacle(self):
        while True:
            while self.todo:
                function = self.todo.pop()
                why, augmented = _verdict(function)
                if why is not None:
                    return f"{function.__qualname__}(), {why}"
                if augmented:
                    self.augmented[function.__code__] = augmented
                self.names_of(function)
                if len(self.seen) > FUNCTIONS_MAX:
                    return f"it calls more than {FUNCTIONS_MAX} functions"
            if not self.methods():
                return None

    def methods(self):
        """Adds the methods that may be called, by their names. False: there are no new ones."""
        for cls in self.classes:
            for base in cls.__mro__:
                if not is_users(base):
                    continue
                for name in (*(self.attributes & vars(base).keys()), "__init__", "__call__", "__post_init__"):
                    self.note(vars(base).get(name))
        return bool(self.todo)

    def names_of(self, function):
        code = function.__code__
        for cell in function.__closure__ or ():
            try:
                self.note(cell.cell_contents)
            except ValueError:  # not bound yet
                pass
        codes = [code]
        while codes:
            each = codes.pop()
            self.attributes.update(each.co_names)
            for name in each.co_names:
                value = function.__globals__.get(name)
                self.note(value)
                if isinstance(value, types.ModuleType) and is_users(value):
                    for inner in each.co_names:
                        self.note(vars(value).get(inner))
            codes.extend(const for const in each.co_consts if isinstance(const, types.CodeType))

    def note(self, value):
        function = _function_of(value)
        if function is not None:
            if id(function) not in self.seen and is_users(function):
                self.seen.add(id(function))
                self.todo.append(function)
        elif isinstance(value, type):
            self.note_class(value)
        elif value is not None:
            self.touches_objects |= not (type(value) in _VALUES or callable(value) or isinstance(value, types.ModuleType))
            self.note_class(type(value))

    def note_class(self, cls):
        if cls not in self.classes and is_users(cls):
            self.classes[cls] = None


def _function_of(value):
    """The Python function behind a callable; None if there is none."""
    for _ in range(16):
        if value is None or isinstance(value, types.FunctionType):
            return value
        if _native.is_wrapped(value):
            value = _native.options(value)[0]
        elif isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, property):
            value = value.fget
        else:
            value = getattr(value, "__func__", None) or (callable(value) and getattr(value, "__wrapped__", None))
            if not value:
                return None
    return None


@functools.cache
def _installed():
    paths = sysconfig.get_paths()
    roots = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update(getattr(site, "getsitepackages", list)())
    return tuple(os.path.join(os.path.realpath(root), "") for root in roots)


@functools.lru_cache(maxsize=4096)
def _is_installed(filename):
    return filename.startswith("<frozen") or os.path.realpath(filename).startswith((*_installed(), os.path.dirname(_HERE)))


_HERE = os.path.dirname(os.path.realpath(__file__))


def is_users(value):
    """Whether a function, class or module is the program's own, not Python's or an installed package's."""
    if isinstance(value, types.FunctionType):
        return not _is_installed(value.__code__.co_filename)
    if isinstance(value, types.ModuleType):
        return bool(getattr(value, "__file__", None)) and not _is_installed(value.__file__)
    module = sys.modules.get(getattr(value, "__module__", None))
    if module is None:
        return False
    return value.__module__ == "__main__" or is_users(module)


def _verdict(function):
    code = function.__code__
    known = _verdicts.get(id(code))
    if known is None or known[0] is not code:
        if len(_verdicts) >= VERDICTS_MAX:
            _verdicts.pop(next(iter(_verdicts)), None)
        known = _verdicts[id(code)] = (code, *_judge(function))
    return known[1:]


def _judge(function):
    try:
        node = source.find(function)
    except source.NoSource as error:
        return f"which cannot be looked through: {error}", []
    region = Region(Scope(node, function.__globals__), {})
    region.learn_function(node)
    found = region.change_in(node.body if isinstance(node.body, list) else [node.body])
    return None if found is None else f"line {found[0].lineno}: {found[1]}", region.augmented

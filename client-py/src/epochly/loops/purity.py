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
from epochly.loops import names, source
from epochly.loops.effects import operands
from epochly.loops.shape import Scope
from epochly.loops.tree import FUNCTIONS

__all__ = ["Watch", "is_users", "judge_loop", "kinds_of", "obstacle", "of_values"]

# Functions looked through for one loop: who names more has a program in it, not a loop.
FUNCTIONS_MAX = 256
# Code objects whose verdicts are kept; the oldest goes first.
VERDICTS_MAX = 4096

#: Calls that hand back a part of what they are given, or the thing itself.
_PASSES_ON = frozenset(("max", "min", "next", "getattr", "iter", "reversed", "enumerate", "zip", "filter", "map", "sorted", "list",
                        "tuple", "vars", "cast"))
#: Methods that hand back a part or a view of their object.
_GIVES_PART = frozenset((
    "get", "setdefault", "values", "items", "keys", "reshape", "ravel", "view", "transpose", "swapaxes", "squeeze", "diagonal",
    "asarray", "asanyarray", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "__getitem__",
))
#: numpy's, beside names.CHANGES.
_CHANGES_ARRAY = frozenset(("fill", "itemset", "resize", "setflags", "byteswap", "setfield"))
#: Types of which `x += y` makes another object.
_VALUES = frozenset((int, float, complex, bool, str, bytes, tuple, frozenset, type(None), range, decimal.Decimal,
                     fractions.Fraction, datetime.date, datetime.datetime, datetime.timedelta))
#: Functions that change what the whole process shares.
_CHANGES_PROCESS = frozenset((
    "os.chdir", "os.putenv", "os.unsetenv", "os.umask", "os.setuid", "os.nice", "locale.setlocale", "signal.signal",
    "posix.chdir", "posix.putenv", "posix.unsetenv", "posix.umask", "sys.setrecursionlimit", "decimal.setcontext",
))
#: Functions behind which anything can happen.
_HIDES = frozenset(("exec", "eval", "globals", "locals", "input"))

_verdicts = {}


# ---- a loop ---------------------------------------------------------------------------------------------------------------


def judge_loop(loop, scope):
    """Has the loop decline if an iteration changes its item, or anything else that would stay in the other process."""
    node = loop.node
    if isinstance(node, ast.Call):  # map(): what it calls is looked through when it is known
        return
    region = _Region(scope, loop.put_off)
    region.learn_loop(node)
    found = region.change_in(_parts(node))
    if found is not None:
        loop.declines(*found)
    loop.augments = bool(region.augmented)


def _parts(node):
    if isinstance(node, ast.For):
        return node.body
    parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    for at, generator in enumerate(node.generators):
        parts += generator.ifs + ([generator.iter] if at else [])
    return parts


# ---- what it calls --------------------------------------------------------------------------------------------------------


def obstacle(body, watch, *, classes=()):
    """Why the function `body`, or what it calls, must not run on a copy of its surroundings; None if it may.

    watch: is told of what depends on the types of arguments. classes: of objects whose methods it may call.
    """
    walk = _Walk(classes)
    walk.names_of(body)
    why = walk.first_obstacle()
    watch.expect(walk.augmented)
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
    region = _Region(Scope(node, function.__globals__), {})
    region.learn_function(node)
    found = region.change_in(node.body if isinstance(node.body, list) else [node.body])
    return None if found is None else f"line {found[0].lineno}: {found[1]}", region.augmented


# ---- one piece of code ----------------------------------------------------------------------------------------------------


class _Region:
    """The code of a function or of a loop. A name is its own if everything that is bound to it was made here."""

    def __init__(self, scope, put_off):
        self.scope, self.put_off = scope, put_off
        self.bound = {}  # name: the values that are bound to it; None stands for one from outside
        self.rebound = {}  # parameter: line from which it stands for a value of its own
        self.own = set()
        self.given = set()  # parameters, or what a loop goes over
        self.augmented = []  # (name, line) of those of them that `x += y` may change in place

    def learn_function(self, node):
        arguments = node.args
        parameters = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        body = node.body if isinstance(node.body, list) else [node.body]
        self.learn(body)
        makes_self = getattr(node, "name", "") in ("__init__", "__new__", "__post_init__", "__init_subclass__", "__set_name__")
        if makes_self and parameters:
            self.bound.setdefault(parameters[0], [])
        for name in parameters[1 if makes_self else 0:]:
            self.given.add(name)
            self.note_rebound(name, body)
            self.bound.setdefault(name, []).append(None)
        for each in (arguments.vararg, arguments.kwarg):
            if each is not None:
                self.bound.setdefault(each.arg, [])
        self.settle()

    def learn_loop(self, node):
        targets = [node.target] if isinstance(node, ast.For) else [generator.target for generator in node.generators]
        self.learn(_parts(node))
        for target in targets:
            self.bind(target, None)
            self.given.update(name.id for name in ast.walk(target) if isinstance(name, ast.Name))
        self.settle()

    def note_rebound(self, name, body):
        for statement in body:
            if isinstance(statement, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in statement.targets):
                self.rebound[name] = (statement.lineno, statement.value)
                return

    def learn(self, parts):
        for part in parts:
            for node in ast.walk(part):
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        self.bind(target, node.value)
                elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                    self.bind(node.target, node.value)
                elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
                    self.bind(node.target, node.iter)
                elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                    self.bind(node.optional_vars, node.context_expr)
                elif isinstance(node, ast.ExceptHandler) and node.name:
                    self.bound.setdefault(node.name, [])
                elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    self.bound.setdefault(node.name, [])
                elif isinstance(node, (ast.Import, ast.ImportFrom)):
                    for alias in node.names:
                        self.bound.setdefault((alias.asname or alias.name).partition(".")[0], []).append(None)
                elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
                    self.bound.setdefault(node.name, []).append(None)
                if isinstance(node, FUNCTIONS):
                    for each in ast.walk(node.args):
                        if isinstance(each, ast.arg):
                            self.bound.setdefault(each.arg, []).append(None)

    def bind(self, target, value):
        if isinstance(target, ast.Name):
            self.bound.setdefault(target.id, []).append(value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            pairs = value.elts if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts) else None
            for at, each in enumerate(target.elts):
                self.bind(each, value if pairs is None else pairs[at])
        elif isinstance(target, ast.Starred):
            self.bind(target.value, value)

    def settle(self):
        """Names are their region's own until one of their values turns out to come from outside."""
        self.own = set(self.bound)
        while True:
            lost = {name for name in self.own if not all(value is not None and self.fresh(value) for value in self.bound[name])}
            if not lost:
                break
            self.own -= lost
        self.rebound = {
            name: line for name, (line, value) in self.rebound.items()
            if self.fresh(value) and all(other is None or self.fresh(other) for other in self.bound[name])
        }

    def fresh(self, value):
        """Whether what an expression gives was made here."""
        if isinstance(value, ast.Name):
            return value.id in self.own
        if isinstance(value, (ast.Attribute, ast.Subscript, ast.Starred, ast.Await, ast.NamedExpr)):
            return self.fresh(value.value)
        if isinstance(value, ast.BoolOp):
            return all(map(self.fresh, value.values))
        if isinstance(value, ast.IfExp):
            return self.fresh(value.body) and self.fresh(value.orelse)
        if isinstance(value, ast.Call):
            return self.fresh_call(value)
        return True

    def fresh_call(self, call):
        func = call.func
        if isinstance(func, ast.Name) and func.id in _PASSES_ON:
            return all(map(self.fresh, call.args))
        if isinstance(func, ast.Attribute) and func.attr in _GIVES_PART:
            if self.scope.is_module(func.value):
                return all(map(self.fresh, call.args))
            return self.fresh(func.value)
        return True

    # ---- changes ----

    def change_in(self, parts):
        """(node, sentence) of the first thing that changes what is not the region's own."""
        todo = list(reversed(parts))
        while todo:
            node = todo.pop()
            if id(node) in self.put_off:
                todo.extend(reversed(operands(node)))
                continue
            why = self.change(node)
            if why is not None:
                return node, why
            todo.extend(reversed(list(ast.iter_child_nodes(node))))
        return None

    def change(self, node):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            return f"it may write `{node.names[0]}`, which is {type(node).__name__.lower()}"
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            if not self.mine(node.value, node):
                return f"it changes `{ast.unparse(node)}`, which would be lost in another process"
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and not self.mine(node.target, node):
            if self.is_given(node.target.id):
                self.augmented.append((node.target.id, node.lineno))
            else:
                return f"`{ast.unparse(node)}` may change an object in place, which would be lost in another process"
        if isinstance(node, ast.Call):
            return self.change_by_call(node)
        return None

    def is_given(self, name):
        """Whether it stands for what was given, or for something of the region's own: never for a part of what was given."""
        return name in self.given and all(value is None or self.fresh(value) for value in self.bound[name])

    def change_by_call(self, node):
        func, dotted = node.func, self.scope.dotted(node.func)
        if isinstance(func, ast.Attribute) and func.attr in names.CHANGES | _CHANGES_ARRAY:
            if not self.scope.is_module(func.value) and not self.mine(func.value, node):
                return f"`{ast.unparse(func)}()` changes what would be lost in another process"
        if dotted in names.CHANGES_FIRST and node.args and not self.mine(node.args[0], node):
            return f"`{dotted}()` changes what would be lost in another process"
        if dotted.startswith(("random.", "numpy.random.")) and not dotted.endswith((".Random", ".SystemRandom", ".default_rng",
                                                                                     ".RandomState", ".SeedSequence")):
            return f"`{dotted}()` draws from this process's own random numbers"
        if dotted in _CHANGES_PROCESS:
            return f"`{dotted}()` changes this process"
        if dotted in _HIDES and isinstance(func, ast.Name):
            return f"{dotted}() cannot be looked through"
        for keyword in node.keywords:
            if keyword.arg == "out" and not self.mine(keyword.value, node):
                return f"`out={ast.unparse(keyword.value)}` changes what would be lost in another process"
        return None

    def mine(self, value, node):
        """Whether changing `value`, at `node`, stays inside of the region."""
        if self.fresh(value):
            return True
        while isinstance(value, (ast.Attribute, ast.Subscript)):
            value = value.value
        return isinstance(value, ast.Name) and getattr(node, "lineno", 0) > self.rebound.get(value.id, 1 << 62)

"""What a piece of code changes that is not its own: of a loop or of one function, by its source."""

import ast

from epochly.loops import names
from epochly.loops.effects import operands
from epochly.loops.tree import FUNCTIONS

__all__ = ["Region", "parts_of"]

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
#: Functions that change what the whole process shares.
_CHANGES_PROCESS = frozenset((
    "os.chdir", "os.putenv", "os.unsetenv", "os.umask", "os.setuid", "os.nice", "locale.setlocale", "signal.signal",
    "posix.chdir", "posix.putenv", "posix.unsetenv", "posix.umask", "sys.setrecursionlimit", "decimal.setcontext",
))
#: Functions behind which anything can happen.
_HIDES = frozenset(("exec", "eval", "globals", "locals", "input"))


def parts_of(node):
    if isinstance(node, ast.For):
        return node.body
    parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    for at, generator in enumerate(node.generators):
        parts += generator.ifs + ([generator.iter] if at else [])
    return parts


class Region:
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
        self.learn(parts_of(node))
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

"""Which loops of a function are independent, and why the others are not.

A loop is independent if an iteration reads nothing that another one writes. What an iteration does to things from outside of the
loop (append, store by key, add up, print) is put off: the caller's thread does it, in the order of the iterations, so it is no
dependency as long as nothing in the loop reads it. What the functions called by the loop share is for shared.py to find.
"""

import ast
import types

from epochly.loops import names
from epochly.loops.effects import operands, put_off
from epochly.loops.flow import carried
from epochly.loops.tree import FUNCTIONS, bare, own_nodes, parameters, shallow, statements_of, stored


class Loop:
    """A loop of a function, as its source shows it.

    node: ast.For, a comprehension, or the Call of map()
    line: where it begins
    shape: "map", "append", "store", "reduce" or "call": what its iterations leave behind
    reason: why its iterations cannot overlap, a sentence; None if they can
    waits: whether it calls anything that might wait; at levels where others gain too, always True
    put_off: {id(statement): shape} of those that the caller's thread does; changes: the names that they change
    written: names that a `for` statement binds, in the order of their first binding
    builtins: names that must be the builtins for all this to hold
    passes: (name of a function or method, position or keyword, name) of what is handed to functions from outside of the loop
    augments: whether an iteration does `item += ...`, which changes some items in place (looked for where that matters)
    awaits: whether an iteration awaits, and so belongs to an event loop
    used_at_once: id(node) of arguments that the builtin they are given to calls before it returns, and does not keep
    """

    __slots__ = ("node", "line", "shape", "reason", "waits", "put_off", "changes", "written", "builtins", "used_at_once",
                 "passes", "awaits", "augments", "_learned")

    def __init__(self, node, shape):
        self.node, self.line, self.shape = node, node.lineno, shape
        self.reason, self.waits = None, False
        self.put_off, self.changes, self.written = {}, set(), ()
        self.builtins = set()
        self.used_at_once = set()
        self.passes = []
        self.awaits = self.augments = False
        self._learned = {}

    def learned(self, kind):
        """What a runner has learned of the loop: its one object of ``kind``, made when first asked for."""
        found = self._learned.get(kind)
        return found if found is not None else self._learned.setdefault(kind, kind())

    @property
    def independent(self):
        return self.reason is None and self.waits

    def declines(self, node, why):
        """Notes the first reason, with its line."""
        if self.reason is None:
            self.reason = f"line {getattr(node, 'lineno', self.line)}: {why}"

    def __repr__(self):
        return f"<{self.shape} loop at line {self.line}: {self.reason or 'independent'}>"


class Scope:
    """What a function's loops are judged by beside themselves: which of its names are modules, and which it does not own."""

    def __init__(self, node, module_globals):
        self.globals = module_globals
        self.is_async = isinstance(node, ast.AsyncFunctionDef)
        self.declared = {}
        for each in own_nodes(node):
            if isinstance(each, (ast.Global, ast.Nonlocal)):
                kind = "global" if isinstance(each, ast.Global) else "nonlocal"
                self.declared.update(dict.fromkeys(each.names, kind))

    def dotted(self, func):
        """"module.name" of a function that a module's attribute names, "name" of a plain name, else ""."""
        if isinstance(func, ast.Name):
            found = self.globals.get(func.id)
            if not isinstance(found, (types.FunctionType, types.BuiltinFunctionType)) or not isinstance(found.__module__, str):
                return func.id if found is None else ""
            return f"{found.__module__.removeprefix('_')}.{found.__name__}"
        if isinstance(func, ast.Attribute) and self.is_module(func.value):
            return f"{self.globals[func.value.id].__name__}.{func.attr}"
        return ""

    def is_module(self, node):
        return isinstance(node, ast.Name) and isinstance(self.globals.get(node.id), types.ModuleType)


def loops_of(node, module_globals):
    """The loops of a function's own code, outermost first. Those of functions inside of it are theirs."""
    scope = Scope(node, module_globals)
    found = []
    for each in own_nodes(node):
        if isinstance(each, ast.For):
            found.append(_for_statement(each, scope))
        elif isinstance(each, ast.While):
            found.append(_while_statement(each, scope))
        elif isinstance(each, (ast.ListComp, ast.SetComp, ast.DictComp)):
            found.append(_comprehension(each, scope))
        elif isinstance(each, ast.Call):
            found.extend(_consumed(each, scope))
    return found


# ---- expressions that loop ------------------------------------------------------------------------------------------------


def _comprehension(node, scope):
    loop = Loop(node, "map")
    bound = {name.id for generator in node.generators for name in ast.walk(generator.target) if isinstance(name, ast.Name)}
    parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    for at, generator in enumerate(node.generators):
        parts += generator.ifs + ([generator.iter] if at else [])
        if generator.is_async:
            loop.declines(node, "an async comprehension")
    _judge(loop, parts, bound, scope)
    return loop


def _consumed(call, scope):
    """map() or a generator expression, where the builtin around it takes all its items at once."""
    if not isinstance(call.func, ast.Name) or not call.args:
        return
    consumer, first = call.func.id, call.args[0]
    made_by_map = isinstance(first, ast.Call) and isinstance(first.func, ast.Name) and first.func.id == "map"
    if not made_by_map and not isinstance(first, ast.GeneratorExp):
        return
    if consumer not in names.CONSUMERS | names.STOP_EARLY or (consumer in ("max", "min") and len(call.args) > 1):
        return
    loop = _map_call(first, scope) if made_by_map else _comprehension(first, scope)
    loop.builtins.add(consumer)
    if consumer in names.STOP_EARLY:
        loop.declines(call, f"{consumer}() stops as soon as it knows its answer; further iterations might never run")
    yield loop


def _map_call(node, scope):
    loop = Loop(node, "map")
    loop.builtins.add("map")
    if len(node.args) < 2 or node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
        loop.declines(node, "map() with * or keywords")
    else:
        called = ast.copy_location(ast.Call(node.args[0], [], []), node)
        _judge(loop, [called], set(), scope)
    return loop


# ---- statements that loop -------------------------------------------------------------------------------------------------


def _while_statement(node, scope):
    loop = Loop(node, "call")
    _judge(loop, [node.test, *node.body], set(), scope)
    loop.reason = None
    loop.declines(node, "a while loop decides after every iteration whether there is a next one")
    return loop


def _for_statement(node, scope):
    loop = Loop(node, "call")
    _look_for_exits(loop, node.body)
    bound = _bound_names(node)
    put_off(loop, node, bound, scope)
    kept = [statement for statement in statements_of(node.body) if id(statement) not in loop.put_off]
    loop.written = tuple(dict.fromkeys(name for name in _bound_in_order(node, kept)))
    for name in loop.written:
        if name in scope.declared:
            loop.declines(node, f"it writes `{name}`, which is {scope.declared[name]}")
    found = carried(node, set(loop.written), loop.put_off)
    if found is not None:
        loop.declines(found, f"`{found.id}` is carried from one iteration to the next")
    _judge(loop, node.body, set(loop.written), scope)
    return loop


def _look_for_exits(loop, body, inner=False):
    """What leaves the loop before its last iteration."""
    for node in body:
        if isinstance(node, ast.Return):
            loop.declines(node, "`return` leaves the loop; further iterations might never run")
        elif isinstance(node, ast.Break) and not inner:
            loop.declines(node, "`break` leaves the loop; further iterations might never run")
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            _look_for_exits(loop, node.body, True)
            _look_for_exits(loop, node.orelse, inner)
        elif not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            blocks = [getattr(node, field, ()) for field in ("body", "orelse", "finalbody")]
            blocks += [part.body for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ()))]
            for block in blocks:
                _look_for_exits(loop, block, inner)


def _bound_names(node):
    return set(_bound_in_order(node, statements_of(node.body)))


def _bound_in_order(node, statements):
    """Names that a loop's target and these statements bind, those of comprehensions and functions in them left out."""
    yield from stored(node.target)
    for statement in statements:
        for each in shallow(statement):
            yield from stored(each)
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield each.name
            elif isinstance(each, ast.ExceptHandler) and each.name:
                yield each.name
            elif isinstance(each, (ast.Import, ast.ImportFrom)):
                yield from ((alias.asname or alias.name).partition(".")[0] for alias in each.names)
            elif isinstance(each, (ast.MatchAs, ast.MatchStar)) and each.name:
                yield each.name
            elif isinstance(each, ast.MatchMapping) and each.rest:
                yield each.rest


# ---- what iterations would share ------------------------------------------------------------------------------------------


def _judge(loop, parts, bound, scope):
    """Looks through what runs in an iteration for things that another one would see, and for calls that might wait."""
    borrowed = _borrowed(parts, bound)
    todo = list(reversed(parts))
    while todo:
        node = todo.pop()
        if id(node) in loop.put_off:
            todo.extend(reversed(operands(node)))
            continue
        _judge_node(loop, node, bound, borrowed, scope)
        if not isinstance(node, FUNCTIONS):
            todo.extend(reversed(list(ast.iter_child_nodes(node))))


def _judge_node(loop, node, bound, borrowed, scope):
    if isinstance(node, ast.Call):
        _judge_call(loop, node, bound, borrowed, scope)
    elif isinstance(node, ast.Lambda) or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        caught = sorted({name.id for name in ast.walk(node) if isinstance(name, ast.Name)} & (bound - parameters(node)))
        if caught and id(node) not in loop.used_at_once:
            loop.declines(node, f"a function in it keeps `{caught[0]}`, which the next iteration changes")
    elif isinstance(node, ast.NamedExpr) and node.target.id not in bound:
        loop.declines(node, f"`{node.target.id} :=` carries from one iteration to the next")
    elif isinstance(node, (ast.Yield, ast.YieldFrom)):
        loop.declines(node, "`yield` hands every iteration to the caller")
    elif isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
        loop.awaits = loop.waits = True
        if not scope.is_async or isinstance(loop.node, ast.GeneratorExp):
            loop.declines(node, "it awaits")
    elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        root = bare(node)
        if root is not None and (root not in bound or root in borrowed):
            loop.declines(node, f"it changes `{ast.unparse(node)}`, which the iterations share")
    elif isinstance(node, ast.ClassDef):
        loop.declines(node, "a class is made in it")


def _judge_call(loop, node, bound, borrowed, scope):
    func, dotted = node.func, scope.dotted(node.func)
    if isinstance(func, ast.Attribute):
        root = _root_of_receiver(func.value)
        if func.attr in names.CHANGES and root is not None and not scope.is_module(func.value):
            if root not in bound or root in borrowed:
                loop.declines(node, f"`{ast.unparse(func)}()` changes what the iterations share")
    if dotted in names.CHANGES_FIRST and node.args:
        root = bare(node.args[0])
        if root is not None and (root not in bound or root in borrowed):
            loop.declines(node, f"`{dotted}()` changes `{root}`, which the iterations share")
    if dotted.startswith(("random.", "numpy.random.")):
        loop.declines(node, f"`{dotted}()` draws from a generator of random numbers that the iterations share")
    if dotted in names.BOUND_TO_CALLER:
        loop.declines(node, f"`{dotted}()` {names.BOUND_TO_CALLER[dotted]}")
    if isinstance(func, ast.Name):
        if func.id in names.SEES_VARIABLES and func.id not in scope.globals:
            loop.declines(node, f"{func.id}() looks into the variables of the function")
        if func.id == "super" and not node.args:
            loop.declines(node, "super() without arguments")
        if func.id == "input" and "input" not in scope.globals:
            loop.declines(node, "input() reads from what the iterations share")
        if func.id in ("sorted", "max", "min"):
            loop.used_at_once.update(map(id, (*node.args, *(keyword.value for keyword in node.keywords))))
    if _may_wait(func, dotted):
        loop.waits = True
    called = getattr(func, "attr", getattr(func, "id", None))
    for at, value in (*enumerate(node.args), *((keyword.arg, keyword.value) for keyword in node.keywords)):
        root = bare(value)
        if called is not None and root is not None and (root not in bound or root in borrowed):
            loop.passes.append((called, at, root))


def _root_of_receiver(node):
    """The name at the root of `a`, `a.b`, `a[k]`, `a.setdefault(k, [])`: what a method of that changes."""
    while True:
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("setdefault", "get"):
            node = node.func.value
        else:
            return node.id if isinstance(node, ast.Name) else None


def _borrowed(parts, bound):
    """Names of the loop that stand for something from outside of it, or for a part of such a thing: `row = table[k]`."""
    borrowed = set()
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call):
                root = bare(node.value)
            elif isinstance(node, ast.Assign):
                root = _root_of_receiver(node.value)
            else:
                continue
            if root is not None and (root not in bound or root in borrowed):
                borrowed.update(name for target in node.targets for name in stored(target))
    return borrowed


def _may_wait(func, dotted):
    if isinstance(func, ast.Name):
        return func.id not in names.NEVER_WAITS or dotted != func.id
    if isinstance(func, ast.Attribute):
        return func.attr not in names.METHOD_NEVER_WAITS and not dotted.startswith(("math.", "operator.", "itertools."))
    return True

"""The body of `with optimize_context(...):` as a function of its variables, which can run in its place."""

import ast

from epochly.loops import rewrite, source
from epochly.loops.tree import COMPREHENSIONS, FUNCTIONS, copied, own_nodes, parameters

__all__ = ["Block", "block_of"]

VALUES = "__epochly_values__"
# Blocks that are kept, by code and line: as many as functions, see plan.py.
BLOCKS_MAX = 512
_blocks = {}


class Block:
    """A with statement that enters a context.

    reason: why its body cannot run as a function; None if it can
    first, last: lines of the body
    stored: variables that it binds; read: names that it reads
    """

    __slots__ = ("code", "node", "function", "reason", "first", "last", "stored", "read", "live", "class_name", "twins")

    def __init__(self, code, function, node, class_name):
        self.code, self.function, self.node = code, function, node
        self.first, self.last = node.body[0].lineno, max(each.end_lineno for each in node.body)
        self.stored = sorted(_stored_names(node.body))
        self.read = sorted({each.id for part in node.body for each in ast.walk(part) if isinstance(each, ast.Name)})
        self.live = _seen_outside(function, node) if not self.of_module else frozenset(self.stored)
        self.class_name = class_name
        self.twins = {}  # by (level's kind, variables that are bound): what a level has made of it
        self.reason = _why_not(self)

    @property
    def of_module(self):
        return isinstance(self.function, ast.Module)

    def inputs(self, variables):
        """The variables that the body is given, of those that are bound."""
        if self.of_module:  # the others are found where functions find them
            return tuple(name for name in self.stored if name in variables)
        return tuple(name for name in self.read if name in variables)

    def unbound(self, inputs, code):
        """Variables that the body reads and that have no value: not to be mistaken for globals."""
        local = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
        return sorted(local.intersection(self.read).difference(inputs, self.stored))

    def as_function(self, inputs, body=None):
        """A FunctionDef that takes `inputs` and a dict, into which it puts its variables, even when it raises.

        body: instead of the block's own.
        """
        arguments = ast.arguments([], [ast.arg(name) for name in (*inputs, VALUES)], None, [], [], None, [])
        values = ast.Call(ast.Attribute(ast.Name(VALUES, ast.Load()), "update", ast.Load()),
                          [ast.Call(ast.Name("locals", ast.Load()), [], [])], [])
        body = body or [copied(statement) for statement in self.node.body]
        never = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in self.unbound(inputs, self.code)]
        before = [ast.If(ast.Constant(0), never, [])] if never else []
        kept = ast.copy_location(ast.Try(body, [], [], [ast.Expr(values)]), self.node)
        statements = [*self._declared(), *before, kept]
        made = ast.FunctionDef("__epochly_block__", arguments, statements, [], None, None, **rewrite.no_type_params())
        return ast.copy_location(made, self.node)

    def _declared(self):
        declared = [each for each in own_nodes(self.function) if isinstance(each, ast.Global)]
        names = sorted({name for each in declared for name in each.names})
        return [ast.Global(names)] if names else []


def block_of(frame):
    """The Block whose with statement `frame` is at, or a sentence that says why there is none."""
    key = (id(frame.f_code), frame.f_lineno)
    known = _blocks.get(key)
    if known is not None and known[0] is frame.f_code:
        return known[1]
    made = _make(frame)
    if len(_blocks) >= BLOCKS_MAX:
        _blocks.pop(next(iter(_blocks)), None)
    _blocks[key] = (frame.f_code, made)
    return made


def _make(frame):
    code = frame.f_code
    try:
        function = source.find_code(code, frame.f_globals)
    except source.NoSource as error:
        return str(error)
    found = [node for node in own_nodes(function) if isinstance(node, ast.With) and _header_has(node, frame.f_lineno)]
    if len(found) != 1:
        return "it was not entered by a with statement of its own line"
    node = found[0]
    if len(node.items) > 1 and not (_names_context(node.items[-1]) and not any(map(_names_context, node.items[:-1]))):
        return "another context follows it in its with statement"
    block = Block(code, function, node, source.class_around(function, code, frame.f_globals))
    return block if block.reason is None else block.reason


def _header_has(node, line):
    return node.lineno <= line <= max(item.context_expr.end_lineno for item in node.items)


def _names_context(item):
    func = getattr(item.context_expr, "func", None)
    return getattr(func, "attr", getattr(func, "id", None)) == "optimize_context"


# ---- what stands in the way -----------------------------------------------------------------------------------------------


def _why_not(block):
    if block.first <= max(item.context_expr.end_lineno for item in block.node.items):
        return "its body is on the line of the with statement"
    for statement in block.node.body:
        why = _leaves(statement)
        if why is not None:
            return why
    kept = _kept_by_lambdas(block)
    if kept is not None:
        return f"a function made in it keeps `{kept}`, which changes later"
    shared = sorted(set(block.stored) & _captured(block.function, block.of_module))
    if shared:
        return f"it binds `{shared[0]}`, which functions use that may run meanwhile"
    return None


def _kept_by_lambdas(block):
    """A variable that a function made in the body uses, and that the code around binds again when the body is done."""
    kept = set()
    for each in own_nodes(block.node):
        if isinstance(each, FUNCTIONS):
            kept |= _free_names(each)
    inside = {id(each) for part in block.node.body for each in ast.walk(part)}
    around = [each.lineno for each in own_nodes(block.function)
              if isinstance(each, (ast.For, ast.AsyncFor, ast.While)) and each.lineno <= block.first <= each.end_lineno]
    since = min(around, default=block.last)
    for each in own_nodes(block.function):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and each.id in kept:
            if each.lineno >= since and id(each) not in inside:
                return each.id
    return None


def _leaves(statement, in_loop=False):
    """Why a statement of the body cannot stand in a function of its own."""
    todo = [(statement, in_loop)]
    while todo:
        node, inner = todo.pop()
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Return):
            return f"line {line}: `return` leaves it"
        if isinstance(node, (ast.Break, ast.Continue)) and not inner:
            return f"line {line}: `{type(node).__name__.lower()}` leaves it"
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return f"line {line}: `yield` leaves it"
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)) or any(g.is_async for g in getattr(node, "generators", ())):
            return f"line {line}: it awaits"
        if isinstance(node, (ast.Delete, ast.Nonlocal, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            return f"line {line}: {_WHAT[type(node)]} in it"
        if isinstance(node, ast.With) and any(map(_names_context, node.items)):
            return f"line {line}: another context in it"
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return f"line {line}: import * in it"
        if isinstance(node, ast.ExceptHandler) and node.name:
            return f"line {line}: `as {node.name}` unbinds it afterwards"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("locals", "vars", "eval", "exec", "dir", "globals"):
                return f"line {line}: {node.func.id}() looks into the variables around it"
            if node.func.id == "super" and not node.args:
                return f"line {line}: super() without arguments"
        loops = isinstance(node, (ast.For, ast.While))
        if not isinstance(node, FUNCTIONS):
            todo.extend((child, inner or (loops and child not in node.orelse)) for child in ast.iter_child_nodes(node))
    return None


_WHAT = {ast.Delete: "`del`", ast.Nonlocal: "`nonlocal`", ast.ClassDef: "a class", ast.FunctionDef: "a function",
         ast.AsyncFunctionDef: "a function"}


def _stored_names(body):
    names = set()
    for statement in body:
        todo = [statement]
        while todo:
            node = todo.pop()
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
            elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
                names.add(node.name)
            elif isinstance(node, ast.MatchMapping) and node.rest:
                names.add(node.rest)
            if isinstance(node, COMPREHENSIONS):  # its variables are its own, but := binds around it
                names.update(each.target.id for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
            elif not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                todo.extend(ast.iter_child_nodes(node))
    return names


def _seen_outside(function, block):
    """Names of a function that occur outside of a with statement's body."""
    inside = {id(each) for part in block.body for each in ast.walk(part)}
    return frozenset(each.id for each in ast.walk(function) if isinstance(each, ast.Name) and id(each) not in inside)


def _captured(node, of_module):
    """Variables of `node` that functions inside of it use, beside comprehensions, which are done with when their line is."""
    captured = set()
    for each in own_nodes(node):
        if isinstance(each, (*FUNCTIONS, ast.ClassDef)):
            captured |= _free_names(each)
    return captured


def _free_names(node):
    """Names that a function, or a class's body and functions, take from around it."""
    own = set() if isinstance(node, ast.ClassDef) else parameters(node)
    declared, used = set(), set()
    for each in own_nodes(node):
        if isinstance(each, (ast.Global, ast.Nonlocal)):
            declared.update(each.names)
        elif isinstance(each, ast.Name):
            used.add(each.id)
            if isinstance(each.ctx, ast.Store) and not isinstance(node, ast.ClassDef):
                own.add(each.id)
        elif isinstance(each, (*FUNCTIONS, ast.ClassDef)):
            used |= _free_names(each)
            if hasattr(each, "name") and not isinstance(node, ast.ClassDef):
                own.add(each.name)
    return (used - own) | declared

"""Loops that stand in a block, each as a function of the variables that it reads: what levels 2 and up can compile.

    for x in xs:
        total += x * x

becomes

    __epochly_out__ = run.at_level(0, (total, xs))
    if __epochly_out__ is None:
        for x in xs: ...            # as it stands: the level declined, and nothing has happened
    else:
        (total,) = __epochly_out__

The function is the level's alone: what CPython runs is the loop where it stands, so nobody can tell the difference by an exception.
"""

import ast

from epochly.loops import names
from epochly.loops.flow import Walk
from epochly.loops.rewrite import RUN, no_type_params
from epochly.loops.tree import COMPREHENSIONS, FUNCTIONS, copied, stored

__all__ = ["Site", "extract"]

OUT = "__epochly_out__"
# In the function of a loop: whether it came to an iteration.
CAME = "__epochly_came__"


class Site:
    """One loop. line: of it; inputs: names that it is given; outputs: names that it binds, None of an expression."""

    __slots__ = ("line", "at", "body", "inputs", "outputs", "made")

    def __init__(self, at, body, inputs, outputs):
        self.line, self.at, self.body, self.inputs, self.outputs = at.lineno, at, body, inputs, outputs
        self.made = {}  # functions, by what they were made for; each holds that

    def function(self, arguments):
        """A FunctionDef of it that takes these of its inputs."""
        parameters = [ast.copy_location(ast.arg(name), self.at) for name in arguments]
        body = [ast.copy_location(copied(statement), self.at) for statement in self.body]
        made = ast.FunctionDef("__epochly_loop__", ast.arguments([], parameters, None, [], [], None, []), body, [], None, None,
                               **no_type_params())
        return ast.fix_missing_locations(ast.copy_location(made, self.at))


def extract(body, inputs, local, live):
    """(statements that run the loops of `body` at a level, their Sites).

    inputs: variables that are bound before; local: all variables; live: those that are looked at from outside
    """
    maker = _Maker(body, set(inputs), local, live)
    return maker.block(body), maker.sites


class _Maker:
    def __init__(self, whole, assigned, local, live):
        self.whole, self.assigned, self.local, self.live = whole, assigned, local, live
        self.walk = Walk((), {})
        self.sites = []

    def block(self, statements):
        made = []
        for statement in statements:
            made += self.statement(statement)
            self.assigned = self.walk.statement(statement, set(self.assigned)) or set(self.local)
        return made

    def statement(self, node):
        if isinstance(node, (ast.For, ast.While)):
            return self.loop(node)
        if isinstance(node, ast.With):
            inside = copied_shell(node)
            before = set(self.assigned)
            for item in node.items:
                if item.optional_vars is not None:
                    self.walk.target(item.optional_vars, self.assigned)
            inside.body = self.block(node.body)
            self.assigned = before
            return [inside]
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)):
            return [_Expressions(self).visit(copied(node))]
        return [node]

    def loop(self, node):
        bound = {name for each in ast.walk(node) for name in stored(each)}
        outputs = sorted(name for name in bound if name in self.live or _occurs_outside(name, node, self.whole))
        known = [name for name in outputs if name in self.assigned]
        fresh = [name for name in outputs if name not in self.assigned]
        if not (outputs or _writes_items(node)) or _has_what_declines(node) or not set(fresh) <= _bound_each_time(node):
            return [node]
        reads = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & self.local
        if not reads - bound <= self.assigned:
            return [node]
        site = Site(node, _alone(node, known, fresh), sorted(reads & self.assigned), outputs)
        assign = ast.Assign([ast.Name(OUT, ast.Store())], self.call(site))
        absent = ast.Compare(ast.Name(OUT, ast.Load()), [ast.Is()], [ast.Constant(None)])
        choice = ast.If(absent, [node], _unpack(known, fresh))
        return [ast.copy_location(assign, node), ast.copy_location(choice, node)]

    def expression(self, node):
        """Of a comprehension, or a call that takes all of one."""
        own = {name.id for each in ast.walk(node) if isinstance(each, ast.comprehension)
               for name in ast.walk(each.target) if isinstance(name, ast.Name)}
        reads = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & self.local - own
        binds = any(isinstance(each, (ast.NamedExpr, ast.Lambda)) for each in ast.walk(node))
        if binds or not reads <= self.assigned or own & reads:
            return node
        inputs = sorted(reads)
        site = Site(node, [ast.Return(copied(node))], inputs, None)
        call = self.call(site)
        nothing = ast.arguments([], [], None, [], [], None, [])
        call.func.attr = "value_at_level"
        call.args.append(ast.Lambda(nothing, node))
        return ast.copy_location(call, node)

    def call(self, site):
        self.sites.append(site)
        values = ast.Tuple([ast.Name(name, ast.Load()) for name in site.inputs], ast.Load())
        method = ast.Attribute(ast.Name(RUN, ast.Load()), "at_level", ast.Load())
        return ast.Call(method, [ast.Constant(len(self.sites) - 1), values], [])


class _Expressions(ast.NodeTransformer):
    """Replaces the outermost loops of a simple statement's expressions."""

    def __init__(self, maker):
        self.maker = maker

    def visit(self, node):
        if isinstance(node, FUNCTIONS):
            return node
        consumed = isinstance(node, ast.Call) and _consumes(node)
        if consumed or isinstance(node, COMPREHENSIONS):
            return self.maker.expression(node) if not isinstance(node, ast.GeneratorExp) or consumed else node
        return self.generic_visit(node)


def _consumes(call):
    """Whether a builtin takes all of a generator expression."""
    known = isinstance(call.func, ast.Name) and call.func.id in names.CONSUMERS | names.STOP_EARLY
    return known and bool(call.args) and isinstance(call.args[0], ast.GeneratorExp)


def copied_shell(node):
    """A copy of a with statement, to be given another body."""
    made = ast.With(node.items, [], None)
    return ast.copy_location(made, node)


def _alone(node, known, fresh):
    """The statements of a loop's function. It returns what was bound before and, if it came to an iteration, what was not."""
    loop = copied(node)
    if not fresh:
        return [loop, ast.Return(_names(known, ast.Load()))]
    before = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(0)) for name in fresh]
    before.append(ast.Assign([ast.Name(CAME, ast.Store())], ast.Constant(False)))
    loop.body.insert(0, ast.Assign([ast.Name(CAME, ast.Store())], ast.Constant(True)))
    ast.copy_location(loop.body[0], node)
    return [*before, loop, ast.Return(_names([*known, *fresh, CAME], ast.Load()))]


def _unpack(known, fresh):
    """Statements that bind what a loop's function has returned."""
    def some(names_of, start, stop):
        part = ast.Slice(ast.Constant(start), ast.Constant(stop))
        return ast.Assign([_names(names_of, ast.Store())], ast.Subscript(ast.Name(OUT, ast.Load()), part, ast.Load()))

    made = [some(known, 0, len(known))] if known else []
    if fresh:
        came = ast.Subscript(ast.Name(OUT, ast.Load()), ast.UnaryOp(ast.USub(), ast.Constant(1)), ast.Load())
        made.append(ast.If(came, [some(fresh, len(known), len(known) + len(fresh))], []))
    return made or [ast.Pass()]


def _bound_each_time(node):
    """Names that every iteration binds, whatever way it takes."""
    if not isinstance(node, ast.For):
        return set()
    bound = {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
    if not any(isinstance(each, (ast.Continue, ast.Break)) for each in ast.walk(node)):
        bound |= Walk((), {}).block(node.body, set(bound)) or set()
    return bound


def _names(names_of, context):
    return ast.Tuple([ast.Name(name, context) for name in names_of], context)


def _occurs_outside(name, node, body):
    inside = {id(each) for each in ast.walk(node)}
    everywhere = (each for part in body for each in ast.walk(part))
    return any(isinstance(each, ast.Name) and each.id == name and id(each) not in inside for each in everywhere)


def _writes_items(node):
    """Whether a loop leaves anything but variables behind."""
    for each in ast.walk(node):
        if isinstance(each, (ast.Subscript, ast.Attribute)) and isinstance(each.ctx, ast.Store):
            return True
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in names.CHANGES:
            return True
    return False


def _has_what_declines(node):
    """Whether a loop has what no level compiles, and what the analysis here does not follow."""
    kinds = (*FUNCTIONS, ast.NamedExpr, ast.Global, ast.Import, ast.ImportFrom, ast.Try)
    return any(isinstance(each, kinds) for each in ast.walk(node))

"""A loop's body in a form that level 2 compiles: a function of some of its items, and of the variables that it reads.

    for x in xs:
        if x > low:
            total += g(x, low)

becomes

    def chunk(items, low):
        c0 = []
        for x in items:
            if x > low:
                c0.append(g(x, low))
        return (c0,)

A column holds one operand of a put-off statement. The log's entries, as the loop's own body would have noted them, are made of
the columns.
"""

import ast
import itertools
from typing import NamedTuple

from epochly.loops.effects import operands
from epochly.loops.rewrite import VARIABLES, no_type_params
from epochly.loops.tree import COMPREHENSIONS, copied

__all__ = ["Columns", "Form", "Log", "columns_of"]

ITEMS, ORDER = "__epochly_items__", "__epochly_order__"
RANGE = ("__epochly_start__", "__epochly_stop__", "__epochly_step__")


class Columns:
    """A loop's statements in that form. form: of what a chunk returns."""

    __slots__ = ("statements", "form")

    def __init__(self, statements, form):
        self.statements, self.form = statements, form

    def function(self, over_range, inputs, at):
        """A FunctionDef, with lines of the node `at`. over_range: its items are those of a range, given by its three numbers."""
        parameters = [ast.arg(name) for name in (*(RANGE if over_range else (ITEMS,)), *inputs)]
        body = copied(self.statements)
        if over_range:
            body = [_OverRange().visit(statement) for statement in body]
        arguments = ast.arguments([], parameters, None, [], [], None, [])
        made = ast.FunctionDef("__epochly_chunk__", arguments, body, [], None, None, **no_type_params())
        return ast.fix_missing_locations(ast.copy_location(made, at))

    def names(self):
        """Every name in it."""
        return {each.id for statement in self.statements for each in ast.walk(statement) if isinstance(each, ast.Name)}


class Form(NamedTuple):
    """What a chunk returns: first, if there are several put-off statements, their numbers in the order in which they ran, then the
    columns, then the variables in `kept`.

    entries: for each put-off statement the widths of its operands: None of a single value, n of a tuple of n. numbered: whether
    entries of the log begin with their statement's number.
    """

    entries: tuple
    numbered: bool
    kept: tuple

    def columns(self, result):
        first = int(len(self.entries) > 1)
        return result[first:len(result) - len(self.kept)]


class Log:
    """The log of a chunk, which travels as columns: they pickle ten times faster than its entries."""

    __slots__ = ("form", "result")

    def __init__(self, form, result):
        self.form, self.result = form, result

    def __reduce__(self):
        return Log, (self.form, self.result)

    def __iter__(self):
        columns = iter(self.form.columns(self.result))
        streams = [self._stream(number, widths, columns) for number, widths in enumerate(self.form.entries)]
        if len(streams) == 1:
            yield from streams[0]
        else:
            for number in self.result[0]:
                yield next(streams[number])
        if self.form.kept:
            yield VARIABLES, dict(zip(self.form.kept, self.result[len(self.result) - len(self.form.kept):]))

    def _stream(self, number, widths, columns):
        parts = [next(columns) if width is None else zip(*itertools.islice(columns, width)) for width in widths]
        return zip(itertools.repeat(number), *parts) if self.form.numbered else iter(parts[0])


def columns_of(loop, kept):
    """(Columns of a loop, None), or (None, why it has none). kept: variables that it binds and that are looked at behind it."""
    node = loop.node
    if isinstance(node, ast.For) and loop.put_off:
        return _of_statement(loop, kept)
    if isinstance(node, COMPREHENSIONS):
        return _of_comprehension(loop)
    what = "map() is not cut into compiled chunks" if isinstance(node, ast.Call) else "it leaves nothing behind"
    return None, f"line {loop.line}: {what}"


def _of_statement(loop, kept):
    maker = _Maker(loop.put_off)
    body = maker.block(loop.node.body)
    return maker.made(loop, loop.node.target, body, numbered=True, kept=kept)


def _of_comprehension(loop):
    node, maker = loop.node, _Maker({})
    body = maker.noted([ast.Tuple([node.key, node.value], ast.Load()) if isinstance(node, ast.DictComp) else node.elt])
    for at, generator in reversed(list(enumerate(node.generators))):
        for test in reversed(generator.ifs):
            body = [ast.If(copied(test), body, [])]
        if at:
            body = [ast.For(copied(generator.target), copied(generator.iter), body, [], None)]
    return maker.made(loop, node.generators[0].target, body, numbered=False, kept=())


class _Maker:
    """put_off: {id: ...} of the statements whose operands go into columns."""

    def __init__(self, put_off):
        self.put_off, self.several = put_off, len(put_off) > 1
        self.entries, self.names, self.why = [], [], None

    def block(self, statements):
        """Copies of them."""
        made = []
        for statement in statements:
            if id(statement) in self.put_off:
                made += self.noted(operands(statement))
                continue
            copy = copied(statement)
            for field in ("body", "orelse"):
                if isinstance(getattr(statement, field, None), list):
                    setattr(copy, field, self.block(getattr(statement, field)))
            made.append(copy)
        return made

    def noted(self, values):
        """Statements that note the operands of one put-off statement."""
        made, widths = [], []
        for value in values:
            parts = value.elts if isinstance(value, ast.Tuple) else [value]
            widths.append(len(parts) if isinstance(value, ast.Tuple) else None)
            if not parts or any(isinstance(part, ast.Starred) for part in parts):
                self.why = "what it leaves behind has another number of values each time"
            for part in parts:
                self.names.append(f"__epochly_column{len(self.names)}__")
                made.append(_append(self.names[-1], copied(part)))
        if self.several:
            made.append(_append(ORDER, ast.Constant(len(self.entries))))
        self.entries.append(tuple(widths))
        return made

    def made(self, loop, target, body, numbered, kept):
        """As columns_of()."""
        if self.why is not None:
            return None, f"line {loop.line}: {self.why}"
        lists = [ORDER, *self.names] if self.several else self.names
        statements = [ast.Assign([ast.Name(name, ast.Store())], ast.List([], ast.Load())) for name in lists]
        statements.append(ast.For(copied(target), ast.Name(ITEMS, ast.Load()), body, [], None))
        values = [ast.Name(name, ast.Load()) for name in (*lists, *kept)]
        statements.append(ast.Return(ast.Tuple(values, ast.Load())))
        form = Form(tuple(self.entries), numbered, tuple(kept))
        return Columns([ast.copy_location(each, loop.node) for each in statements], form), None


def _append(name, value):
    return ast.Expr(ast.Call(ast.Attribute(ast.Name(name, ast.Load()), "append", ast.Load()), [value], []))


class _OverRange(ast.NodeTransformer):
    """In place of the items their range."""

    def visit_For(self, node):
        if isinstance(node.iter, ast.Name) and node.iter.id == ITEMS:
            node.iter = ast.Call(ast.Name("range", ast.Load()), [ast.Name(name, ast.Load()) for name in RANGE], [])
        return node
